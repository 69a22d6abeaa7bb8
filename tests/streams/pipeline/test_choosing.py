"""What the choice head gets to see: what was shown, what is to be ranked, and what was done."""

import numpy as np

from featurestore.events import Action, Event
from featurestore.keys import item_key
from models.online.choice_head import ChoiceHead
from streams.examples import ActionRow, ChoiceRow, ExamplesRecord, ImpressionRow, unpack_int32
from tests.streams.stream_events import START_MS, click, shown, visit
from tests.streams.taught import Line, config, item, live_models, put_items

ITEMS = [f"i{number}" for number in range(30)]
MINUTE_MS = 60_000


def line(**overrides: object) -> Line:
    settings = config(ranking__head="choice", **overrides)
    live = live_models(settings, [ITEMS])
    put_items(
        live,
        *[
            item(item_id, categories=(f"c{number % 3}", f"t{number % 6}"), available=number < 20)
            for number, item_id in enumerate(ITEMS)
        ],
    )
    return Line(settings, live)


def choices_of(record: ExamplesRecord) -> list[ChoiceRow]:
    return [row for row in record.rows if isinstance(row, ChoiceRow)]


def head_of(made: Line) -> ChoiceHead:
    assert made.live.online.choice is not None
    return made.live.online.choice


def test_without_the_head_nothing_is_logged_for_it() -> None:
    settings = config()
    made = Line(settings, live_models(settings, [ITEMS]))
    record = made.take(shown("u", items=["i1"]), click("u", "i2")).record
    assert not choices_of(record)
    assert [row.choice for row in record.rows if isinstance(row, ImpressionRow)] == [b""]
    assert made.live.online.choice is None


def test_an_action_that_no_list_led_to_is_compared_with_what_else_is_on_offer() -> None:
    record = line().take(click("u", "i3")).record
    action, choice = record.rows
    assert isinstance(action, ActionRow)
    assert isinstance(choice, ChoiceRow)
    assert (choice.offset, choice.ts_ms, choice.user_id) == (0, START_MS, "u")
    indices = unpack_int32(choice.choice, choice.num_items)
    cells = {item_key(item_id) % (1 << 16): item_id for item_id in ITEMS}
    names = [cells[index] for index in indices[:, 0].tolist()]
    assert names[0] == "i3"
    assert len(set(names)) == len(names) > 15
    assert set(names) <= set(ITEMS[:20])


def test_what_a_list_a_slate_or_an_earlier_action_explains_is_no_free_choice() -> None:
    def rows(*events: Event) -> int:
        return len(choices_of(line().take(*events).record))

    assert rows(click("u", "i3", list_id="0-1")) == 0
    assert rows(shown("u", items=["i3"]), click("u", "i3")) == 0
    assert rows(click("u", "i3"), click("u", "i3", START_MS + 1)) == 1
    assert rows(click("u", None, action="search")) == 0
    assert rows(click("u", "i3", action="hide")) == 0
    assert rows(visit("u")) == 0


def test_a_shown_item_that_is_acted_upon_without_being_a_label_is_a_free_choice() -> None:
    """Leaving out what was shown of late would leave out what is popular."""
    viewed = line(
        actions__view__code=2, actions__view__effect="positive", actions__view__weight=1.0
    )
    record = viewed.take(shown("u", items=["i3"]), click("u", "i3", action="view")).record
    assert len(choices_of(record)) == 1


def test_a_replay_draws_the_same_company() -> None:
    assert line().take(click("u", "i3")).record == line().take(click("u", "i3")).record


def test_an_impression_carries_what_was_seen_before_it() -> None:
    made = line()
    made.take(click("u", "i3"))
    later = START_MS + 30 * MINUTE_MS
    record = made.take(shown("u", later, items=["i3", "i4", "unmet"])).record
    (row,) = record.rows
    assert isinstance(row, ImpressionRow)
    assert row.pull == 0.5
    indices = unpack_int32(row.choice, 3)
    assert indices[0, 0] != indices[1, 0]
    acted = indices[:, 4] - indices[:, 4].min()
    assert acted.tolist() == [1, 0, 0]


def test_lists_are_in_the_order_of_learned_utility() -> None:
    made = line(ranking__skip_acted=False, ranking__num_new=0)
    head = head_of(made)
    # One user's choices, learned as the learner would.
    for number in range(30):
        event = click("v", "i7", START_MS + number, event_id=f"e{number}")
        assert isinstance(event, Action)
        other = line().take(event).record
        for row in choices_of(other):
            indices = unpack_int32(row.choice, row.num_items)
            head.learn_choice(indices, np.full(row.num_items, row.pull))
    effects = made.take(visit("u"))
    (made_list,) = effects.lists.values()
    scores = [entry.score for entry in made_list.items]
    assert made_list.items[0].item_id == "i7"
    assert scores == sorted(scores, reverse=True)

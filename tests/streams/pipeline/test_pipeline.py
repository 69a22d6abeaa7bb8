"""The pipeline: what a chunk causes, and what it does not depend on."""

import msgspec
import numpy as np
import pytest

from featurestore.events import Context, Event, UserId
from featurestore.keys import item_key
from streams.examples import (
    ActionRow,
    ExamplesRecord,
    ImpressionRow,
    SlateRow,
    VisitRow,
    encode_record,
    unpack_float32,
    unpack_int32,
    unpack_keys,
)
from streams.pipeline.list_requests import Trigger
from streams.pipeline.pipeline import ChunkInput
from streams.pipeline.stopwatch import NoLaps
from streams.worker.ownership import NOTHING_LOST
from tests.streams.stream_events import START_MS, click, shown, visit
from tests.streams.taught import Line, chunk_of, config, item, live_models, put_items

SEQUENCES = [["a", "b", "c", "d"], ["a", "b", "d"], ["c", "d", "e"], ["b", "f"], ["a", "g"]]
U1, U2 = UserId("u1"), UserId("u2")


def rows_by_item_id(record: ExamplesRecord) -> list[object]:
    """The rows, with names for indices: those depend on what else is in the record."""
    named: list[object] = []
    for row in record.rows:
        fields = msgspec.structs.asdict(row)
        if isinstance(row, ActionRow):
            fields["item"] = record.items[row.item]
        elif isinstance(row, ImpressionRow):
            fields["items"] = [record.items[index] for index in row.items]
        named.append(fields)
    return named


def line(**overrides: object) -> Line:
    settings = config(**overrides)
    return Line(settings, live_models(settings, SEQUENCES))


def test_actions_and_visits_cause_a_list_and_impressions_only_fold() -> None:
    effects = line().take(click("u1", "a"), visit("u2"), shown("u3"))

    assert set(effects.lists) == {U1, U2}
    assert set(effects.states) == {U1, U2, UserId("u3")}


@pytest.mark.parametrize("head", ["click", "reranker", "choice"])
def test_models_that_know_nothing_give_an_empty_list_beside_what_is_shown(head: str) -> None:
    settings = config(ranking__head=f'"{head}"', ranking__slate_sample_rate=0.0)
    running = Line(settings, live_models(settings))

    effects = running.take(visit("u1"), shown("u2", START_MS, items=["a", "b"]))

    assert effects.lists[U1].items == ()
    (row,) = [row for row in effects.record.rows if isinstance(row, ImpressionRow)]
    assert len(row.relevance) == 2 * 4 * settings.feature_layout().relevance_width


def test_a_list_is_built_at_the_last_trigger_and_not_at_the_chunks_end() -> None:
    one, two = line(), line()

    conflated = one.take(click("u1", "a"), click("u1", "b"), shown("u1", items=["c"]))
    two.take(click("u1", "a"))
    alone = two.take(click("u1", "b"))

    made = conflated.lists[U1]
    assert made == alone.lists[U1]
    assert (made.as_of.partition, made.as_of.offset, made.list_id) == (0, 1, "0-1")


def test_every_counted_event_has_its_row_in_the_order_of_offsets() -> None:
    events: list[Event] = [
        visit("u1"),
        click("u1", "a", event_id="e"),
        click("u1", "a", event_id="e"),
        shown("u1", items=["b", "c"]),
        click("u1", None, action="search"),
    ]

    rows = line(ranking__slate_sample_rate=0.0).take(*events).record.rows

    kinds = [(type(row), row.offset) for row in rows]
    assert kinds == [(VisitRow, 0), (ActionRow, 1), (ImpressionRow, 3), (ActionRow, 4)]


def test_an_action_names_what_came_before_it_the_latest_first() -> None:
    record = line().take(click("u1", "a"), click("u1", "b"), click("u1", "c")).record

    (last,) = [row for row in record.rows if isinstance(row, ActionRow) and row.offset == 2]
    assert unpack_keys(last.previous).tolist() == [item_key("b"), item_key("a")]
    assert record.items[last.item] == "c"
    assert (last.weight, last.is_label) == (1.0, True)


@pytest.mark.parametrize(
    ("action", "weight", "is_label"),
    [("like", 2.0, False), ("view", 0.0, False), ("hide", 0.0, False), ("unheard of", 0.0, False)],
)
def test_only_positive_actions_weigh(action: str, weight: float, is_label: bool) -> None:  # noqa: FBT001
    (row,) = line(ranking__slate_sample_rate=0.0).take(click("u1", "a", action=action)).record.rows

    assert isinstance(row, ActionRow)
    assert (row.weight, row.is_label) == (weight, is_label)


def test_a_label_action_keeps_its_value_and_no_other_does() -> None:
    acted = [click("u1", "a"), click("u1", "b", action="like"), click("u1", None)]
    rows = (
        line(ranking__slate_sample_rate=0.0)
        .take(*[msgspec.structs.replace(one, value=12.5) for one in acted], click("u1", "d"))
        .record.rows
    )

    assert [row.value for row in rows if isinstance(row, ActionRow)] == [12.5, None, None, None]


def test_an_action_keeps_the_context_that_is_counted_and_no_other() -> None:
    (row,) = (
        line(ranking__slate_sample_rate=0.0)
        .take(click("u1", "a", context={"device": "phone", "secret": "x"}))
        .record.rows
    )

    assert isinstance(row, ActionRow)
    assert row.context == {"device": "phone", "session_step": "0"}


@pytest.mark.parametrize("device", [1, True, 1.0, "1", None])
def test_values_of_a_context_that_are_equal_but_not_the_same_are_kept_apart(
    device: str | float | None,
) -> None:
    running = line(ranking__slate_sample_rate=0.0)
    for _ in range(2):
        for value in (1, True, 1.0, "1", None):
            running.take(click("u1", "a", context={"device": value}))
    (row,) = running.take(click("u2", "a", context={"device": device})).record.rows

    assert isinstance(row, ActionRow)
    told = {} if device is None else {"device": str(device)}
    assert row.context == {**told, "session_step": "0"}


def test_what_models_learn_of_a_context_is_kept_of_every_action_and_visit() -> None:
    said: Context = {"plan": "free", "region": "x", "secret": "y", "age": None}
    events: list[Event] = [
        click("u1", "a", context=said),
        click("u1", None, action="search", context=said),
        visit("u1", context=said),
        visit("u2"),
    ]
    running = line(ranking__slate_sample_rate=0.0, side__context=["plan", "age", "hour"])
    rows = running.take(*events).record.rows

    assert [row.context for row in rows if isinstance(row, ActionRow | VisitRow)] == [
        {"plan": "free", "region": "x", "session_step": "0"},
        {"plan": "free"},
        {"plan": "free"},
        {},
    ]


def test_an_impression_is_featured_on_the_state_before_it() -> None:
    settled, fresh = line(), line()
    settled.take(click("u1", "b"))

    after = settled.take(shown("u1", START_MS + 1, items=["b", "c"])).record
    at_once = fresh.take(
        click("u1", "b"),
        shown("u1", START_MS + 1, items=["b", "c"]),
        click("u1", "c", START_MS + 2),
    ).record

    def relevance(rows: list[object]) -> list[list[int]]:
        (row,) = [row for row in rows if isinstance(row, ImpressionRow)]
        matrix: list[list[int]] = unpack_int32(row.relevance, 2).tolist()
        return matrix

    assert relevance(list(after.rows)) == relevance(list(at_once.rows))


def test_a_sampled_list_is_logged_with_all_its_candidates_behind_its_trigger() -> None:
    effects = line(ranking__slate_sample_rate=1.0).take(visit("u1"), click("u2", "a"))

    rows = effects.record.rows
    assert [(type(row), row.offset) for row in rows] == [
        (VisitRow, 0),
        (SlateRow, 0),
        (ActionRow, 1),
        (SlateRow, 1),
    ]
    slate = rows[3]
    assert isinstance(slate, SlateRow)
    assert slate.list_id == effects.lists[U2].list_id
    candidates = {effects.record.items[index] for index in slate.items}
    assert {one.item_id for one in effects.lists[U2].items} <= candidates
    features = unpack_float32(slate.features, len(slate.items))
    assert np.isfinite(features).all()


def test_while_catching_up_lists_are_owed_and_sampled_slates_still_logged() -> None:
    behind = line(ranking__slate_sample_rate=1.0)

    effects = behind.take(
        click("u1", "a", context={"device": "phone"}), visit("u2"), wants_lists=False
    )

    assert effects.lists == {}
    assert effects.owed == {
        U1: Trigger("u1-click-a-1700000000000", {"device": "phone"}),
        U2: Trigger("u2-visit-1700000000000", None),
    }
    assert sum(isinstance(row, SlateRow) for row in effects.record.rows) == 2
    logged = line(ranking__slate_sample_rate=1.0).take(
        click("u1", "a", context={"device": "phone"}), visit("u2")
    )
    assert encode_record(logged.record) == encode_record(effects.record)


def test_the_record_tiles_the_chunk_and_names_its_versions() -> None:
    one = line()
    one.take(click("u1", "a"))

    record = one.take(visit("u1", START_MS + 1), visit("u2")).record

    assert (record.from_offset, record.to_offset, record.partition) == (1, 3, 0)
    assert record.replica_offset == 1
    assert record.layout == config().layout_digest(one.live.online)
    assert record.config == config().digest()
    assert record.bundle == ""


def test_the_same_chunk_has_the_same_effects_in_every_process() -> None:
    events: list[Event] = [
        click("u1", "a"),
        shown("u1", items=["b"]),
        visit("u2"),
        click("u2", "f"),
    ]
    first, second = line(), line()

    one, two = first.take(*events), second.take(*events)

    assert encode_record(one.record) == encode_record(two.record)
    assert msgspec.json.encode(list(one.lists.values())) == (
        msgspec.json.encode(list(two.lists.values()))
    )
    assert one.states == two.states


@pytest.mark.parametrize("cut", range(1, 6))
def test_chunk_boundaries_change_neither_states_nor_rows(cut: int) -> None:
    events: list[Event] = [
        visit("u1"),
        click("u1", "a", START_MS + 1),
        shown("u1", START_MS + 2, items=["b", "c"]),
        click("u2", "f", START_MS + 3),
        click("u1", "b", START_MS + 4),
        shown("u2", START_MS + 5, items=["a"]),
    ]
    whole = line(ranking__slate_sample_rate=0.0)
    parts = line(ranking__slate_sample_rate=0.0)

    at_once = whole.take(*events).record
    first, second = parts.take(*events[:cut]).record, parts.take(*events[cut:]).record

    assert parts.states == whole.states
    assert rows_by_item_id(at_once) == rows_by_item_id(first) + rows_by_item_id(second)


def test_chunks_computed_together_cause_what_each_causes_alone() -> None:
    chunks = [
        chunk_of(click("u1", "a"), shown("u1", START_MS + 1, items=["b", "c"]), from_offset=3),
        chunk_of(from_offset=9),
        chunk_of(shown("u2", items=["a"]), visit("u2", START_MS + 1), from_offset=3),
        chunk_of(click("u3", "f"), visit("u4"), from_offset=5),
    ]
    settings = {"ranking__slate_sample_rate": 0.5}
    alone = [line(**settings).process(chunk, {}) for chunk in chunks]
    one = line(**settings)

    together = one.pipeline.process_all(
        [ChunkInput(chunk, {}, NOTHING_LOST, wants_lists=True) for chunk in chunks],
        one.live,
        topic_id="topic",
        computed_at_ms=1,
        laps=NoLaps(),
    )

    for of_batch, by_itself in zip(together, alone, strict=True):
        assert of_batch.states == by_itself.states
        assert of_batch.lists == by_itself.lists
        assert encode_record(of_batch.record) == encode_record(by_itself.record)
        assert of_batch.listing.candidates == by_itself.listing.candidates


def test_an_item_that_nobody_has_met_gets_the_last_place() -> None:
    one = line()
    put_items(one.live, item("new", published_at_ms=START_MS))

    made = one.take(click("u1", "a")).lists[U1]

    assert made.items[-1].item_id == "new"
    assert made.items[-1].source == "fresh"


def test_a_users_repetitions_are_logged_as_such() -> None:
    one = line(contribution__max_actions=2, contribution__max_shown=3)
    clicks = [click("u1", "a", START_MS + number, event_id=f"e{number}") for number in range(4)]
    slates = [shown("u2", START_MS + number, items=["a", "b"]) for number in range(5)]

    rows = one.take(*clicks, *slates, click("u1", "b", START_MS + 9)).record.rows

    actions = [row.is_counted for row in rows if isinstance(row, ActionRow)]
    assert actions == [True, True, False, False, True]
    uncounted = [row.uncounted for row in rows if isinstance(row, ImpressionRow)]
    assert uncounted == [[], [], [], [0, 1], [0, 1]]

    later = START_MS + 3_600_000 + 2000
    (row, *_) = one.take(click("u1", "a", later)).record.rows
    assert isinstance(row, ActionRow)
    assert row.is_counted, "the window is over"

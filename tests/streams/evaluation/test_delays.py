"""Lists of which one part is known late: as late as told, and nothing else is changed by them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from featurestore.events import Action, Event, UserId, decode_event
from featurestore.keys import item_key
from featurestore.state import EMPTY_STATE
from models.encoder import SequenceEncoder
from models.online.online_models import OnlineModels
from streams.config import Config, ConfigRefused, config_of
from streams.evaluation.comparison import held_back
from streams.evaluation.delays import PARTS, DelaysRefused, KnownUser, Past
from streams.evaluation.evaluate import _Run
from streams.evaluation.lists import Judge, place_in
from streams.evaluation.outcomes import LIST, int16, int32
from streams.evaluation.pictures import freshness_picture
from streams.evaluation.plan import Start, plan
from streams.evaluation.result import Delayed, Part, Result
from streams.evaluation.result_schemas import result_schema
from streams.event_file import read_values
from streams.one_process import OneProcess
from streams.pipeline.live import LiveModels
from streams.result_file import encode_result
from tests.streams.bundles import small_bundle
from tests.streams.evaluation.test_evaluate import run, shop, without_cost, written
from tests.streams.stream_events import START_MS, click

MINUTE_MS = 60_000
NEVER = float("inf")


def late_by(*delays_s: float) -> Config:
    """The shop's users go in circles, and the learned order ranks from the first slates on."""
    return config_of(
        {
            "ranking": {"skip_acted": False, "slate_sample_rate": 0.5},
            "online": {"reranker": {"min_slates": 10}},
            "evaluation": {"delays_s": list(delays_s)},
        }
    )


def places(result: Result, name: str) -> list[int]:
    return [int(place) for place in int16(result.outcomes.actions.asked[name])]


def test_what_is_late_by_nothing_is_the_list_that_is_asked_for(tmp_path: Path) -> None:
    result = run(written(tmp_path, shop(250)), config=late_by(0))

    assert [one.name for one in result.delayed] == ["counters 0 s", "state 0 s", "weights 0 s"]
    for one in result.delayed:
        assert places(result, one.name) == places(result, LIST)
        assert one.asked == result.next_item.asked


def test_late_lists_beside_models_that_they_would_lack_are_refused(tmp_path: Path) -> None:
    settings = {
        "evaluation": {"delays_s": [0.0]},
        "online": {"extra_sources": ["transformer", "ease"]},
    }
    expected = r"evaluation.delays_s is \[0.0\] and online.extra_sources names ease, which"
    with pytest.raises(DelaysRefused, match=expected):
        run(written(tmp_path, shop(20)), config=config_of(settings))


def test_no_other_figure_knows_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, shop(250))
    plain, late = run(path, config=late_by()), run(path, config=late_by(30, NEVER))
    actions = late.outcomes.actions
    of_late = {one.name for one in late.delayed}
    kept = {name: places for name, places in actions.asked.items() if name not in of_late}

    assert len(actions.asked) == len(kept) + 6
    assert late.cost.lists == plain.cost.lists + 6 * late.next_item.evaluated
    without = msgspec.structs.replace(
        late,
        delayed=[],
        outcomes=msgspec.structs.replace(
            late.outcomes, actions=msgspec.structs.replace(actions, asked=kept)
        ),
    )
    assert without_cost(without) == without_cost(plain)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_never_renewed_is_what_was_known_when_the_evaluation_began(
    tmp_path: Path, part: Part
) -> None:
    events, config = shop(200), late_by(9, NEVER)
    result = run(written(tmp_path, events), config=config, sample=0.5)
    first = result.window.evaluate_from_event
    stopped, going_on = OneProcess(config), OneProcess(config)
    for place, event in enumerate(events[:first]):
        stopped.learn(place, stopped.process(place, event, wants_lists=False))

    expected, asked = [], int32(result.outcomes.actions.event).tolist()
    for place, event in enumerate(events):
        if place in asked:
            expected.append(place_when_stopped(part, stopped, going_on, place, event))
        going_on.learn(place, going_on.process(place, event, wants_lists=False))

    assert places(result, f"{part} never") == expected
    assert expected != places(result, LIST)


def place_when_stopped(
    part: Part, stopped: OneProcess, going_on: OneProcess, place: int, event: Event
) -> int:
    """Where the item stands if one part has stopped and the others went on."""
    assert isinstance(event, Action)
    of, online = going_on, going_on.live.online
    if part == "counters":
        online = stopped.live.online.with_weights_of(online)
    elif part == "weights":
        online = online.with_weights_of(stopped.live.online)
    else:
        of = stopped
    made = Judge(late_by(), LiveModels(online, going_on.live.catalogue)).made(
        event.user_id,
        of.states.get(event.user_id, EMPTY_STATE),
        now_ms=event.ts_ms,
        context=None,
        offset=place,
    )
    return place_in(made, event.item_id or "").in_list


def test_an_item_is_unknown_to_late_counters_until_the_delay_is_over(tmp_path: Path) -> None:
    """Readers click every half minute; one item appears after ten, and all turn to it."""
    appears_ms = START_MS + 20 * 30_000
    events = [click(f"v{n}", "old", START_MS + n * 30_000) for n in range(20)]
    events += [click(f"w{n}", "new", appears_ms + n * 30_000) for n in range(20)]
    result = run(written(tmp_path, events), start=str(appears_ms), config=late_by(300))
    is_listed = [place > 0 for place in places(result, "counters 300 s")]

    # Its first click is learned at once, so that all later ones ask for a list that could hold it.
    assert [place > 0 for place in places(result, LIST)] == [False] + [True] * 19
    assert is_listed == [False] * 10 + [True] * 10


def test_a_late_state_does_not_know_what_the_user_has_just_done(tmp_path: Path) -> None:
    """Everybody goes from `a` to `b`, and from nowhere to `c`; the reader comes late from `a`."""
    events = [click(f"c{n}", "c", START_MS + n) for n in range(60)]
    for n in range(30):
        events += [click(f"v{n}", item, START_MS + 1_000 + n) for item in ("a", "b")]
    at_ms = START_MS + 10_000
    for user, pause_ms in (("soon", 20_000), ("later", 40_000)):
        events += [click(user, "a", at_ms), click(user, "b", at_ms + pause_ms)]
    result = run(
        written(tmp_path, sorted(events, key=lambda event: event.ts_ms)),
        start=str(at_ms + 1),
        config=late_by(30),
    )

    assert places(result, LIST) == [1, 1]
    soon, later = places(result, "state 30 s")
    assert soon > 1
    assert later == 1


def test_news_is_known_when_the_delay_is_over_and_not_before(tmp_path: Path) -> None:
    past = Past(late_by().online_models(), 5_000)
    encoder = SequenceEncoder(small_bundle(tmp_path / "bundle", ["a"]), key_of=item_key)
    learner = late_by().online_models()
    learner.learn_item("a", time_ms=START_MS)
    learner.advance(1)
    user = KnownUser(UserId("u"), EMPTY_STATE, {"device": "phone"})
    for news in (learner.take_delta().payload, user, encoder):
        past.hear(news, START_MS)

    past.follow(START_MS + 4_999)
    assert (past.online.offset, past.users, past.encoder) == (0, {}, None)
    past.follow(START_MS + 5_000)
    assert (past.online.offset, past.users, past.encoder) == (1, {"u": user}, encoder)


def test_what_is_never_renewed_takes_in_nothing_from_its_stop_on() -> None:
    past, user = Past(late_by().online_models(), NEVER), KnownUser.nobody(UserId("u"))
    past.hear(user, START_MS)
    past.follow(START_MS)
    past.stop()
    past.hear(KnownUser.nobody(UserId("v")), START_MS + 1)
    past.follow(START_MS + MINUTE_MS)

    assert past.users == {"u": user}


def test_late_weights_rank_with_the_bundle_of_then_and_the_others_with_that_of_now(
    tmp_path: Path,
) -> None:
    path, config = written(tmp_path, shop(60)), late_by(20)
    planned = plan(
        read_values(path), config.action_table(), Start(fraction=0.0), sample=1.0, seed=7
    )
    whole = _Run(config, planned)
    late = whole._delays
    assert late is not None
    bundle = small_bundle(tmp_path / "bundle", [f"i{n}" for n in range(12)])
    seen: dict[str, list[bool]] = {part: [] for part in PARTS}
    for place, value in enumerate(read_values(path)):
        if place == 10:
            whole._live.use(SequenceEncoder(bundle, key_of=item_key))
        whole.take(place, value)
        if isinstance(decode_event(value), Action):
            for one in late._lists:
                seen[one.known.part].append(one._models.encoder is not None)

    first = {part: found.index(True) for part, found in seen.items()}
    assert first["counters"] == first["state"] < first["weights"]


def test_the_result_fits_the_published_schema_and_its_figures_those_of_the_places(
    tmp_path: Path,
) -> None:
    result = run(written(tmp_path, shop(300)), config=late_by(60, NEVER))

    Draft202012Validator(result_schema(Result)).validate(json.loads(encode_result(result)))
    found = {one.name: one.asked.hr_20 for one in result.delayed}
    listed = [place for place in places(result, "counters never") if place]
    assert found["counters never"] == len(listed) / result.next_item.evaluated
    asked, *late = held_back(result)
    assert [one.run for one in late] == list(found)
    assert asked.figures["HR@20"].value == result.next_item.asked.hr_20
    for one in late:
        lost = one.figures["HR@20"].value - asked.figures["HR@20"].value
        assert one.differences["HR@20"].value == pytest.approx(lost)
        assert one.figures["HR@20"].value == pytest.approx(found[one.run])


def test_the_picture_has_a_line_for_each_part_over_all_ages(tmp_path: Path) -> None:
    # Told in any order, drawn by age.
    result = run(written(tmp_path, shop(200)), config=late_by(NEVER, 90, 60))
    svg = freshness_picture(result)

    assert svg == freshness_picture(result)
    text = svg.decode()
    ages = ["<!-- now -->", "<!-- 1 min -->", "<!-- 1.5 min -->", "<!-- never renewed -->"]
    at = [text.index(age) for age in ages]
    assert at == sorted(at)
    assert [text.count(f"<!-- {part} -->") for part in PARTS] == [2, 2, 2]


def test_a_run_without_delays_has_nothing_to_hold_back(tmp_path: Path) -> None:
    assert held_back(run(written(tmp_path, shop(100)))) == ()


def test_every_bad_setting_of_the_evaluation_is_told_at_once() -> None:
    with pytest.raises(ConfigRefused) as refused:
        config_of({"evaluation": {"delays_s": [60, -1], "train_interval_s": 0, "rankers": ["x"]}})
    message = str(refused.value)

    for part in ("delays_s different ones from 0 on, or inf (found [60.0, -1.0])", "found x"):
        assert part in message
    assert "train_interval_s above 0" in message
    with pytest.raises(ConfigRefused, match="delays_s"):
        late_by(60, 60)
    with pytest.raises(ConfigRefused, match="delays_s"):
        late_by(float("nan"))


def test_two_delays_have_two_names_however_long_they_are() -> None:
    names = [Delayed.by(delay_s, "state").name for delay_s in (0.5, 3_600_000, 3_600_001, NEVER)]

    assert names == ["state 0.5 s", "state 3600000 s", "state 3600001 s", "state never"]


def test_a_view_has_the_counters_of_one_and_the_weights_of_the_other() -> None:
    counting, weighing = (late_by().online_models() for _ in range(2))
    view = counting.with_weights_of(weighing)
    counting.learn_item("a", time_ms=START_MS)

    assert isinstance(view, OnlineModels)
    assert view.vocabulary.code(item_key("a")) == counting.vocabulary.code(item_key("a")) >= 0
    assert (view.reranker, view.click) == (weighing.reranker, weighing.click)
    assert counting.reranker is not weighing.reranker

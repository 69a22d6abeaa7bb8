"""Policies evaluated on a log that another one served, where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from featurestore.catalogue import Catalogue
from featurestore.events import Action, Event, Impression, ShownItem, encode_event
from featurestore.state import EMPTY_STATE
from models.policies.off_policy import BadPropensity, NoOverlap, OffPolicyRefused
from models.policies.place_chances import Greedy, PlackettLuce
from streams import finished_log
from streams.config import Config, config_of
from streams.engine import Record
from streams.evaluation import off_policy_targets
from streams.evaluation.off_policy import OffPolicy, evaluate_policies
from streams.evaluation.off_policy_result import OffPolicyResult
from streams.evaluation.off_policy_targets import Targets
from streams.finished_log import LogValues, values_of
from streams.pipeline.live import LiveModels
from tests.streams.explored import LOGGED_KN, NUM_ITEMS, UNIFORM_VALUE, explored_log

# The estimand is one of single places, so a slate may have several clicks.
CONFIG = config_of({}, {}, ["attribution.after_click_ms=1000"])
DRAWN = PlackettLuce(0.25)


def run(
    events: Sequence[Event],
    *policies: str,
    config: Config = CONFIG,
    **settings: Any,  # noqa: ANN401 - whatever is to differ
) -> OffPolicyResult:
    values = [encode_event(event) for event in events]
    asked = OffPolicy(
        policies=policies, **{"candidates": "all", "learn_until": 0.3, "drawn": DRAWN, **settings}
    )
    return evaluate_policies(asked, LogValues("log", lambda: values), config)


@pytest.fixture(scope="module")
def log() -> list[Event]:
    return list(explored_log(1500))


@pytest.fixture(scope="module")
def result(log: list[Event]) -> OffPolicyResult:
    return run(log, "uniform", "slate", "xgboost_slate", learn_until=0.5)


def test_estimates_are_those_of_the_slots_that_were_logged(
    log: list[Event], result: OffPolicyResult
) -> None:
    clicked = {(one.request_id, one.item_id) for one in log if isinstance(one, Action)}
    shown = [one for one in log[int(0.5 * len(log)) :] if isinstance(one, Impression)]
    slots = [(one.request_id, item) for one in shown for item in one.items]
    rewards = np.array([(request, item.item_id) in clicked for request, item in slots])
    weights = np.array([1 / NUM_ITEMS / (item.propensity or np.nan) for _, item in slots])

    found = result.policies["uniform"]
    assert result.logged.value == pytest.approx(rewards.mean())
    assert found.estimates["ips"].value == pytest.approx((weights * rewards).mean())
    assert found.estimates["snips"].value == pytest.approx((weights @ rewards) / weights.sum())
    assert found.weights.mean == pytest.approx(weights.mean())
    assert found.weights.largest == pytest.approx(weights.max())
    assert found.warnings == []


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_the_truth_of_another_policy_is_near(result: OffPolicyResult, estimator: str) -> None:
    """How often intervals cover it: tests/models/policies/test_off_policy_intervals.py."""
    value = result.policies["uniform"].estimates[estimator].value
    assert value == pytest.approx(UNIFORM_VALUE, rel=0.15)
    assert abs(result.logged.value - UNIFORM_VALUE) > 2 * abs(value - UNIFORM_VALUE)


def test_what_was_earned_is_not_what_another_policy_earns(result: OffPolicyResult) -> None:
    high = result.logged.interval.high
    assert high is not None
    assert high < UNIFORM_VALUE
    low = result.policies["uniform"].estimates["snips"].difference_interval.low
    assert low is not None
    assert low > 0


@pytest.mark.parametrize("ranker", ["slate", "xgboost_slate"])
def test_a_ranker_that_learned_what_is_wanted_is_worth_more(
    result: OffPolicyResult, ranker: str
) -> None:
    for estimator in ("ips", "snips", "dr"):
        uniform = result.policies["uniform"].estimates[estimator]
        assert result.policies[ranker].estimates[estimator].value > 1.1 * uniform.value


def test_counted_is_what_came_after_the_learning(log: list[Event], result: OffPolicyResult) -> None:
    first = int(0.5 * len(log))
    shown = [event for event in log[first:] if isinstance(event, Impression)]
    assert result.evaluate_from_event == first
    assert result.slates == len(shown)
    assert result.slots == 2 * len(shown)
    assert result.users == len({event.user_id for event in shown})


def test_rankers_do_not_learn_what_one_user_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = [msgspec.structs.replace(event, user_id="robot") for event in explored_log(200)]
    num_clicked: list[int] = []

    def learn(
        _targets: Targets,
        _relevance: object,
        _examination: object,
        labels: npt.NDArray[np.bool_],
        _watch_times: object,
    ) -> None:
        num_clicked.append(int(labels.sum()))

    monkeypatch.setattr(Targets, "learn", learn)
    once = config_of({}, {}, ["attribution.after_click_ms=1000", "contribution.max_actions=1"])
    run(robot, "uniform", config=once)
    assert 0 < sum(num_clicked) <= NUM_ITEMS
    num_clicked.clear()
    run(robot, "uniform")
    assert sum(num_clicked) > NUM_ITEMS


def test_the_same_log_gives_the_same_figures(log: list[Event]) -> None:
    first, second = (
        msgspec.structs.replace(run(log[:400], "uniform"), cpu_s=0.0) for _ in range(2)
    )
    assert first == second


def test_a_slate_that_is_delivered_twice_was_shown_once(log: list[Event]) -> None:
    some = log[:300]
    last = next(event for event in reversed(some) if isinstance(event, Impression))
    once = run(some, "uniform", learn_until=0.0)
    twice = run([*some, last, last], "uniform", learn_until=0.0)
    assert twice.slates == once.slates
    assert twice.policies["uniform"].estimates == once.policies["uniform"].estimates


def without_propensity(event: Event) -> Event:
    if not isinstance(event, Impression):
        return event
    items = [ShownItem(item_id=one.item_id, position=one.position) for one in event.items]
    return msgspec.structs.replace(event, items=tuple(items))


def test_an_evaluated_slate_without_propensities_is_refused(log: list[Event]) -> None:
    events = [*log[:200], without_propensity(log[0])]
    with pytest.raises(
        BadPropensity, match=r"no propensity at item 'i\d', position 1, of impression"
    ):
        run(events, "uniform")


def test_what_is_only_learned_from_needs_no_propensities(log: list[Event]) -> None:
    events = [*map(without_propensity, log[:100]), *log[100:300]]
    assert run(events, "slate", learn_until=0.4).slates > 0


def test_a_log_without_impressions_is_refused(log: list[Event]) -> None:
    with pytest.raises(OffPolicyRefused, match="found no slots"):
        run([event for event in log if not isinstance(event, Impression)], "uniform")


def test_a_policy_that_shows_nothing_of_what_was_logged_is_refused(log: list[Event]) -> None:
    """Without a click nothing trends, and nothing is fresh enough: recall proposes nothing."""
    config = replace(CONFIG, retrieval=replace(CONFIG.retrieval, limits={"trending": 10}))
    shown = [event for event in log[:100] if isinstance(event, Impression)]
    with pytest.raises(NoOverlap):
        run(shown, "slate", config=config, candidates="recall")


def test_recalled_candidates_are_what_the_sources_propose(log: list[Event]) -> None:
    """Three items trend at most: the mean weight tells that a policy shows nothing else."""
    narrow = replace(CONFIG, retrieval=replace(CONFIG.retrieval, limits={"trending": 3}))
    wide = replace(CONFIG, retrieval=replace(CONFIG.retrieval, limits={"trending": NUM_ITEMS}))
    ranking = replace(CONFIG.ranking, skip_acted=False)
    weights = [
        run(
            log[:600],
            "uniform",
            config=replace(config, ranking=ranking),
            candidates="recall",
        )
        .policies["uniform"]
        .weights
        for config in (narrow, wide)
    ]
    assert weights[0].largest == pytest.approx(1 / 3 / LOGGED_KN.min(), rel=0.5)
    assert weights[1].largest == pytest.approx(1 / NUM_ITEMS / LOGGED_KN.min(), rel=1e-6)


def test_doubly_robust_does_not_know_what_it_is_to_foresee(log: list[Event]) -> None:
    """Nothing was clicked before: the model expects nothing, and only the weights count."""
    clicked = next(index for index, event in enumerate(log) if not isinstance(event, Impression))
    before = [event for event in log[clicked:200] if isinstance(event, Impression)]
    events = [*before, *log[clicked - 1 : clicked + 1]]
    share = (len(before) + 0.5) / len(events)
    estimates = run(events, "uniform", learn_until=share).policies["uniform"].estimates
    assert estimates["ips"].value > 0
    assert estimates["dr"].value == estimates["ips"].value


def test_a_frozen_ranker_learns_no_more() -> None:
    live = LiveModels(CONFIG.online_models(), Catalogue(numeric=CONFIG.features.numeric))
    for number in range(4):
        live.online.learn_impression([f"i{number}"], time_ms=1)
    targets = Targets(("slate", "xgboost_slate"), Greedy(), CONFIG, live, candidates="all")
    width = CONFIG.feature_layout().relevance_width
    offsets = CONFIG.feature_layout().offsets
    relevance = np.stack([offsets[:width], offsets[:width] + 1])
    slate = relevance, np.tile(offsets[width:-1], (2, 1)), np.array([True, False])
    targets.freeze()
    before = targets._rankers["slate"].scores(relevance).tolist()
    targets.learn(*slate, np.array([20.0, np.nan]))
    assert targets._rankers["slate"].scores(relevance).tolist() == before


def test_too_many_items_to_choose_from_are_refused(
    log: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(off_policy_targets, "MAX_CANDIDATES", NUM_ITEMS - 1)
    with pytest.raises(OffPolicyRefused, match="found 8 items known by now, expected at most 7"):
        run(log[:300], "uniform")


def test_a_shown_item_that_is_no_candidate_has_no_chance(log: list[Event]) -> None:
    live = LiveModels(CONFIG.online_models(), Catalogue(numeric=CONFIG.features.numeric))
    event = log[0]
    assert isinstance(event, Impression)
    live.online.learn_impression([event.items[0].item_id, "other"], time_ms=1)
    targets = Targets(("uniform",), Greedy(), CONFIG, live, candidates="all")
    opinion = targets.ask(event, EMPTY_STATE, 0)
    assert opinion.of_shown["uniform"].tolist() == [0.5, 0.0]


def test_events_of_kafka_come_in_the_order_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def two_partitions(_brokers: object, topic: str) -> list[Record]:
        assert topic == CONFIG.kafka.topics.events
        first = [Record(0, None, b"a", 10), Record(1, None, b"d", 40)]
        return [*first, Record(0, None, b"b", 20), Record(1, None, None, 20)]

    monkeypatch.setattr(finished_log, "read_to_end", two_partitions)
    values = values_of("kafka", CONFIG)
    assert values.name == CONFIG.kafka.topics.events
    assert [list(values.read()) for _ in range(2)] == [[b"a", b"b", b"", b"d"]] * 2

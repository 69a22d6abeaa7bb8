"""Runs held against each other: on the same events, with intervals over users."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.evaluation import hit_rate, mean_reciprocal_rank, ndcg
from streams.click_quality import ClickQuality
from streams.evaluation.comparison import NotComparable, compare
from streams.evaluation.comparison_page import page
from streams.evaluation.outcomes import LIST, OutcomeLog
from streams.evaluation.pictures import picture
from streams.evaluation.result import (
    AttributionRule,
    Cost,
    Ingested,
    NextItem,
    Ranked,
    Result,
    ServedAndAsked,
    Window,
)


def result(log: OutcomeLog, *, file_digest: str = "d") -> Result:
    nothing = ServedAndAsked(served=Ranked(), asked=Ranked())
    return Result(
        headrace="0",
        file="log.jsonl",
        file_digest=file_digest,
        configuration="c",
        overrides=["a.b=<1>"],
        window=Window(evaluate_from_ms=0, evaluate_from_event=0, sample=1.0, seed=7),
        attribution=AttributionRule(window_ms=1, after_click_ms=0, outcomes={}),
        next_item=NextItem(
            served=nothing.served,
            asked=nothing.asked,
            coverage=None,
            evaluated=0,
            recall_miss=0,
            never_seen=0,
            popular_served=0,
        ),
        sources={},
        models={},
        click=ClickQuality(),
        ingested=Ingested(outcomes={}, refused={}),
        bundles=[],
        cost=Cost(cpu_s=1.0, wall_s=1.0, peak_rss_mb=1.0, events=1, lists=1, training_cpu_s=0.0),
        outcomes=log.outcomes(),
    )


def of_places(places: np.ndarray, *, first_event: int = 0, **named: np.ndarray) -> Result:
    log = OutcomeLog()
    for number, place in enumerate(places.tolist()):
        others = {name: int(column[number]) for name, column in named.items()}
        found = {LIST: place, **others}
        log.add_action(first_event + number, f"u{number % 97}", found, found)
    return result(log)


PLACES = np.random.default_rng(1).integers(0, 30, 1_000)


def test_figures_are_those_of_the_metrics_and_lie_within_their_intervals() -> None:
    found = compare({"run": of_places(PLACES)})

    (only,) = found.lists
    figures = only.figures
    assert figures["served HR@10"].value == pytest.approx(hit_rate(PLACES, 10))
    assert figures["served HR@20"].value == pytest.approx(hit_rate(PLACES, 20))
    assert figures["asked NDCG@10"].value == pytest.approx(ndcg(PLACES, 10))
    assert figures["asked MRR@20"].value == pytest.approx(mean_reciprocal_rank(PLACES, 20))
    assert all(one.low < one.value < one.high for one in figures.values())
    assert (only.label, only.differences, found.num_actions) == ("run", {}, 1_000)
    assert found.clicks == ()


def test_the_interval_of_a_share_is_as_wide_as_statistics_say() -> None:
    hits = (np.random.default_rng(2).random(2_000) < 0.3).astype(np.int64)
    log = OutcomeLog()
    for number, place in enumerate(hits.tolist()):
        log.add_action(number, f"u{number}", {LIST: place}, {LIST: place})

    (only,) = compare({"run": result(log)}).lists

    half_width = 1.96 * np.sqrt(0.3 * 0.7 / 2_000)
    interval = only.figures["served HR@10"]
    assert interval.high - interval.low == pytest.approx(2 * half_width, rel=0.15)


def test_a_difference_of_pairs_is_far_less_noisy_than_either_figure() -> None:
    better = PLACES.copy()
    better[::25] = 1

    first, second = compare({"old": of_places(PLACES), "new": of_places(better)}).lists

    difference = second.differences["served HR@20"]
    assert first.differences == {}
    assert difference.low > 0
    figure = second.figures["served HR@20"]
    assert figure.high - figure.low > 2 * (difference.high - difference.low)


def test_a_run_against_itself_differs_by_nothing() -> None:
    _, second = compare({"one": of_places(PLACES), "same": of_places(PLACES)}).lists

    assert {tuple(one) for one in second.differences.values()} == {(0.0, 0.0, 0.0)}


def test_only_events_that_all_runs_evaluated_count_and_models_stand_beside_lists() -> None:
    shifted = of_places(PLACES, first_event=900, head=PLACES)

    found = compare({"one": of_places(PLACES), "other": shifted})

    assert found.num_actions == 100
    assert [one.label for one in found.lists] == ["one", "other", "other: head"]
    first = found.lists[0].figures["served HR@20"].value
    assert first == pytest.approx(hit_rate(PLACES[900:], 20))


def test_slates_are_compared_by_their_losses() -> None:
    runs = {}
    draws = np.random.default_rng(3)
    labels = draws.random((400, 10)) < 0.1
    for name, p in (("base rate", 0.1), ("twice", 0.2)):
        log = OutcomeLog()
        for number, clicked in enumerate(labels):
            log.add_slate(number, f"u{number % 50}", np.full(10, p), clicked)
        runs[name] = result(log)

    found = compare(runs)

    base, twice = found.clicks
    assert base.figures["NE"].value == pytest.approx(1.0, abs=0.01)
    assert twice.differences["NE"].low > 0
    assert found.lists == ()
    assert found.num_slates == 400


def test_runs_over_other_logs_or_other_events_are_refused() -> None:
    one = of_places(PLACES)
    with pytest.raises(NotComparable, match="over different logs"):
        compare({"one": one, "other": result(OutcomeLog(), file_digest="x")})
    with pytest.raises(NotComparable, match="no evaluated event in common"):
        compare({"one": one, "other": of_places(PLACES, first_event=5_000)})


def test_the_page_shows_every_figure_with_its_picture_and_nothing_unescaped() -> None:
    new = of_places(np.maximum(PLACES - 5, 0))
    told = msgspec.structs.replace(new, items_digest="0123456789abcdef")
    runs = {"<old>": of_places(PLACES), "new": told}
    comparison = compare(runs)
    svg = picture(runs, comparison)

    shown = page(runs, comparison, svg)

    assert svg == picture(runs, comparison)
    assert shown.count("<svg") == 1
    assert "<old>" not in shown
    assert "&lt;old&gt;" in shown
    assert "a.b=&lt;1&gt;" in shown
    assert "<td>none</td>" in shown
    assert "<td>01234567</td>" in shown
    value = comparison.lists[1].differences["served MRR@20"].value
    assert f"{value:+.4f}" in shown
    assert not any(outside in shown for outside in ("src=", "<link", "<script", "url(http"))

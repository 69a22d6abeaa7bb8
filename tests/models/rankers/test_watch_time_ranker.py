"""The weighted logistic regression says how long things are watched, and not how often clicked.

Items of quality q are clicked the more often, the higher q is, and watched the shorter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.rankers.slate_ranker import SlateShape
from models.rankers.watch_time_ranker import WatchTimeRanker

NUM_QUALITIES, NUM_ITEMS = 6, 8
SHAPE = SlateShape(offsets=np.array([0, 6, 7, 15]), num_relevance=2)
CHANCES = 0.03 + 0.01 * np.arange(NUM_QUALITIES)
WATCHED_S = 600.0 / (1 + np.arange(NUM_QUALITIES)) ** 1.5
EXPECTED_S = CHANCES * WATCHED_S
"""From 18 s for an impression of quality 0 down to 3.3 s for one of quality 5."""

Floats = npt.NDArray[np.float64]
QUALITIES = np.stack([np.arange(NUM_QUALITIES), np.full(NUM_QUALITIES, 6)], axis=1)


def learned(unit_s: float = 1.0, *, is_weighted: bool = True, seed: int = 1) -> WatchTimeRanker:
    """A ranker that has seen 6,000 slates; watch times are in units of `unit_s`."""
    ranker, draws = WatchTimeRanker(SHAPE), np.random.default_rng(seed)
    positions = np.arange(NUM_ITEMS)[:, None] + 7
    for _ in range(6_000):
        quality = draws.integers(0, NUM_QUALITIES, NUM_ITEMS)
        labels = draws.random(NUM_ITEMS) < CHANCES[quality]
        times = WATCHED_S[quality] * draws.uniform(0.5, 1.5, NUM_ITEMS) / unit_s
        watched = np.where(labels, times if is_weighted else 1.0, np.nan)
        relevance = np.stack([quality, np.full(NUM_ITEMS, 6)], axis=1)
        ranker.learn(relevance, positions, labels, watched)
    return ranker


def expected(ranker: WatchTimeRanker) -> Floats:
    """What it expects of each quality, the mean over all positions."""
    asked = [
        ranker.predicted(QUALITIES, np.full((NUM_QUALITIES, 1), 7 + place))
        for place in range(NUM_ITEMS)
    ]
    mean: Floats = np.stack(asked).mean(axis=0)
    return mean


@pytest.mark.parametrize("unit_s", [1.0, 60.0])
def test_the_odds_are_the_expected_watch_time(unit_s: float) -> None:
    """Within a quarter, of which E[T] / (1 - P) instead of E[T] explains up to .09."""
    found = expected(learned(unit_s)) * unit_s
    assert found == pytest.approx(EXPECTED_S, rel=0.25)
    assert (np.diff(found) < 0).all()


def test_without_weights_it_would_say_how_often_things_are_clicked() -> None:
    found = expected(learned(is_weighted=False))
    assert found == pytest.approx(CHANCES, rel=0.35)
    assert found[-1] > 1.5 * found[0]


@pytest.mark.parametrize("unit_s", [1.0, 60.0])
def test_what_is_served_is_the_expected_watch_time_too(unit_s: float) -> None:
    """Without a position: the same error."""
    scores = learned(unit_s).scores(QUALITIES)
    assert np.argsort(-scores).tolist() == list(range(NUM_QUALITIES))
    assert np.exp(scores) * unit_s == pytest.approx(EXPECTED_S, rel=0.25)


def test_a_click_of_unknown_watch_time_teaches_nothing() -> None:
    ranker, labels = WatchTimeRanker(SHAPE), np.arange(NUM_QUALITIES) == 1
    positions = np.arange(NUM_QUALITIES)[:, None] + 7
    before = ranker.scores(QUALITIES).tolist()
    ranker.learn(QUALITIES, positions, labels, np.full(NUM_QUALITIES, np.nan))
    ranker.learn(QUALITIES, positions, labels)
    assert ranker.scores(QUALITIES).tolist() == before
    # Nor has what was not clicked a watch time to be known.
    ranker.learn(QUALITIES, positions, ~labels & False, np.full(NUM_QUALITIES, np.nan))
    assert (ranker.scores(QUALITIES) < before).all()


def test_a_negative_watch_time_is_refused() -> None:
    labels = np.arange(NUM_QUALITIES) == 1
    positions = np.arange(NUM_QUALITIES)[:, None] + 7
    with pytest.raises(ValueError, match=r"found watch time -3\.0, expected 0 or more"):
        WatchTimeRanker(SHAPE).learn(QUALITIES, positions, labels, np.where(labels, -3.0, np.nan))

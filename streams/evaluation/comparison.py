"""Which of several runs over one log is better, and is the difference more than noise?

Runs are compared on the actions and slates that all of them evaluated, with bootstrap intervals
over users, whose outcomes are not independent (percentile intervals, Efron & Tibshirani 1993). The
same draws of users serve every run, so a difference between two is one of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.evaluation.outcomes import LIST, float32, int16, int32
from streams.evaluation.result import Result

NUM_RESAMPLES: Final = 1_000
CONFIDENCE: Final = 0.95
_SEED: Final = 7

Floats = npt.NDArray[np.float64]


class NotComparable(ValueError):
    """Runs were made over different logs, or have no evaluated event in common."""


class Interval(NamedTuple):
    """A figure, with the interval that its resamples lie in."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """What stands in the comparison: a run's list, or one of its sources or models.

    Attributes:
        run: The run's name.
        name: `list`, or that of the source or model.
        figures: By metric.
        differences: To the first contestant, by metric; empty for the first itself.
    """

    run: str
    name: str
    figures: Mapping[str, Interval]
    differences: Mapping[str, Interval]

    @property
    def label(self) -> str:
        """How tables and plots name it."""
        return self.run if self.name == LIST else f"{self.run}: {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All contestants on the same events.

    Attributes:
        lists: By what they foresaw of label actions, `served` first.
        clicks: By p(click); empty for logs without impressions.
        num_actions: Evaluated by all runs.
        num_slates: Judged in all runs.
    """

    lists: Sequence[Contestant]
    clicks: Sequence[Contestant]
    num_actions: int
    num_slates: int


def compare(runs: Mapping[str, Result]) -> Comparison:
    """Compare runs; the first is what the others are held against.

    Args:
        runs: By name, at least one.

    Raises:
        NotComparable: They are over different logs or have nothing in common.
    """
    digests = {name: result.file_digest for name, result in runs.items()}
    if len(set(digests.values())) > 1:
        raise NotComparable(
            "the runs are over different logs: "
            + ", ".join(f"{name} over {result.file}" for name, result in runs.items())
            + "; evaluate the same file with each"
        )
    actions = _common([int32(one.outcomes.actions.event) for one in runs.values()])
    slates = _common([int32(one.outcomes.slates.event) for one in runs.values()])
    if not len(actions) and not len(slates):
        raise NotComparable(
            "the runs have no evaluated event in common; evaluate each with the same "
            "--evaluate-from, --sample and --seed"
        )
    return Comparison(
        lists=_of_lists(runs, actions) if len(actions) else (),
        clicks=_of_clicks(runs, slates) if len(slates) else (),
        num_actions=len(actions),
        num_slates=len(slates),
    )


def held_back(result: Result) -> Sequence[Contestant]:
    """Hold the lists of which a part is known late against `asked`, which is the first.

    Returns:
        Nothing where the run made none, or evaluated no action.
    """
    actions = result.outcomes.actions
    if not result.delayed or not actions.event:
        return ()
    names = [LIST, *(one.name for one in result.delayed)]
    gains = [
        _Gains(name, LIST, np.stack(_list_gains(int16(actions.asked[name]).astype(np.int64)), 1))
        for name in names
    ]
    return _contestants(gains, int32(actions.user), _OF_A_LIST, _means)


def _common(events: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return reduce(np.intersect1d, events)


class _Gains(NamedTuple):
    """What a contestant got of each unit (an action, a slate), and the units' users."""

    run: str
    name: str
    values_UK: Floats


def _of_lists(runs: Mapping[str, Result], events: npt.NDArray[np.int32]) -> list[Contestant]:
    gains: list[_Gains] = []
    users = np.empty(0, np.int32)
    for run, result in runs.items():
        actions = result.outcomes.actions
        at = np.searchsorted(int32(actions.event), events)
        users = int32(actions.user)[at]
        for name in sorted(actions.served, key=lambda one: (one != LIST, one)):
            served, asked = (
                int16(places[name])[at].astype(np.int64)
                for places in (actions.served, actions.asked)
            )
            columns = [*_list_gains(served), *_list_gains(asked)]
            gains.append(_Gains(run, name, np.stack(columns, 1)))
    return _contestants(gains, users, LIST_METRICS, _means)


def _means(sums_RK: Floats, num_R: Floats) -> Floats:
    means: Floats = sums_RK / num_R[:, None]
    return means


_OF_A_LIST: Final = ("HR@10", "HR@20", "NDCG@10", "MRR@20")
LIST_METRICS: Final = tuple(
    f"{kind} {metric}" for kind in ("served", "asked") for metric in _OF_A_LIST
)


def _list_gains(places: npt.NDArray[np.int64]) -> list[Floats]:
    """Return what each action adds to hr@10, hr@20, ndcg@10 and mrr@20."""
    found, safe = places > 0, np.maximum(places, 1)
    return [
        (found & (places <= 10)).astype(np.float64),
        (found & (places <= 20)).astype(np.float64),
        np.where(found & (places <= 10), 1 / np.log2(1 + safe), 0.0),
        np.where(found & (places <= 20), 1 / safe, 0.0),
    ]


CLICK_METRICS: Final = ("NE", "log loss", "MRR")


def _of_clicks(runs: Mapping[str, Result], events: npt.NDArray[np.int32]) -> list[Contestant]:
    gains: list[_Gains] = []
    users = np.empty(0, np.int32)
    for run, result in runs.items():
        slates = result.outcomes.slates
        found = int32(slates.event)
        order = np.argsort(found, kind="stable")
        at = order[np.searchsorted(found, events, sorter=order)]
        users = int32(slates.user)[at]
        rank = int32(slates.rank)[at]
        columns = [
            float32(slates.logloss)[at],
            int32(slates.items)[at],
            int32(slates.clicks)[at],
            np.where(rank > 0, 1 / np.maximum(rank, 1), 0.0),
            rank > 0,
        ]
        gains.append(_Gains(run, LIST, np.stack(columns, 1).astype(np.float64)))
    return _contestants(gains, users, CLICK_METRICS, _click_figures)


def _click_figures(sums_RK: Floats, num_R: Floats) -> Floats:
    del num_R
    loss, items, clicks, reciprocal, clicked = sums_RK.T
    rate = np.clip(clicks / items, 1e-12, 1 - 1e-12)
    base = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return np.stack([loss / items / base, loss / items, reciprocal / np.maximum(clicked, 1)], 1)


def _contestants(
    gains: Sequence[_Gains],
    users: npt.NDArray[np.int32],
    metrics: Sequence[str],
    figures_of: Callable[[Floats, Floats], Floats],
) -> list[Contestant]:
    """Return each with intervals; row 0 of all figures is what was seen, the rest resamples."""
    drawn_RU, user_of = _draws(users)
    num_R = drawn_RU @ np.bincount(user_of).astype(np.float64)
    all_figures = [figures_of(drawn_RU @ _sums(one.values_UK, user_of), num_R) for one in gains]
    return [
        Contestant(
            run=one.run,
            name=one.name,
            figures=_intervals(metrics, figures),
            differences=_intervals(metrics, figures - all_figures[0]) if number else {},
        )
        for number, (one, figures) in enumerate(zip(gains, all_figures, strict=True))
    ]


def _draws(users: npt.NDArray[np.int32]) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Return how often each user is in each resample, and each unit's user."""
    _, user_of = np.unique(users, return_inverse=True)
    num_users = int(user_of.max()) + 1
    generator = np.random.default_rng(_SEED)
    drawn = [
        np.bincount(generator.integers(num_users, size=num_users), minlength=num_users)
        for _ in range(NUM_RESAMPLES)
    ]
    return np.array([np.ones(num_users), *drawn], np.float64), user_of


def _sums(values_UK: Floats, user_of: npt.NDArray[np.intp]) -> Floats:
    return np.stack([np.bincount(user_of, column) for column in values_UK.T], 1)


def _intervals(metrics: Sequence[str], figures_RK: Floats) -> dict[str, Interval]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(figures_RK[1:], [tail, 1 - tail], axis=0)
    return {
        metric: Interval(float(figures_RK[0, column]), float(low[column]), float(high[column]))
        for column, metric in enumerate(metrics)
    }

"""How do models that learn from a log until T answer what came after, and is it worth refreshing?

Three ways to keep up: `stale` learns until T and never again; `retrained` learns everything anew
every so often; `warm` goes on from its weights at the same times. All see their users' newest
actions. A refresh answers from the moment it is due: what training takes is told, not waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, get_args

import numpy as np

from models.leave_one_out import accuracy
from models.recommender import FitProgress, Recommender
from models.registry import new_recommender
from models.temporal_split import TemporalSplit, Window, answers
from streams.config import Config
from streams.evaluation.offline import NothingToLearn
from streams.evaluation.offline_result import Figures
from streams.evaluation.plan import Start
from streams.evaluation.temporal_result import (
    TemporalResult,
    TemporalRun,
    TemporalWindow,
    Variant,
    VariantRun,
)
from streams.finished_log import FinishedLog

VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)
_REFRESHES: Final = 4
_HOUR_MS: Final = 3_600_000

OnShare = Callable[[str, float], object]
"""Told which share of the work on the model of a name is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporal:
    """What to evaluate.

    Attributes:
        models: Names in the registry.
        variants: Ways to keep up.
        start: T, the fraction one of the positive actions.
        sample: Share of the later actions that is asked about.
        seed: Of the generator that chooses them.
        refresh_every_h: Log time between two refreshes; None for a quarter of what follows T.
        overrides: The `--set` of the run.
    """

    models: Sequence[str]
    variants: Sequence[Variant] = VARIANTS
    start: Start
    sample: float = 1.0
    seed: int = 7
    refresh_every_h: float | None = None
    overrides: Sequence[str] = ()


def evaluate_temporal(
    asked: Temporal,
    log: FinishedLog,
    config: Config,
    on_share: OnShare = lambda _name, _share: None,
) -> TemporalResult:
    """Fit models to what is before T, refresh them, and ask them about what comes after.

    Raises:
        NothingToLearn: No positive action is before T, or none that is asked about after it.
        UnknownModel: There is none of a name.
    """
    split, every_ms = _split(asked, log)
    refreshed = list(split.windows(log.times_ms, every_ms))
    num_rows = len(log.history.items)
    before, after = split.num_items(np.array([split.begin, num_rows])).tolist()
    return TemporalResult(
        headrace=version("headrace"),
        file=log.name,
        file_digest=log.digest,
        items_digest=log.items_digest,
        configuration=config.digest(),
        overrides=list(asked.overrides),
        window=TemporalWindow(
            evaluate_from_ms=int(log.times_ms[split.begin]),
            evaluate_from_action=split.begin,
            sample=asked.sample,
            seed=asked.seed,
            refresh_every_h=every_ms / _HOUR_MS,
        ),
        actions=num_rows,
        items=after,
        items_before=before,
        questions=len(split.row_Q),
        never_seen=split.num_never_seen,
        repeated=split.num_repeated,
        refused=log.refused,
        models={
            name: _Contender(name, split, refreshed, on_share).run(asked.variants)
            for name in asked.models
        },
    )


def _split(asked: Temporal, log: FinishedLog) -> tuple[TemporalSplit, int]:
    """Return the questions, and the log time between two refreshes."""
    begin = asked.start.place(log.times_ms)
    split = TemporalSplit(log.history, begin, sample=asked.sample, seed=asked.seed)
    if not begin or not len(split.row_Q):
        raise NothingToLearn(
            f"{log.name} has {len(log.history.items)} positive actions, {begin} of them before "
            f"--evaluate-from, and {len(split.row_Q)} of the others are asked about: at least one "
            "of each is needed. Which actions are positive is set by actions.<name>.effect"
        )
    if asked.refresh_every_h is not None:
        return split, max(int(asked.refresh_every_h * _HOUR_MS), 1)
    # So that the last action is in the last of the quarters.
    rest_ms = int(log.times_ms[-1] - log.times_ms[begin]) + 1
    return split, -(-rest_ms // _REFRESHES)


class _Contender:
    """One model in all its variants; what they have learned until T is learned once."""

    def __init__(
        self, name: str, split: TemporalSplit, refreshed: Sequence[Window], on_share: OnShare
    ) -> None:
        self._name = name
        self._split = split
        self._refreshed = refreshed
        self._on_share = on_share
        self._model = new_recommender(name)
        self._num_fits = 0
        self._planned = 1

    def run(self, variants: Iterable[Variant]) -> TemporalRun:
        """Evaluate variants, in the order of VARIANTS: `warm` changes the model of the others."""
        first = self._split.training(self._split.begin)
        # Nothing is learned by asking whether it could be.
        goes_on = self._model.continue_fit(first) is not None
        chosen = [variant for variant in VARIANTS if variant in variants]
        possible = [variant for variant in chosen if goes_on or variant != "warm"]
        num_due = sum(cutoff > self._split.begin for cutoff, _ in self._refreshed)
        self._planned += num_due * sum(variant != "stale" for variant in possible)
        first_cpu_s = self._fit(self._model.fit(first))
        runs: dict[Variant, VariantRun | None] = dict.fromkeys(chosen)
        for variant in possible:
            runs[variant] = self._variant(variant, first_cpu_s)
        return TemporalRun(settings=dict(self._model.settings()), variants=runs)

    def _variant(self, variant: Variant, first_cpu_s: float) -> VariantRun:
        rank_Q = np.zeros(len(self._split.row_Q), np.int64)
        num_fits, fit_cpu_s, ask_cpu_s, num_unknown = 1, first_cpu_s, 0.0, 0
        model = self._model
        windows = [self._split.stale_window()] if variant == "stale" else self._refreshed
        for cutoff, places in windows:
            if cutoff > self._split.begin:
                model, spent_s = self._refresh(variant, cutoff)
                num_fits, fit_cpu_s = num_fits + 1, fit_cpu_s + spent_s
            begun_s = time.process_time()
            found = answers(model, self._split, places)
            ask_cpu_s += time.process_time() - begun_s
            rank_Q[places] = found.rank_Q
            num_unknown += found.num_unknown
        return VariantRun(
            fits=num_fits,
            fit_cpu_s=fit_cpu_s,
            ask_cpu_s=ask_cpu_s,
            unknown=num_unknown,
            test=Figures.of(accuracy(rank_Q)),
        )

    def _refresh(self, variant: Variant, cutoff: int) -> tuple[Recommender, float]:
        """Return the model that knows all rows before a cut-off, and its processor time."""
        training = self._split.training(cutoff)
        if variant == "warm":
            steps = self._model.continue_fit(training)
            assert steps is not None, "asked before"
            return self._model, self._fit(steps)
        model = new_recommender(self._name)
        return model, self._fit(model.fit(training))

    def _fit(self, steps: Iterator[FitProgress]) -> float:
        begun_s = time.process_time()
        for progress in steps:
            self._on_share(self._name, (self._num_fits + progress.done) / self._planned)
        self._num_fits += 1
        return time.process_time() - begun_s

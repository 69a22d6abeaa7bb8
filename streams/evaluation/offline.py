"""How do models that learn from a finished log get trained and compared?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from models.leave_one_out import (
    LeaveOneOut,
    Question,
    accuracy,
    leave_one_out,
    target_ranks,
    validation_ndcg,
)
from models.recommender import FitProgress, Recommender
from models.registry import new_recommender
from streams.config import Config
from streams.evaluation.offline_result import Figures, OfflineResult, OfflineRun
from streams.finished_log import FinishedLog

OnProgress = Callable[[str, FitProgress], object]
"""Told how far the model of a name is."""


class NothingToLearn(ValueError):
    """A log has no user of three positive actions."""


class Judge:
    """Validates the passes of a fit, and keeps the time that it takes."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self.cpu_s = 0.0
        self.best = 0.0

    def __call__(self, model: Recommender) -> float:
        """Return how good the model is now; larger is better."""
        begun_s = time.process_time()
        found = validation_ndcg(model, self._questions)
        self.cpu_s += time.process_time() - begun_s
        self.best = max(self.best, found)
        return found


def split_of(log: FinishedLog) -> LeaveOneOut:
    """Take a log apart.

    Raises:
        NothingToLearn: Nobody could be asked about.
    """
    split = leave_one_out(log.history)
    if not split.test:
        raise NothingToLearn(
            f"{log.name} has {split.num_users} users with a positive action, and none with three: "
            "nothing can be held out. Which actions are positive is set by actions.<name>.effect"
        )
    return split


def evaluate_offline(
    names: Sequence[str],
    log: FinishedLog,
    config: Config,
    *,
    overrides: Sequence[str] = (),
    on_progress: OnProgress = lambda _name, _progress: None,
) -> OfflineResult:
    """Fit models one after the other and read each one's test once.

    Raises:
        NothingToLearn: Nobody could be asked about.
        UnknownModel: There is none of a name.
    """
    split = split_of(log)
    return OfflineResult(
        headrace=version("headrace"),
        file=log.name,
        file_digest=log.digest,
        items_digest=log.items_digest,
        configuration=config.digest(),
        overrides=list(overrides),
        users=split.num_users,
        items=split.num_items,
        questions=len(split.test),
        refused=log.refused,
        models={name: _run(name, split, on_progress) for name in names},
    )


def _run(name: str, split: LeaveOneOut, on_progress: OnProgress) -> OfflineRun:
    model, judge = new_recommender(name), Judge(split.validation)
    begun_s, best_pass = time.process_time(), 0
    for progress in model.fit(split.training, validate=judge):
        if progress.validation is not None and progress.validation == judge.best:
            best_pass = progress.epoch
        on_progress(name, progress)
    fit_cpu_s = time.process_time() - begun_s - judge.cpu_s
    return OfflineRun(
        settings=dict(model.settings()),
        best_pass=best_pass,
        fit_cpu_s=fit_cpu_s,
        judge_cpu_s=judge.cpu_s,
        validation=Figures.of(accuracy(target_ranks(model, split.validation))),
        test=Figures.of(accuracy(target_ranks(model, split.test))),
    )

"""What does `headrace evaluate --protocol leave-one-out` write? Its RESULT.json."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct, field

from models.leave_one_out import Accuracy
from streams.result_file import Count, RunResult, Share

RESULT_VERSION: Final = 1


class Figures(Struct, frozen=True, kw_only=True):
    """How high the held-out items stood among all, means over the users asked about."""

    hr_10: Share | None = field(name="hr@10", default=None)
    hr_20: Share | None = field(name="hr@20", default=None)
    ndcg_10: Share | None = field(name="ndcg@10", default=None)
    ndcg_20: Share | None = field(name="ndcg@20", default=None)
    mrr_10: Share | None = field(name="mrr@10", default=None)
    mrr_20: Share | None = field(name="mrr@20", default=None)

    @classmethod
    def of(cls, accuracy: Accuracy) -> Figures:
        """Return the same under the names that results have."""
        return cls(
            hr_10=accuracy.hr_10,
            hr_20=accuracy.hr_20,
            ndcg_10=accuracy.ndcg_10,
            ndcg_20=accuracy.ndcg_20,
            mrr_10=accuracy.mrr_10,
            mrr_20=accuracy.mrr_20,
        )


class OfflineRun(Struct, frozen=True, kw_only=True):
    """One model.

    Attributes:
        settings: Its own.
        best_pass: The pass over the log whose weights were kept; 0 for models without passes.
        fit_cpu_s: Processor time of training.
        judge_cpu_s: And of validating the passes.
        validation: Figures by which training stopped.
        test: Figures, read once.
    """

    settings: dict[str, Any]
    best_pass: Count
    fit_cpu_s: float
    judge_cpu_s: float
    validation: Figures
    test: Figures


class OfflineResult(RunResult, frozen=True, kw_only=True):
    """RESULT.json of the protocol.

    Attributes:
        version: Of this format.
        protocol: How it was evaluated.
        users: Users with a positive action.
        items: Items that they acted on.
        questions: Users who were asked about: those with three actions and more.
        refused: Refused lines by reason.
        models: By name.
    """

    version: Literal[1] = RESULT_VERSION
    protocol: Literal["leave-one-out"] = "leave-one-out"
    users: Count
    items: Count
    questions: Count
    refused: dict[str, Count]
    models: dict[str, OfflineRun]

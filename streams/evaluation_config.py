"""What does `headrace evaluate` compare with the system's own lists and predictions?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from models.checks import require
from models.rankers.registry import RANKERS

MIN_TRAINING_MS: Final = 300_000
"""What is trained in batches serves so much later than its data's cut-off, or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """The section `[evaluation]`; it changes no list.

    Attributes:
        rankers: Names among `models.rankers.registry.RANKERS`.
        train_interval_s: Event time between two trainings of those that are not online.
        model_interval_s: The same of the models in `online.extra_sources` but the transformer, not
            below `MIN_TRAINING_MS`: loaded bundles would queue up; inf for none.
        model_seed: Of models that begin at random, the transformer included, and of the rankers.
        delays_s: By which a part of what is known is late (`streams.evaluation.delays`), or inf.
    """

    rankers: tuple[str, ...] = ()
    train_interval_s: float = 3600.0
    model_interval_s: float = 21_600.0
    model_seed: int = 0
    delays_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no ranker, no interval, no seed, no delay.

        Raises:
            ValueError: Naming every bad value.
        """
        unknown = [name for name in self.rankers if name not in RANKERS]
        delays_s = {delay_s for delay_s in self.delays_s if delay_s >= 0}
        least_s = MIN_TRAINING_MS / 1000
        is_delay = len(delays_s) == len(self.delays_s)
        require(
            (not unknown, f"rankers among {', '.join(RANKERS)} (found {', '.join(unknown)})"),
            (
                self.train_interval_s > 0,
                f"train_interval_s above 0 (found {self.train_interval_s})",
            ),
            (
                self.model_interval_s >= least_s,
                f"model_interval_s from {least_s:.0f} on, or inf (found {self.model_interval_s})",
            ),
            (self.model_seed >= 0, f"model_seed not below 0 (found {self.model_seed})"),
            (is_delay, f"delays_s different ones from 0 on, or inf (found {list(self.delays_s)})"),
        )

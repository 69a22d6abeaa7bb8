"""Which settings have the trainer, and the live gate that what it trains must pass?

Sections of the configuration as those of `streams.sections`.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.checks import require


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerConfig:
    """The minutes clock.

    Attributes:
        metrics_port: Port of `/metrics`.
        folder: Where bundles and the trainer's history are kept.
        interval_s: Time between two trainings, at most.
        interval_actions: Actions after which a training begins sooner.
        target_action: The kind of action that lists are made for.
        min_actions: Actions below which nothing is trained; of a ranker, answered slates.
        max_actions: Actions kept to train on, the newest.
        counter_actions: For how many of the newest it is kept what the counters said before them;
            only these are trained on again.
        held_out_share: Share of the new actions, the newest, that the gate scores.
        max_held_out: Most of them; of a ranker, most clicked slates among them.
        max_slates: Answered slates that a ranker is trained on, the newest.
        reads_attributes: Whether the transformer learns what the topic of items tells by then; in
            an evaluation, what `--items` tells.
    """

    metrics_port: int = 9103
    folder: str = ".headrace/models"
    interval_s: float = 600.0
    interval_actions: int = 100_000
    target_action: str = "click"
    min_actions: int = 2_000
    max_actions: int = 2_000_000
    counter_actions: int = 300_000
    held_out_share: float = 0.1
    max_held_out: int = 5_000
    max_slates: int = 100_000
    reads_attributes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveGateConfig:
    """How two bundles are compared on live traffic; `streams.learner.live_gate` says what follows.

    Attributes:
        min_compared: Actions after which a candidate is judged, and a promoted bundle first.
        max_compared: Actions after which a promoted bundle has stood the test.
        confidence: That a bundle which is no worse is not taken for worse, over all looks.
        tolerance: How much worse lists may be in their log score, in nats, and still count as
            equal.
        own_tolerance: The same of the MRR of a bundle alone, as a share of the other one's.
        deadline_s: How long a candidate waits for `min_compared` actions.
        compare_rate: Share of lists that are made with the challenger, too, while there is one.
    """

    min_compared: int = 200
    max_compared: int = 1_600
    confidence: float = 0.99
    tolerance: float = 0.005
    own_tolerance: float = 0.2
    deadline_s: float = 300.0
    compare_rate: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what decides nothing.

        Raises:
            ValueError: Naming every bad value.
        """
        require(
            (self.min_compared >= 20, "min_compared at least 20"),
            (self.max_compared >= self.min_compared, "max_compared at least min_compared"),
            (0.5 <= self.confidence < 1, "confidence from 0.5 to below 1"),
            (0 <= self.tolerance < 1, "tolerance from 0 to below 1"),
            (0 <= self.own_tolerance < 1, "own_tolerance from 0 to below 1"),
            (self.deadline_s > 0, "deadline_s above 0"),
            (0 <= self.compare_rate <= 1, "compare_rate from 0 to 1"),
        )

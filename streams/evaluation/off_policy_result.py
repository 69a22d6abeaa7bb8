"""What does `headrace off-policy` write? Its RESULT.json; docs/evaluation.md explains it."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from streams.evaluation.result import AttributionRule
from streams.result_file import Count, RunResult, Share

RESULT_VERSION: Final = 1


class Bounds(Struct, frozen=True, kw_only=True):
    """An interval at the run's level; null where there is no bound."""

    low: float | None
    high: float | None


class PolicyEstimate(Struct, frozen=True, kw_only=True):
    """Clicks per slot, in expectation, if the policy had filled the slots.

    Attributes:
        value: The estimate.
        interval: Of it.
        difference: How much it is above what the logging policy earned on the same slots.
        difference_interval: Of that, from the same bootstrap samples.
    """

    value: float
    interval: Bounds
    difference: float
    difference_interval: Bounds


class Weights(Struct, frozen=True, kw_only=True):
    """Whether the weights carry the estimates.

    Attributes:
        mean: Of weights before clipping; 1 is expected.
        mean_interval: Of it.
        largest: Before clipping.
        effective_slots: Kish's effective sample size, of the weights as used.
        effective_rewards: The same of weight times reward.
        clipped: How many were clipped.
    """

    mean: float
    mean_interval: Bounds
    largest: float
    effective_slots: float
    effective_rewards: float
    clipped: Count


class PolicyRun(Struct, frozen=True, kw_only=True):
    """One policy.

    Attributes:
        estimates: By estimator: ips, snips, dr.
        weights: What they rest on.
        warnings: Why they may not be believed; empty where nothing speaks against them.
    """

    estimates: dict[str, PolicyEstimate]
    weights: Weights
    warnings: list[str]


class Drawing(Struct, frozen=True, kw_only=True):
    """How a ranker's list is drawn; both null for the best first, always.

    Attributes:
        epsilon: Chance that a list is a random one.
        temperature: Of a Plackett-Luce draw.
    """

    epsilon: Share | None = None
    temperature: float | None = None


class OffPolicyResult(RunResult, frozen=True, kw_only=True):
    """RESULT.json of the command.

    Attributes:
        version: Of this format.
        protocol: How it was evaluated.
        learn_until: Share of the events that rankers learned from and that were not evaluated.
        evaluate_from_event: Place of the first event that was evaluated, from 0.
        candidates: What the policies chose from at each impression.
        drawing: How their lists were drawn.
        clip: At which weights were clipped; null for not at all.
        level: Of the intervals.
        seed: Of their bootstrap samples of users.
        attribution: The join, and how often slates and clicks met each fate.
        slots: Shown items that were evaluated.
        slates: They stood in.
        users: Who saw them.
        logged: Clicks per slot as they were: what the logging policy earned.
        policies: By name.
        refused: Refused lines by reason.
        cpu_s: Processor time of the run.
    """

    version: Literal[1] = RESULT_VERSION
    protocol: Literal["off-policy"] = "off-policy"
    learn_until: Share
    evaluate_from_event: Count
    candidates: Literal["recall", "all"]
    drawing: Drawing
    clip: float | None
    level: Share
    seed: int
    attribution: AttributionRule
    slots: Count
    slates: Count
    users: Count
    logged: PolicyEstimate
    policies: dict[str, PolicyRun]
    refused: dict[str, Count]
    cpu_s: float

"""What does `headrace evaluate --protocol temporal` write? Its RESULT.json."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from streams.evaluation.offline_result import Figures
from streams.result_file import Count, RunResult, Share

RESULT_VERSION: Final = 1

Variant = Literal["stale", "retrained", "warm"]


class VariantRun(Struct, frozen=True, kw_only=True):
    """One model, kept up with the log in one way.

    Attributes:
        fits: How often it learned.
        fit_cpu_s: Processor time of that.
        ask_cpu_s: And of answering.
        unknown: Questions about an item that the model did not know; misses.
        test: Figures over all questions.
    """

    fits: Count
    fit_cpu_s: float
    ask_cpu_s: float
    unknown: Count
    test: Figures


class TemporalRun(Struct, frozen=True, kw_only=True):
    """One model.

    Attributes:
        settings: Its own.
        variants: By name; null where the model cannot go on from its weights.
    """

    settings: dict[str, Any]
    variants: dict[Variant, VariantRun | None]


class TemporalWindow(Struct, frozen=True, kw_only=True):
    """What was asked.

    Attributes:
        evaluate_from_ms: Event time of the first positive action that is tested, T.
        evaluate_from_action: Its place among the positive actions, from 0.
        sample: Share of the actions from there on that was asked about.
        seed: Of the generator that chose them.
        refresh_every_h: Log time between two fits of `retrained` and `warm`, hours.
    """

    evaluate_from_ms: int
    evaluate_from_action: Count
    sample: Share
    seed: int
    refresh_every_h: float


class TemporalResult(RunResult, frozen=True, kw_only=True):
    """RESULT.json of the protocol.

    Attributes:
        version: Of this format.
        protocol: How it was evaluated.
        window: What was asked.
        actions: Positive actions on items.
        items: Items that they are on.
        items_before: Those of them that are known at T.
        questions: Actions that were asked about.
        never_seen: Of these, on an item that had not occurred in the log before; misses.
        repeated: Of these, on an item that the user had acted upon before; misses.
        refused: Refused lines by reason.
        models: By name.
    """

    version: Literal[1] = RESULT_VERSION
    protocol: Literal["temporal"] = "temporal"
    window: TemporalWindow
    actions: Count
    items: Count
    items_before: Count
    questions: Count
    never_seen: Count
    repeated: Count
    refused: dict[str, Count]
    models: dict[str, TemporalRun]

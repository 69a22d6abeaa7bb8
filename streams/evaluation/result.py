"""What does `headrace evaluate` write? The RESULT.json of the `stream` protocol.

A figure that a log cannot give (p(click) without impressions, a rank without evaluated actions) is
null, never 0. docs/evaluation.md explains each.
"""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct, field

from streams.click_quality import ClickQuality, RankerQuality
from streams.evaluation.outcomes import Outcomes
from streams.result_file import Count, RunResult, Share

RESULT_VERSION: Final = 2
Part: TypeAlias = Literal["counters", "state", "weights"]
"""What a list is made of, by the clock that keeps it fresh; `streams.evaluation.delays`."""


class Ranked(Struct, frozen=True, kw_only=True):
    """How high the item of the evaluated action stood; means over all evaluated actions."""

    hr_10: Share | None = field(name="hr@10", default=None)
    hr_20: Share | None = field(name="hr@20", default=None)
    ndcg_10: Share | None = field(name="ndcg@10", default=None)
    mrr_20: Share | None = field(name="mrr@20", default=None)


class ServedAndAsked(Struct, frozen=True, kw_only=True):
    """The list that the store held at the action, and one computed at the action's time."""

    served: Ranked
    asked: Ranked


class SourceFigures(ServedAndAsked, frozen=True, kw_only=True):
    """A source alone, on the candidates of all, which it only has to order; and on its own.

    Attributes:
        proposed: A list of what it proposed itself when asked, as far as `retrieval.limits` let it,
            without what must not be listed: what it would be worth without the others.
    """

    proposed: Ranked = Ranked()


class NextItem(Struct, frozen=True, kw_only=True):
    """How well the lists foresee the item of the next label action.

    Attributes:
        served: The list in the store, left by the user's last action or visit, or `rec:popular`.
        asked: A list computed at the action's time, without knowing anything of the action.
        coverage: Share of the items known at the end, by an event or by the catalogue, that stood
            in at least one list served.
        evaluated: Number of actions evaluated.
        recall_miss: Of these, actions whose item was neither among the candidates when asked nor
            among the unmet items at the list's end.
        never_seen: Of these, actions whose item had not occurred in the log before. Always misses,
            but for items of which the catalogue had told.
        popular_served: Of these, actions whose user had no list of their own.
    """

    served: Ranked
    asked: Ranked
    coverage: Share | None
    evaluated: Count
    recall_miss: Count
    never_seen: Count
    popular_served: Count


class Delayed(Struct, frozen=True, kw_only=True):
    """Lists that were asked for as `asked` is, but for one part of what is known, which came late.

    Attributes:
        part: Which.
        delay_s: How late, in event time; null where it was not renewed once the evaluation began.
        asked: How high the items stood.
    """

    part: Part
    delay_s: float | None
    asked: Ranked = Ranked()

    @classmethod
    def by(cls, delay_s: float, part: Part) -> Delayed:
        """Return lists without figures; an infinite delay is none."""
        return cls(part=part, delay_s=delay_s if math.isfinite(delay_s) else None)

    @property
    def name(self) -> str:
        """Their name among the outcomes."""
        delay = "never" if self.delay_s is None else f"{self.delay_s:.15g} s"
        return f"{self.part} {delay}"


class RankerCost(Struct, frozen=True, kw_only=True):
    """What one ranker of the run cost, in processor seconds.

    Attributes:
        predicting_s: Every slate as shown, and once more without positions.
        learning_s: Of answered slates, and of its trainings if it is trained in batches.
        slates: That it predicted, those of the warm-up included.
    """

    predicting_s: float
    learning_s: float
    slates: Count


class ModelCost(Struct, frozen=True, kw_only=True):
    """What training one model of the run cost.

    Attributes:
        trainings: How often it was trained; of the transformer, the gate's refusals included.
        actions: That it learned, over all trainings: whoever learns everything anew counts an
            action each time.
        training_s: Processor seconds of all trainings.
        bundle_mb: Size of its last bundle, in 10^6 bytes.
    """

    trainings: Count = 0
    actions: Count = 0
    training_s: float = 0.0
    bundle_mb: float = 0.0

    def plus(self, *, actions: int, training_s: float, bundle_mb: float) -> ModelCost:
        """Return the cost with one training more."""
        return ModelCost(
            trainings=self.trainings + 1,
            actions=self.actions + actions,
            training_s=self.training_s + training_s,
            bundle_mb=bundle_mb,
        )


class Cost(Struct, frozen=True, kw_only=True):
    """What the run cost on this machine.

    Attributes:
        cpu_s: Processor time of the process.
        wall_s: Time from start to end.
        peak_rss_mb: Largest resident memory, in 10^6 bytes.
        events: Events read.
        lists: Lists computed.
        training_cpu_s: Part of `cpu_s` that models were trained in.
        rankers: Part of it that each compared ranker took.
        models: Of the trainings, by model.
    """

    cpu_s: float
    wall_s: float
    peak_rss_mb: float
    events: Count
    lists: Count
    training_cpu_s: float
    rankers: dict[str, RankerCost] = {}
    models: dict[str, ModelCost] = {}


class Window(Struct, frozen=True, kw_only=True):
    """What was evaluated: which part of the file, and which share of its label actions.

    Attributes:
        evaluate_from_ms: Event time of the first evaluated event; null where there is none.
        evaluate_from_event: Its place in the file, from 0.
        sample: Share of label actions evaluated.
        seed: Of the generator that chose them.
    """

    evaluate_from_ms: int | None
    evaluate_from_event: Count
    sample: Share
    seed: int


class AttributionRule(Struct, frozen=True, kw_only=True):
    """The rule by which clicks were attributed, and how often each fate occurred.

    Slates still open at the file's end are closed there, as if their windows had ended.
    """

    window_ms: Count
    after_click_ms: Count
    outcomes: dict[str, Count]


class Ingested(Struct, frozen=True, kw_only=True):
    """What the file held: events by outcome, refused ones by reason."""

    outcomes: dict[str, Count]
    refused: dict[str, Count]


class BundleRun(Struct, frozen=True, kw_only=True):
    """A bundle that the run trained.

    Attributes:
        model: Which, by the name of its source.
        digest: Of the bundle.
        cutoff_event: Events before this place were its data.
        usable_from_ms: Event time from which it could be used, its cut-off plus its training time;
            at the log's end it may not have come yet.
    """

    model: str = "transformer"
    digest: str
    cutoff_event: Count
    usable_from_ms: Count


class Result(RunResult, frozen=True, kw_only=True):
    """RESULT.json.

    Attributes:
        version: Of this format.
        protocol: How it was evaluated.
        window: What was evaluated.
        attribution: The join.
        next_item: The headline.
        delayed: The same actions where a part of what is known is late, by `evaluation.delays_s`.
        sources: Each recall source alone, ordering by its own score.
        models: Each order of the same candidates: the re-ranker's, the tuned source order, that of
            p(click), the choice head's.
        click: p(click).
        rankers: The same of each ranker that was compared, on the same slates; an order without
            probabilities has no entropy, logloss and calibration.
        ingested: What the file held.
        bundles: What was trained in the run, each model's in order, used in it or not.
        cost: What it cost.
        outcomes: How each evaluated action and slate fared, for `headrace compare`.
    """

    version: Literal[2] = RESULT_VERSION
    protocol: Literal["stream"] = "stream"
    window: Window
    attribution: AttributionRule
    next_item: NextItem
    delayed: list[Delayed] = field(default_factory=list)
    sources: dict[str, SourceFigures]
    models: dict[str, ServedAndAsked]
    click: ClickQuality
    rankers: dict[str, RankerQuality] = field(default_factory=dict)
    ingested: Ingested
    bundles: list[BundleRun]
    cost: Cost
    outcomes: Outcomes = Outcomes()


def decode_result(value: bytes) -> Result:
    """Return the result that was written.

    Raises:
        msgspec.ValidationError: It is none.
    """
    return msgspec.json.decode(value, type=Result)

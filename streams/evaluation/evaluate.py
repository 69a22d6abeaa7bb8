"""How good would the lists and predictions have been on this log? The `stream` protocol.

The file's events go one by one through the very pipeline and learner of the live system
(`streams.one_process`), and nothing is stale but the lists in the store. What a catalogue says of
the items becomes known as the log goes on (`streams.evaluation.log_catalogue`). Before an evaluated
action is taken in, two lists are judged: the one that the store holds, and one asked for at the
action's time, which knows the user's last event, the time, and nothing of the action.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from featurestore.actions import ActionTable
from featurestore.events import (
    Action,
    CatalogueItem,
    Event,
    EventRefused,
    UserId,
    decode_event,
)
from featurestore.fold import Outcome
from featurestore.keys import item_key
from featurestore.lists import RecommendationList
from featurestore.state import EMPTY_STATE
from models.online.vocabulary import UNKNOWN
from streams.config import Config
from streams.evaluation.delays import DelayedLists
from streams.evaluation.lists import Judge, JudgedList, place_in
from streams.evaluation.log_catalogue import LogCatalogue
from streams.evaluation.models import EvaluationModels
from streams.evaluation.outcomes import OutcomeLog
from streams.evaluation.plan import Plan, Start, plan
from streams.evaluation.rankers import EvaluationRankers
from streams.evaluation.result import (
    AttributionRule,
    BundleRun,
    Cost,
    Ingested,
    ModelCost,
    RankerCost,
    Result,
    Window,
)
from streams.evaluation.tally import ClickTally, ItemTally, Verdict
from streams.evaluation.watch_times import check_watch_times
from streams.event_file import read_values
from streams.item_log import digest_of, read_items
from streams.learner.shared_lists import SharedLists
from streams.one_process import OneProcess
from streams.pipeline.live import TRANSFORMER
from streams.pipeline.queries import Asked

if TYPE_CHECKING:
    from streams.evaluation.training import EvaluationTrainer

_PROGRESS_EVENTS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is to be evaluated.

    Attributes:
        path: The event file.
        start: Where evaluation begins; everything before it is learned from, too.
        sample: Share of label actions evaluated, by `seed`.
        seed: See `streams.evaluation.plan.plan`.
        overrides: The `--set` by which the configuration was made, to be named in the result.
        train_interval_ms: Event time between two trainings of the transformer; None for none.
        items: A file of the catalogue's records; None for a log that nothing is told of.
    """

    path: Path
    start: Start
    sample: float = 1.0
    seed: int = 7
    overrides: tuple[str, ...] = ()
    train_interval_ms: int | None = None
    items: Path | None = None


def evaluate(
    evaluation: Evaluation,
    config: Config,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Result:
    """Run the `stream` protocol.

    Args:
        evaluation: What.
        config: As the live system would have it.
        on_progress: Told now and then how many events of how many are done.

    Raises:
        DelaysRefused: Late lists are to be judged beside models of finished logs.
        EventFileError: A file cannot be read, or a line of `items` is no record of an item.
        NoWatchTimes: A ranker of watch times is to be compared on a log without any.
    """
    cpu_s, wall_s = time.process_time(), time.monotonic()
    items = None if evaluation.items is None else read_items(evaluation.items)
    planned = plan(
        read_values(evaluation.path),
        config.action_table(),
        evaluation.start,
        sample=evaluation.sample,
        seed=evaluation.seed,
    )
    values = read_values(evaluation.path)
    check_watch_times(config.evaluation.rankers, values, config.action_table())
    run = _Run(config, planned, items)
    with tempfile.TemporaryDirectory(prefix="headrace-evaluate-") as folder:
        run.train_models(Path(folder))
        if evaluation.train_interval_ms is not None:
            run.train_every(evaluation.train_interval_ms, Path(folder))
        for place, value in enumerate(read_values(evaluation.path)):
            run.take(place, value)
            if place % _PROGRESS_EVENTS == 0:
                on_progress(place, planned.num_events)
    run.finish()
    on_progress(planned.num_events, planned.num_events)
    cost = Cost(
        cpu_s=time.process_time() - cpu_s,
        wall_s=time.monotonic() - wall_s,
        peak_rss_mb=_peak_rss_mb(),
        events=planned.num_events,
        lists=run.num_lists,
        training_cpu_s=sum(cost.training_s for cost in run.model_costs.values()),
        rankers=run.ranker_costs,
        models=run.model_costs,
    )
    return run.result(evaluation, cost)


class _Run:
    """One pass over the file."""

    def __init__(
        self, config: Config, planned: Plan, items: Sequence[CatalogueItem] | None = None
    ) -> None:
        self._config = config
        self._plan = planned
        self._table: ActionTable = config.action_table()
        self._system = OneProcess(config)
        self._live = self._system.live
        self._catalogue = LogCatalogue(items or (), config.side, self._put_item)
        self._judge = Judge(config, self._live)
        self._stored: dict[UserId, JudgedList] = {}
        self._log = OutcomeLog()
        self._items = ItemTally(self._log)
        self._clicks = ClickTally(planned.first, self._log)
        self._rankers = EvaluationRankers(
            config.evaluation.rankers,
            config.feature_layout(),
            first_event=planned.first,
            interval_ms=int(config.evaluation.train_interval_s * 1000),
            seed=config.evaluation.model_seed,
        )
        self._delays: DelayedLists | None = None
        if config.evaluation.delays_s:
            self._delays = DelayedLists(config, self._live, first_event=planned.first)
        self._outcomes: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._digest = blake2b(digest_size=16)
        self._items_digest = None if items is None else digest_of(items)
        self._trainer: EvaluationTrainer | None = None
        self._models: EvaluationModels | None = None
        self.num_lists = 0

    def train_every(self, interval_ms: int, folder: Path) -> None:
        """Let a trainer refresh the transformer on what has been read so far."""
        from streams.evaluation.training import EvaluationTrainer  # noqa: PLC0415  # torch is slow

        self._trainer = EvaluationTrainer(
            self._config,
            self._live,
            attributes=self._catalogue.attributes,
            interval_ms=interval_ms,
            folder=folder,
        )

    def train_models(self, folder: Path) -> None:
        """Train the other models of `online.extra_sources` on what has been read so far."""
        self._models = EvaluationModels(
            self._config, self._live, attributes=self._catalogue.attributes, folder=folder
        )

    @property
    def model_costs(self) -> dict[str, ModelCost]:
        """What training each model took."""
        costs = {} if self._models is None else dict(self._models.costs)
        if self._trainer is not None:
            costs[TRANSFORMER] = self._trainer.cost
        return costs

    @property
    def ranker_costs(self) -> dict[str, RankerCost]:
        """What each compared ranker took."""
        return self._rankers.costs()

    def take(self, place: int, value: bytes) -> None:
        """Take the event at one place of the file in."""
        self._digest.update(value)
        try:
            event = decode_event(value)
        except EventRefused as refusal:
            self._refused[str(refusal.reason)] += 1
            self._process(place, None)
            return
        if self._delays is not None:
            self._delays.advance(place, event)
        self._catalogue.advance(event)
        verdict = None
        if self._plan.is_asked[place] and isinstance(event, Action):
            verdict = self._evaluated(place, event)
        # Not before: which item comes into the world with the action is the question.
        self._catalogue.meet(event)
        outcome = self._process(place, event)
        if verdict is not None and outcome is not Outcome.DUPLICATE:
            self._items.add(place, event.user_id, verdict)

    def finish(self) -> None:
        """Close the slates that are open at the file's end."""
        effects = self._system.finish()
        self._clicks.add(effects)
        self._rankers.settle(effects)

    def result(self, evaluation: Evaluation, cost: Cost) -> Result:
        """Return the figures."""
        config, planned = self._config, self._plan
        return Result(
            headrace=version("headrace"),
            file=evaluation.path.name,
            file_digest=self._digest.hexdigest(),
            items_digest=self._items_digest,
            configuration=config.digest(),
            overrides=list(evaluation.overrides),
            window=Window(
                evaluate_from_ms=planned.first_ms,
                evaluate_from_event=planned.first,
                sample=evaluation.sample,
                seed=evaluation.seed,
            ),
            attribution=AttributionRule(
                window_ms=config.attribution.window_ms,
                after_click_ms=config.attribution.after_click_ms,
                outcomes=dict(sorted(self._clicks.joins.items())),
            ),
            next_item=self._items.next_item(self._num_known_items()),
            delayed=[] if self._delays is None else self._delays.figures(self._log),
            sources=self._items.sources(),
            models=self._items.models(),
            click=self._clicks.quality(),
            rankers=self._rankers.quality(),
            ingested=Ingested(
                outcomes=dict(sorted(self._outcomes.items())),
                refused=dict(sorted(self._refused.items())),
            ),
            bundles=self._bundles(),
            cost=cost,
            outcomes=self._log.outcomes(),
        )

    def _num_known_items(self) -> int:
        vocabulary = self._live.online.vocabulary
        codes = (vocabulary.code(item_key(item_id)) for item_id in self._catalogue.reached)
        return len(vocabulary) + sum(code == UNKNOWN for code in codes)

    def _put_item(self, item: CatalogueItem) -> None:
        self._live.put_item(item)
        if self._delays is not None:
            self._delays.put_item(item)

    def _bundles(self) -> list[BundleRun]:
        trained = (one for one in (self._models, self._trainer) if one is not None)
        return [bundle for one in trained for bundle in one.bundles]

    def _process(self, place: int, event: Event | None) -> Outcome | None:
        """Let worker and learner take one place of the file in."""
        system = self._system
        effects = system.process(place, event, wants_lists=bool(self._plan.is_read[place]))
        self.num_lists += len(effects.listing.lists)
        for made, ranked in zip(effects.lists.values(), effects.listing.ranked, strict=False):
            state = effects.states[made.user_id]
            context = None if event is None else event.context
            asked = Asked(made.user_id, state, state.clock_ms, context)
            self._stored[made.user_id] = self._judge.judged(made, ranked, asked)
        learned = system.learn(place, effects)
        self._clicks.add(learned)
        self._rankers.take(effects.record, learned)
        if self._trainer is not None:
            self._trainer.take(effects.record, place)
        if self._models is not None:
            self._models.take(effects.record, place)
        if self._delays is not None and event is not None:
            self._delays.take(event, effects)
        for (_, outcome), number in effects.outcomes.items():
            self._outcomes[outcome] += number
            return Outcome(outcome)
        return None

    def _evaluated(self, place: int, event: Action) -> Verdict:
        """Judge the list in the store, and one asked for now, before the action is known."""
        item_id, stored = event.item_id or "", self._stored.pop(event.user_id, None)
        asked = self._judge.ask(
            event.user_id,
            self._system.states.get(event.user_id, EMPTY_STATE),
            now_ms=event.ts_ms,
            context=None if stored is None else stored.context,
            offset=place,
        )
        delayed = {} if self._delays is None else self._delays.places(place, event)
        self.num_lists += 1 + len(delayed)
        made = self._popular() if stored is None else stored.made
        return Verdict(
            served=place_in(made, item_id)
            if stored is None
            else self._judge.place(stored, item_id),
            asked=self._judge.place(asked, item_id),
            is_popular=stored is None,
            is_never_seen=self._live.online.vocabulary.code(item_key(item_id)) == UNKNOWN,
            served_items=tuple([item.item_id for item in made.items]),
            delayed=delayed,
        )

    def _popular(self) -> RecommendationList:
        lists = SharedLists(
            online=self._live.online,
            catalogue=self._live.catalogue,
            num_items=self._config.ranking.list_size,
            config_digest=self._config.digest(),
        )
        return lists.popular(computed_at_ms=0)


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kibibytes on Linux, bytes on macOS.
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6

"""What does the seconds clock know? All online models over one set of tables.

The learner owns the one instance that learns; a worker's replica is the same class, fed with the
learner's base and deltas, and only read. `learn_*` methods are called once per row of `examples`,
in its order: then the tables are a pure function of that log.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from models.online.click_head import ClickHead, ClickHeadConfig
from models.online.context_popularity import ContextPopularity, ContextPopularityConfig
from models.online.covisitation import Covisitation, CovisitationConfig
from models.online.fresh import Fresh
from models.online.item_factors import ItemFactors, ItemFactorsConfig
from models.online.item_statistics import ItemStatistics, ItemStatisticsConfig
from models.online.popularity import Popularity, PopularityConfig
from models.online.rerank_features import rerank_feature_names
from models.online.reranker import Reranker, RerankerConfig
from models.online.sources import (
    FACTORS,
    ContextSource,
    CovisitationSource,
    FactorsSource,
    FreshSource,
    TrendingSource,
    VelocitySource,
)
from models.online.tables import Delta, DeltaOutcome, TableSet
from models.online.vocabulary import UNKNOWN, Vocabulary, VocabularyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from models.online.choice_head import ChoiceHead
    from models.online.retrieval import Source

# Half-life of the longer popularity count, beside which the recent one shows what is gaining.
_LONG_INDEX = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineConfig:
    """Configuration of all online models.

    Attributes:
        initial_weights: Of the order in use until the re-ranker has learned a better one.
        extra_sources: Names of further sources that the re-ranker sees: "factors", which is learned
            here, and those that bundles bring.
        heads: Names of the heads whose log-odds it sees, of "click" and "choice".
    """

    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    popularity: PopularityConfig = field(default_factory=PopularityConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    contexts: ContextPopularityConfig = field(default_factory=ContextPopularityConfig)
    factors: ItemFactorsConfig = field(default_factory=ItemFactorsConfig)
    item_statistics: ItemStatisticsConfig = field(default_factory=ItemStatisticsConfig)
    click: ClickHeadConfig = field(default_factory=ClickHeadConfig)
    reranker: RerankerConfig = field(default_factory=RerankerConfig)
    initial_weights: dict[str, float] = field(default_factory=lambda: {"covisitation": 1.0})
    extra_sources: tuple[str, ...] = ("transformer",)
    heads: tuple[Literal["click", "choice"], ...] = ()

    def __post_init__(self) -> None:
        """Refuses parts that do not fit each other.

        Raises:
            ValueError: Naming the settings.
        """
        half_lives_ms = self.popularity.half_lives_ms
        if len(half_lives_ms) <= _LONG_INDEX:
            raise ValueError(f"popularity.half_lives_ms: found {half_lives_ms}, expected two")
        if self.contexts.names and self.contexts.half_life_ms not in half_lives_ms:
            raise ValueError(
                f"contexts.half_life_ms: found {self.contexts.half_life_ms}, expected one of "
                f"popularity's, {half_lives_ms}"
            )

    @property
    def bundle_sources(self) -> tuple[str, ...]:
        """Names of the sources that bundles bring."""
        return tuple(name for name in self.extra_sources if name != FACTORS)


class OnlineModels:
    """The learner's models, or a worker's replica of them."""

    def __init__(
        self,
        config: OnlineConfig,
        *,
        num_click_weights: int,
        key_of: Callable[[str], int],
        choice: ChoiceHead | None = None,
    ) -> None:
        """Starts with nothing learned, at offset 0.

        Args:
            config: See there.
            num_click_weights: Weights that the click head's features may name.
            key_of: An item id's key, never 0: the same on every machine and for ever.
            choice: The choice head with nothing learned, where it is in use.
        """
        self.config = config
        self._key_of = key_of
        self.vocabulary = Vocabulary(config.vocabulary)
        self.popularity = Popularity(config.popularity)
        self.covisitation = Covisitation(config.covisitation)
        self.contexts = ContextPopularity(config.contexts)
        self.statistics = ItemStatistics(config.item_statistics)
        self.fresh = Fresh()
        self.factors = ItemFactors(config.factors) if FACTORS in config.extra_sources else None
        self.click = ClickHead(config.click, num_click_weights)
        self.choice = choice
        self.sources = self._make_sources()
        names = [*[source.name for source in self.sources], *config.bundle_sources]
        self.rerank_feature_names = rerank_feature_names(names, config.heads)
        self.reranker = Reranker(config.reranker, self.rerank_feature_names, config.initial_weights)
        # Rows of these tables are items.
        self._of_items = (
            self.popularity.table,
            self.covisitation.table,
            self.statistics.table,
            self.fresh.table,
            *([] if self.factors is None else [self.factors.table]),
        )
        self.tables = TableSet(
            {
                table.name: table
                for table in (
                    self.vocabulary.table,
                    *self._of_items,
                    *self.popularity.tables,
                    *self.contexts.tables,
                    *self.statistics.tables,
                    *([] if self.factors is None else self.factors.tables),
                    self.click.table,
                    *self.reranker.tables,
                    *([] if choice is None else [choice.table]),
                )
            }.values()
        )

    def _make_sources(self) -> tuple[Source, ...]:
        config, contexts = self.config, self.contexts
        popularity, covisitation = self.popularity, self.covisitation
        sources: list[Source] = [
            TrendingSource(popularity),
            CovisitationSource(covisitation, popularity),
            FreshSource(self.fresh),
            VelocitySource(popularity, _LONG_INDEX),
        ]
        if contexts.names:
            index = config.popularity.half_lives_ms.index(config.contexts.half_life_ms)
            sources += [
                ContextSource(contexts, position, popularity, index)
                for position in range(len(contexts.names))
            ]
        if self.factors is not None:
            sources.append(FactorsSource(self.factors, popularity, _LONG_INDEX))
        return tuple(sources)

    @property
    def num_previous(self) -> int:
        """How many of a user's last positive items are learned from or asked with, at most."""
        covisitation = self.config.covisitation
        num_recent = 0 if self.factors is None else self.factors.num_recent
        return max(len(covisitation.learn_weights), len(covisitation.query_weights), num_recent)

    # ---- learning: the learner's instance only

    def learn_action(
        self,
        item_id: str,
        *,
        weight: float,
        time_ms: int,
        previous: Sequence[int],
        context: Mapping[str, object] | None = None,
    ) -> None:
        """Counts a positive action.

        Args:
            item_id: What was acted on.
            weight: Of the action, above 0; others are ignored.
            time_ms: Event time.
            previous: Keys of the user's preceding positive items, the latest first.
            context: Of the event.
        """
        if weight <= 0:
            return
        code = self._code(item_id, time_ms)
        self.popularity.learn(code, weight, time_ms)
        codes = [self.vocabulary.code(key) for key in previous]
        self.covisitation.learn(codes, code, weight, time_ms)
        if self.factors is not None:
            self.factors.learn(codes, code, weight)
        if context:
            self.contexts.learn(self.contexts.rows(context), code, weight, time_ms)

    def learn_impression(
        self, item_ids: Sequence[str], *, time_ms: int, uncounted: Collection[int] = ()
    ) -> None:
        """Counts that items were shown, when they are: waiting for clicks would bias their rate.

        Args:
            item_ids: All of them get a code.
            time_ms: Event time.
            uncounted: Indices of those that are not counted.
        """
        codes = [self._code(item_id, time_ms) for item_id in item_ids]
        counted = [code for place, code in enumerate(codes) if place not in uncounted]
        self.statistics.learn_impressions(counted, time_ms)

    def learn_click(
        self,
        item_ids: Sequence[str],
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        *,
        time_ms: int,
        example_weights: NDArray[np.float64] | None = None,
    ) -> None:
        """Takes a shown slate whose clicks are known; see `ClickHead.learn`."""
        self.click.learn(relevance, examination, labels, example_weights)
        for item_id, label in zip(item_ids, labels.tolist(), strict=True):
            if label:
                self.statistics.learn_click(self._code(item_id, time_ms), time_ms)

    def learn_item(self, item_id: str, *, time_ms: int, published_at_ms: int | None = None) -> None:
        """Gives an item a code, so that it can be recommended before anyone acted on it."""
        self._code(item_id, time_ms, published_at_ms)

    def _code(self, item_id: str, time_ms: int, published_at_ms: int | None = None) -> int:
        key = self._key_of(item_id)
        if self.vocabulary.code(key) == UNKNOWN:
            if self.vocabulary.is_full:
                self._retire()
            code = self.vocabulary.add(item_id, key, time_ms)
            for table in self._of_items:
                table.grow(code + 1)
            self.fresh.learn(code, time_ms if published_at_ms is None else published_at_ms)
            return code
        return self.vocabulary.add(item_id, key, time_ms)

    def _retire(self) -> None:
        retired = self.vocabulary.retire()
        for owner in (self.popularity, self.covisitation, self.statistics, self.fresh):
            owner.drop(retired)
        if self.factors is not None:
            self.factors.drop(retired)
        self.contexts.drop(retired, self.vocabulary.num_rows)

    # ---- travelling

    @property
    def offset(self) -> int:
        """The offset in `examples` up to which (exclusive) everything was learned."""
        return self.tables.offset

    def advance(self, to_offset: int) -> None:
        """Names the offset up to which (exclusive) everything was learned."""
        self.tables.advance(to_offset)

    def snapshot(self) -> bytes:
        """Everything, in canonical bytes."""
        return self.tables.snapshot()

    def take_delta(self) -> Delta:
        """What changed since the last acknowledged delta; the same one until acknowledged."""
        return self.tables.take_delta()

    def delta_acknowledged(self) -> None:
        """Says that the delta last taken is where replicas will find it."""
        self.tables.delta_acknowledged()

    def with_weights_of(self, other: OnlineModels) -> OnlineModels:
        """A view of these counters, and of the items that they know, ranked by other weights.

        Weights are those of the heads and of the re-ranker: they name no item by its code. The view
        follows both sides and is only to be read.
        """
        view = copy(self)
        view.click, view.choice, view.reranker = other.click, other.choice, other.reranker
        return view

    def restore(self, payload: bytes) -> None:
        """Becomes what the snapshot holds.

        Raises:
            SnapshotRefused: Nothing has changed.
        """
        self.tables.restore(payload)
        self._refresh()

    def apply_delta(self, payload: bytes) -> DeltaOutcome:
        """Moves a replica on, if the delta fits.

        Raises:
            SnapshotRefused: Nothing has changed.
        """
        outcome = self.tables.apply_delta(payload)
        if outcome is DeltaOutcome.APPLIED:
            self._refresh()
        return outcome

    def _refresh(self) -> None:
        self.vocabulary.refresh()
        self.popularity.forget_caches()
        self.fresh.forget_caches()
        self.click.refresh()

"""Which few hundred items are worth ranking for this user? Several sources, merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from models.online.questions import Query, Questions, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "Candidates",
    "Proposals",
    "Query",
    "Questions",
    "RetrievalConfig",
    "Source",
    "propose",
    "score",
]


class Source(Protocol):
    """Proposes items and scores any item.

    A score depends on the query and the one item alone, never on the other items asked for, so that
    shown items get the very scores that they would have got as candidates.
    """

    name: str

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """For each query at most `num` different codes, best first."""

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """Score of each item, float32[N], NaN where the source has nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalConfig:
    """How many items each source may propose and how many are ranked at most.

    Attributes:
        limits: By source name; a source that is not named proposes none and only scores.
        max_candidates: After merging; the worst-ranked go first.
    """

    limits: dict[str, int] = field(
        default_factory=lambda: {
            "trending": 120,
            "covisitation": 150,
            "transformer": 100,
            "fresh": 20,
        }
    )
    max_candidates: int = 300


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Each query's merged items, N in all, with what each of S sources says about them.

    Attributes:
        asked: The items, query after query, no item twice for one query.
        scores: float32[N, S], NaN where a source says nothing.
        ranks: int32[N, S], from 1 for a source's best proposal; 0 where it did not propose it.
    """

    asked: Questions
    scores: NDArray[np.float32]
    ranks: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def codes(self) -> NDArray[np.integer]:
        """int[N], the items."""
        return self.asked.codes

    def of(self, index: int) -> Candidates:
        """The candidates of one query."""
        part = self.asked.part(index)
        return Candidates(
            asked=self.asked.of(index), scores=self.scores[part], ranks=self.ranks[part]
        )


class Proposals(NamedTuple):
    """Each query's merged items before they are scored; the fields of `Candidates`."""

    asked: Questions
    ranks: NDArray[np.int32]

    def scored(self, sources: Sequence[Source]) -> Candidates:
        """The same with what every source says about each."""
        return Candidates(asked=self.asked, scores=score(sources, self.asked), ranks=self.ranks)


def propose(
    sources: Sequence[Source],
    queries: Sequence[Query],
    config: RetrievalConfig,
    exclude: Callable[[Questions], NDArray[np.bool_]] | None = None,
) -> Proposals:
    """Asks every source, merges, and drops what is excluded.

    Args:
        sources: In the order of the columns of the result.
        queries: The requests.
        config: Limits.
        exclude: Says which items must not be recommended (acted on, hidden, withdrawn).

    Returns:
        Each query's candidates in order of their best rank with any source (ties: the earlier
        source).
    """
    merge = _Merge(
        [
            joined(source.recall(queries, limit))
            if (limit := config.limits.get(source.name, 0))
            else (_NOTHING, np.zeros(len(queries), np.int64))
            for source in sources
        ],
        len(queries),
    )
    asked = merge.questions(queries)
    if exclude is not None and len(asked):
        asked = asked.picked(~exclude(asked))
    if len(asked) and asked.sizes.max() > config.max_candidates:
        within = np.arange(len(asked)) - asked.starts[asked.owners]
        asked = asked.picked(within < config.max_candidates)
    return Proposals(asked, merge.ranks(asked))


def score(sources: Sequence[Source], asked: Questions) -> NDArray[np.float32]:
    """What every source says about given items, float32[N, S]; NaN where nothing.

    Codes may be -1 here (items without a code): no source is asked about them.
    """
    scores = np.full((len(asked), len(sources)), np.nan, dtype=np.float32)
    known = asked.codes >= 0
    everything = bool(known.all())
    of_known = asked if everything else asked.picked(known)
    for column, source in enumerate(sources):
        scores[slice(None) if everything else known, column] = source.score(of_known)
    return scores


_NOTHING = np.empty(0, dtype=np.int32)


class _Merge:
    """What each source proposes to each query, best first.

    A *cell* stands for an item of a query: no two queries share one.
    """

    def __init__(
        self, of_sources: Sequence[tuple[NDArray[np.int32], NDArray[np.int64]]], num_queries: int
    ) -> None:
        self._num_queries = num_queries
        largest = max((int(codes.max(initial=-1)) for codes, _ in of_sources), default=-1)
        self._width = largest + 1
        self._cells = []
        self._ranks = []
        for codes, sizes in of_sources:
            owners = np.repeat(np.arange(num_queries), sizes)
            starts = sizes.cumsum() - sizes
            self._cells.append(owners * self._width + codes)
            self._ranks.append(np.arange(len(codes)) - starts[owners])

    def questions(self, queries: Sequence[Query]) -> Questions:
        """Every item of a query once, by its best rank, then by source."""
        num_sources = len(self._cells)
        longest = 1 + max((int(ranks.max(initial=-1)) for ranks in self._ranks), default=-1)
        table = np.full((self._num_queries, longest, num_sources), -1, np.int64)
        for column, (cells, ranks) in enumerate(zip(self._cells, self._ranks, strict=True)):
            if len(cells):
                table[cells // self._width, ranks, column] = cells
        flat = table.ravel()
        flat = flat[flat >= 0]
        # Written backwards, the first of equal cells stays; what nobody names is never read.
        places = np.arange(flat.size)
        first = np.empty(self._num_queries * self._width, np.int64)
        first[flat[::-1]] = places[::-1]
        cells = flat[first[flat] == places]
        owners = cells // max(self._width, 1)
        return Questions(
            queries=queries,
            codes=(cells - owners * self._width).astype(np.int32),
            sizes=np.bincount(owners, minlength=self._num_queries),
        )

    def ranks(self, asked: Questions) -> NDArray[np.int32]:
        """int32[N, S], each source's rank of each item, from 1; 0 where it was not proposed."""
        ranks = np.zeros((len(asked), len(self._cells)), np.int32)
        rank_of = np.zeros(self._num_queries * self._width, np.int32)
        wanted = asked.owners * self._width + asked.codes
        for column, cells in enumerate(self._cells):
            if len(cells):
                rank_of[cells] = self._ranks[column] + 1
                ranks[:, column] = rank_of[wanted]
                rank_of[cells] = 0
        return ranks

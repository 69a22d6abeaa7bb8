"""Which few hundred items are worth ranking for this user? Several sources, merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What the sources may know about a request. All items are codes, unknown ones -1.

    Attributes:
        now_ms: Event time of the event that causes the list; for counters' decay and item ages.
        previous: The user's last positive items, the latest first.
        context_rows: Of `ContextPopularity.rows`, for the context of that event.
        user_vector: The sequence encoder's query, float32[D]; None without a bundle.
        counter_weights: The encoder's weights of the counters' log-scores, float32[3].
    """

    now_ms: int
    previous: Sequence[int] = ()
    context_rows: tuple[int, ...] = ()
    user_vector: NDArray[np.float32] | None = None
    counter_weights: NDArray[np.float32] | None = None


class Source(Protocol):
    """Proposes items and scores any item.

    A score depends on the query and the one item alone, never on the other items asked for, so that
    shown items get the very scores that they would have got as candidates.
    """

    name: str

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """At most `num` different codes, best first."""

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """Score of each code, float32[N], NaN where the source has nothing to say."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """N merged items with what each of S sources says about them.

    Attributes:
        codes: int32[N], each once.
        scores: float32[N, S], NaN where a source says nothing.
        ranks: int32[N, S], from 1 for a source's best proposal; 0 where it did not propose it.
    """

    codes: NDArray[np.int32]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)


def retrieve(
    sources: Sequence[Source],
    query: Query,
    config: RetrievalConfig,
    exclude: Callable[[NDArray[np.int32]], NDArray[np.bool_]] | None = None,
) -> Candidates:
    """Asks every source, merges, drops what is excluded and scores the rest by all sources.

    Args:
        sources: In the order of the columns of the result.
        query: The request.
        config: Limits.
        exclude: Says which codes must not be recommended (acted on, hidden, withdrawn).

    Returns:
        Candidates in order of their best rank with any source (ties: the earlier source).
    """
    proposals = [
        source.recall(query, limit) if (limit := config.limits.get(source.name, 0)) else _NOTHING
        for source in sources
    ]
    codes = _interleaved(proposals)
    if exclude is not None and codes.size:
        codes = codes[~exclude(codes)]
    codes = codes[: config.max_candidates]
    return Candidates(
        codes=codes, scores=score(sources, query, codes), ranks=_ranks(proposals, codes)
    )


def score(sources: Sequence[Source], query: Query, codes: NDArray[np.int32]) -> NDArray[np.float32]:
    """What every source says about given items, float32[N, S]; NaN where nothing.

    Codes may be -1 (items without a code): no source is asked about them.
    """
    scores = np.full((len(codes), len(sources)), np.nan, dtype=np.float32)
    known = codes >= 0
    everything = bool(known.all())
    of_known = codes if everything else codes[known]
    for column, source in enumerate(sources):
        scores[slice(None) if everything else known, column] = source.score(query, of_known)
    return scores


_NOTHING = np.empty(0, dtype=np.int32)


def _interleaved(proposals: Sequence[NDArray[np.integer]]) -> NDArray[np.int32]:
    """Every code once, by its best rank, then by source."""
    longest = max((len(codes) for codes in proposals), default=0)
    table = np.full((longest, len(proposals)), -1, dtype=np.int32)
    for column, codes in enumerate(proposals):
        table[: len(codes), column] = codes
    flat = table.ravel()
    flat = flat[flat >= 0]
    _, first = np.unique(flat, return_index=True)
    first.sort()
    return flat[first]


def _ranks(proposals: Sequence[NDArray[np.integer]], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    ranks = np.zeros((len(codes), len(proposals)), dtype=np.int32)
    size = max((int(column.max(initial=-1)) for column in proposals), default=-1) + 1
    rank_of = np.zeros(size + 1, dtype=np.int32)
    for column, proposed in enumerate(proposals):
        if len(proposed):
            rank_of[proposed] = np.arange(1, len(proposed) + 1)
            ranks[:, column] = rank_of[np.minimum(codes, size)]
            rank_of[proposed] = 0
    return ranks

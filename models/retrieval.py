"""Which few hundred items are worth ranking for this user? Several sources, merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What the sources may know about a request. All items are codes, unknown ones -1.

    Attributes:
        now_ms: Event time of the event that causes the list; for counters' decay and item ages.
        previous: The user's last positive items, the latest first.
        context_rows: Of `ContextPopularity.rows`, for the circumstances of that event.
        session_num_actions: Actions of the user's session so far.
        user_vector: The sequence encoder's query, float32[D]; None without a bundle.
        counter_weights: The encoder's weights of the counters' log-scores, float32[3].
    """

    now_ms: int
    previous: Sequence[int] = ()
    context_rows: tuple[int, ...] = ()
    session_num_actions: int = 0
    user_vector: NDArray[np.float32] | None = None
    counter_weights: NDArray[np.float32] | None = None
    _kept: dict[tuple[Hashable, int], tuple[object, Any]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    @property
    def is_cold(self) -> bool:
        """Whether the session, or all that is known of the user, begins with this request."""
        return not self.session_num_actions or not self.previous

    def once(self, what: Hashable, codes: NDArray[np.integer], compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once for the same question about the same array.

        Sources share parts of their scores. A query is of one moment: between two uses of it
        neither the models nor the array may change.
        """
        kept = self._kept.get((what, id(codes)))
        if kept is None:
            # The array is kept too, so that no other one can get its identity.
            kept = self._kept[what, id(codes)] = (codes, compute())
        result: T = kept[1]
        return result


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
    given = [codes for codes in proposals if len(codes)]
    if not given:
        return _NOTHING
    table = np.full((max(map(len, given)), len(given)), -1, dtype=np.int32)
    for column, codes in enumerate(given):
        table[: len(codes), column] = codes
    flat = table.ravel()
    flat = flat[flat >= 0]
    # Written backwards, the first of equal codes stays; cells that no code names are never read.
    places = np.arange(flat.size, dtype=np.int32)
    first = np.empty(int(flat.max()) + 1, dtype=np.int32)
    first[flat[::-1]] = places[::-1]
    merged: NDArray[np.int32] = flat[first[flat] == places]
    return merged


def _ranks(proposals: Sequence[NDArray[np.integer]], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    ranks = np.zeros((len(codes), len(proposals)), dtype=np.int32)
    if not len(codes):
        return ranks
    largest = int(codes.max())
    rank_of = np.zeros(largest + 2, dtype=np.int32)
    for column, proposed in enumerate(proposals):
        if len(proposed):
            # Codes that were excluded may be larger than any that is left: they share a last cell.
            cells = np.minimum(proposed, largest + 1)
            rank_of[cells] = np.arange(1, len(proposed) + 1)
            ranks[:, column] = rank_of[codes]
            rank_of[cells] = 0
    return ranks

"""What are the sources asked? Scores of items, each for one query, for many queries at once.

A call of numpy costs as much as a few hundred items, so the items of all queries of a batch lie end
to end in one array. Whatever is answered for a query is the same whoever else is asked about.

Shape letters: B queries, N items of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

    from models.encoder_inputs import ActionSequence
    from models.side_features import Words

T = TypeVar("T")

MAX_PREVIOUS: Final = 32
"""Most of a user's last positive items that a source may learn from: each action names them all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """What the sources may know about a request. All items are codes, unknown ones -1.

    Attributes:
        now_ms: Event time of the event that causes the list; for counters' decay and item ages.
        clock_ms: The user's clock: when their last known event was. In a list that an event causes,
            `now_ms`; all that models may be told of the moment. 0 for nobody's.
        previous: The user's last positive items, the latest first.
        context: Of that event, as it came.
        context_rows: Of `ContextPopularity.rows`, for the circumstances of that event.
        session_num_actions: Actions of the user's session so far.
        user_vector: The sequence encoder's query, float32[D]; None without a bundle.
        counter_weights: The encoder's weights of the counters' log-scores, float32[3].
        positives: The user's positive actions, which the models of finished logs are asked about;
            None where there is no such model.
        kept: What one source has found and another asks for, too. A query is of one moment: between
            two uses of it the models may not change.
    """

    now_ms: int
    clock_ms: int = 0
    previous: Sequence[int] = ()
    context: Words | None = None
    context_rows: tuple[int, ...] = ()
    session_num_actions: int = 0
    user_vector: NDArray[np.float32] | None = None
    counter_weights: NDArray[np.float32] | None = None
    positives: ActionSequence | None = None
    kept: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    @property
    def is_cold(self) -> bool:
        """Whether the session, or all that is known of the user, begins with this request."""
        return not self.session_num_actions or not self.previous


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions:
    """Items, query after query.

    Attributes:
        queries: All B of them.
        codes: int[N]; sources are asked about none that is negative.
        sizes: int64[B], how many of the items are each query's.
    """

    queries: Sequence[Query]
    codes: NDArray[np.integer]
    sizes: NDArray[np.int64]
    _kept: dict[Hashable, Any] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    def of_one(cls, query: Query, codes: NDArray[np.integer]) -> Self:
        """Ask about items for one query."""
        return cls(queries=[query], codes=codes, sizes=np.array([len(codes)]))

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """int64[N], the query of each item."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """int64[B + 1], where each query's items begin, and the end."""
        return np.concatenate(([0], self.sizes.cumsum()))

    @cached_property
    def _edges(self) -> list[int]:
        # Slices of plain integers are made, and used, fastest.
        edges: list[int] = self.starts.tolist()
        return edges

    @cached_property
    def query_times_ms(self) -> NDArray[np.int64]:
        """int64[B], the time of each query."""
        return np.array([query.now_ms for query in self.queries], np.int64)

    @cached_property
    def now_ms(self) -> NDArray[np.int64]:
        """int64[N], the time of each item's query."""
        return self.query_times_ms[self.owners]

    def picked(self, mask: NDArray[np.bool_]) -> Questions:
        """Ask about some of the items only."""
        sizes = np.bincount(self.owners[mask], minlength=len(self.queries))
        return Questions(queries=self.queries, codes=self.codes[mask], sizes=sizes)

    def then(self, others: Questions) -> Questions:
        """Ask about these items, and others behind them."""
        return Questions(
            queries=[*self.queries, *others.queries],
            codes=np.concatenate((self.codes, others.codes)),
            sizes=np.concatenate((self.sizes, others.sizes)),
        )

    def part(self, index: int) -> slice:
        """Where the items of one query stand."""
        return slice(self._edges[index], self._edges[index + 1])

    def of(self, index: int) -> Questions:
        """Ask about the items of one query only."""
        return Questions.of_one(self.queries[index], self.codes[self.part(index)])

    def once(self, what: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once: sources share parts of their scores."""
        if what not in self._kept:
            self._kept[what] = compute()
        result: T = self._kept[what]
        return result


def joined(parts: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Arrays of codes end to end, and how long each is."""
    sizes = np.array([len(part) for part in parts], np.int64)
    codes = np.concatenate(parts) if parts else np.empty(0)
    return codes.astype(np.int32), sizes

"""What does the transformer propose, and how does it score? A bundle's encoder as a recall source.

    score(i | u) = q_u . v_i + w_u0 popularity(i) + w_u1 lift(i) + w_u2 [i is listed]

q and w come from the encoder, v from the bundle's item matrix. Popularity is the counter's
log-score of now, the lift co-visitation's log-score minus it; co-visitation speaks of the items
that it lists for the user alone, as it did in training. Items that the bundle does not know are
missing.

Shape letters: B queries, N items of the bundle, I item vector width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.retrieval import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.encoder import SequenceEncoder
    from models.retrieval import Source
    from models.vocabulary import Vocabulary

_MINUTE_MS = 60_000
_NO_ROW = -1
_NO_WEIGHTS = np.zeros(3, np.float32)


class TransformerSource:
    """Recall and scores of one bundle, over a vocabulary that goes on changing."""

    name = "transformer"

    def __init__(
        self,
        encoder: SequenceEncoder,
        vocabulary: Vocabulary,
        *,
        trending: Source,
        covisitation: Source,
        num_listed: int = 32,
    ) -> None:
        """Serve a bundle.

        Args:
            encoder: The bundle's.
            vocabulary: The codes of items.
            trending: The popularity log-score.
            covisitation: The co-visitation log-score.
            num_listed: Items that co-visitation speaks of, as in training.
        """
        self._vectors_NI = encoder.vectors_NI
        self._vocabulary = vocabulary
        self._trending = trending
        self._covisitation = covisitation
        self._num_listed = num_listed
        self._order_N = np.argsort(encoder.keys_N)
        self._sorted_keys_N = encoder.keys_N[self._order_N]
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._row_of_code: NDArray[np.int64] = np.empty(0, np.int64)
        self._known_codes: NDArray[np.int32] = np.empty(0, np.int32)
        self._known_vectors_NI = self._vectors_NI[:0]
        self._is_listed = np.zeros(64, np.bool_)
        self._recalled: dict[int, tuple[Query, NDArray[np.int32]]] = {}

    def prepare(self, queries: Sequence[Query], num: int) -> None:
        """Recall for a batch of queries in one product; `recall` then answers from it."""
        self._follow_vocabulary()
        self._recalled.clear()
        asked = [query for query in queries if query.user_vector is not None]
        if not asked or not self._known_codes.size or num <= 0:
            return
        vectors_BI = np.stack([_vector(query) for query in asked])
        logits_BN = vectors_BI @ self._known_vectors_NI.T
        # Recall looks at the popularity of the minute: it is the same for all of a batch.
        minutes = [query.now_ms // _MINUTE_MS for query in asked]
        for minute in dict.fromkeys(minutes):
            of_minute = np.array([one == minute for one in minutes])
            moment = replace(asked[0], now_ms=minute * _MINUTE_MS)
            popularity_N = self._trending.score(moment, self._known_codes)
            weights_B = np.array([_weights(query)[0] for query in asked], np.float32) * of_minute
            logits_BN += weights_B[:, None] * popularity_N
        for row, query in enumerate(asked):
            self._recalled[id(query)] = query, self._known_codes[_largest(logits_BN[row], num)]

    def recall(self, query: Query, num: int) -> NDArray[np.integer]:
        """The best by vector and popularity; nothing where no encoder has seen the user."""
        if query.user_vector is None:
            return np.empty(0, np.int32)
        if id(query) not in self._recalled:
            self.prepare([query], num)
        found = self._recalled.get(id(query))
        return np.empty(0, np.int32) if found is None else found[1][:num]

    def score(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """NaN for items that the bundle does not know, and without a user vector."""
        scores = np.full(len(codes), np.nan, np.float32)
        if query.user_vector is None:
            return scores
        # Within a batch codes are neither given nor retired: lengths tell whether one was prepared.
        if len(self._keys) != self._vocabulary.num_rows:
            self._follow_vocabulary()
        if not self._row_of_code.size:
            return scores
        rows = self._row_of_code[codes]
        known = rows >= 0
        # einsum, not a BLAS product: an item's score must not depend on its neighbours.
        logits = np.einsum("ni,i->n", self._vectors_NI[rows], query.user_vector)
        logits += self._counters(query, codes)
        np.copyto(scores, logits, where=known)
        return scores

    def _counters(self, query: Query, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        weights = _weights(query)
        added: NDArray[np.float32] = weights[0] * self._trending.score(query, codes)
        listed = self._covisitation.recall(query, self._num_listed)
        is_listed = self._is_listed
        if is_listed.size < len(self._keys):
            is_listed = self._is_listed = np.zeros(2 * len(self._keys), np.bool_)
        is_listed[listed] = True
        log_scores = self._covisitation.score(query, codes)
        np.add(added, weights[1] * log_scores + weights[2], out=added, where=is_listed[codes])
        is_listed[listed] = False
        return added

    def _follow_vocabulary(self) -> None:
        """Find every code's row of the item matrix, when codes were given or retired."""
        keys = self._vocabulary.keys
        if len(keys) == len(self._keys) and np.array_equal(keys, self._keys):
            return
        self._keys = keys.copy()
        if not len(self._sorted_keys_N):
            self._row_of_code = np.full(len(keys), _NO_ROW)
            return
        place = np.searchsorted(self._sorted_keys_N, self._keys)
        place = np.minimum(place, len(self._sorted_keys_N) - 1)
        is_known = self._sorted_keys_N[place] == self._keys
        self._row_of_code = np.where(is_known, self._order_N[place], _NO_ROW)
        self._known_codes = np.flatnonzero(is_known).astype(np.int32)
        self._known_vectors_NI = self._vectors_NI[self._row_of_code[self._known_codes]]


def _vector(query: Query) -> NDArray[np.float32]:
    if query.user_vector is None:
        raise ValueError("found a query without a user vector, expected one from the encoder")
    return query.user_vector


def _weights(query: Query) -> NDArray[np.float32]:
    return _NO_WEIGHTS if query.counter_weights is None else query.counter_weights


def _largest(values: NDArray[np.float32], num: int) -> NDArray[np.int64]:
    """Indices of the `num` largest, largest first, ties by smaller index."""
    if num < len(values):
        threshold = np.partition(values, len(values) - num)[len(values) - num]
        found = np.flatnonzero(values >= threshold)
    else:
        found = np.arange(len(values))
    return found[np.argsort(-values[found], kind="stable")][:num]

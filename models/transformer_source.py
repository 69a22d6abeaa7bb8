"""What does the transformer propose, and how does it score? A bundle's encoder as a recall source.

    score(i | u) = q_u . v_i + w_u0 popularity(i) + w_u1 lift(i) + w_u2 [i is listed]

q and w come from the encoder, v from the bundle's item matrix. Popularity is the counter's
log-score of now, the lift co-visitation's log-score minus it; co-visitation speaks of the items
that it lists for the user alone, as it did in training. Items that the bundle does not know are
missing.

Shape letters: B queries, N items of the bundle, I item vector width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.bundle_codes import BundleCodes
from models.item_index import largest
from models.online.questions import Query, Questions, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.encoder import SequenceEncoder
    from models.online.retrieval import Source
    from models.online.vocabulary import Vocabulary

_MINUTE_MS = 60_000
_NOTHING = np.empty(0, np.int32)
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
        self._trending = trending
        self._covisitation = covisitation
        self._num_listed = num_listed
        self._codes = BundleCodes(encoder.keys_N, vocabulary)
        self._known_vectors_NI = self._vectors_NI[:0]
        self._marks = np.zeros(0, np.bool_)

    def follow(self) -> None:
        """Look up what codes were given or retired; to be called before each batch."""
        if self._codes.follow().size:
            self._known_vectors_NI = self._vectors_NI[self._codes.row_of_code[self._codes.known]]

    def put(self, item_id: str) -> None:
        """Nothing: the trainer's next bundle has learned the items that came later."""

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """The best by vector and popularity; nothing where no encoder has seen the user."""
        found: list[NDArray[np.integer]] = [_NOTHING] * len(queries)
        seen = [at for at, query in enumerate(queries) if query.user_vector is not None]
        if seen and self._codes.known.size and num > 0:
            logits_BN = self._recall_logits([queries[at] for at in seen])
            for at, logits in zip(seen, logits_BN, strict=True):
                found[at] = self._codes.known[largest(logits, num)]
        return found

    def _recall_logits(self, queries: Sequence[Query]) -> NDArray[np.float32]:
        logits_BN: NDArray[np.float32]
        logits_BN = np.stack([_vector(query) for query in queries]) @ self._known_vectors_NI.T
        # Recall looks at the popularity of the minute: it is the same for all of a batch.
        minutes = [query.now_ms // _MINUTE_MS for query in queries]
        for minute in dict.fromkeys(minutes):
            of_minute = np.array([one == minute for one in minutes])
            moment = Questions.of_one(Query(now_ms=minute * _MINUTE_MS), self._codes.known)
            popularity_N = self._trending.score(moment)
            weights_B = np.array([_weights(query)[0] for query in queries], np.float32) * of_minute
            logits_BN += weights_B[:, None] * popularity_N
        return logits_BN

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """NaN for items that the bundle does not know, and without a user vector."""
        scores = np.full(len(asked), np.nan, np.float32)
        is_seen_B = np.array([query.user_vector is not None for query in asked.queries], np.bool_)
        if not len(self._codes) or not is_seen_B.any():
            return scores
        rows = self._codes.row_of_code[asked.codes]
        known = (rows >= 0) & is_seen_B[asked.owners]
        logits = self._counters(asked)
        for index, query in enumerate(asked.queries):
            if query.user_vector is not None:
                part = asked.part(index)
                # einsum, not a BLAS product: an item's score must not depend on its neighbours.
                logits[part] += np.einsum(
                    "ni,i->n", self._vectors_NI[rows[part]], query.user_vector
                )
        np.copyto(scores, logits, where=known)
        return scores

    def _counters(self, asked: Questions) -> NDArray[np.float32]:
        weights_B3 = np.stack([_weights(query) for query in asked.queries])
        weights_N3 = weights_B3[asked.owners]
        added: NDArray[np.float32] = weights_N3[:, 0] * self._trending.score(asked)
        lifts = weights_N3[:, 1] * self._covisitation.score(asked) + weights_N3[:, 2]
        np.add(added, lifts, out=added, where=self._is_listed(asked))
        return added

    def _is_listed(self, asked: Questions) -> NDArray[np.bool_]:
        """Whether each item is among those that co-visitation lists for its query."""
        listed, sizes = joined(self._covisitation.recall(asked.queries, self._num_listed))
        width, num_queries = len(self._codes), len(asked.queries)
        if self._marks.size < num_queries * width:
            self._marks = np.zeros(num_queries * width, np.bool_)
        cells = np.repeat(np.arange(num_queries), sizes) * width + listed
        self._marks[cells] = True
        is_listed: NDArray[np.bool_] = self._marks[asked.owners * width + asked.codes]
        self._marks[cells] = False
        return is_listed


def _vector(query: Query) -> NDArray[np.float32]:
    if query.user_vector is None:
        raise ValueError("found a query without a user vector, expected one from the encoder")
    return query.user_vector


def _weights(query: Query) -> NDArray[np.float32]:
    return _NO_WEIGHTS if query.counter_weights is None else query.counter_weights

"""What does a model that learned from a finished log propose, and how does it score?

    score = sign(z) log(1 + |z|),  z = (s - mean) / deviation

s is the model's own score, mean and deviation are those of the bundle's catalogue for the user,
with the items that joined it: models score on scales of their own, some give a few items almost
everything, and the re-ranker weighs what it sees. The user is asked about anew with every list,
from the positive actions of the state, as the model was trained on positive actions alone, and in
the context of the event. Items that came later join where the model can tell something of them by
their attributes (`two_tower`, `lstm`), and are missing elsewhere; so is everything for a user of
whom the model knows no item.

Shape letters: N items of the bundle, and those that joined it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.bundle_codes import NO_ROW, BundleCodes
from models.item_index import largest
from models.recommender import UserSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from models.online.questions import Query, Questions
    from models.online.vocabulary import Vocabulary
    from models.served import ServedModel

_NOTHING = np.empty(0, np.int32)
_SMALLEST = 1e-12


class RecommenderSource:
    """Recall and scores of one bundle, over a vocabulary that goes on changing."""

    def __init__(
        self,
        name: str,
        model: ServedModel,
        vocabulary: Vocabulary,
        *,
        key_of: Callable[[str], int],
        attributes_of: Callable[[str], tuple[int, ...]] = lambda _: (),
        repeats: bool = True,
    ) -> None:
        """Serve a model.

        Args:
            name: Of the source.
            model: The bundle's.
            vocabulary: The codes of items.
            key_of: An item id's key.
            attributes_of: What the catalogue says of an item now, as codes of the model's `side`.
            repeats: Whether items that the user has acted upon are proposed, too; where they are
                left out of lists, they would take the places of all others: models rank them high.
        """
        self.name = name
        self._repeats = repeats
        self._model = model
        keys_N = np.array([key_of(item_id) for item_id in model.item_ids], np.uint64)
        self._codes = BundleCodes(keys_N, vocabulary)
        self._vocabulary = vocabulary
        self._key_of = key_of
        self._attributes_of = attributes_of
        self._put: set[str] = set()

    def put(self, item_id: str) -> None:
        """Note that the catalogue has a new record of an item."""
        if self._model.new_items is not None:
            self._put.add(item_id)

    def follow(self) -> None:
        """Look up what codes were given or retired, and who joins; before each batch."""
        changed = self._codes.follow()
        told = [self._vocabulary.code(self._key_of(item_id)) for item_id in self._put]
        self._put.clear()
        new_items = self._model.new_items
        if new_items is None:
            return
        changed = np.concatenate([changed, np.array([code for code in told if code >= 0], int)])
        if changed.size:
            new_items.follow(changed, self._codes.may_join, self._attributes_of_code)
            self._codes.join(new_items.codes_E)

    def _attributes_of_code(self, code: int) -> tuple[int, ...]:
        return self._attributes_of(self._vocabulary.item_id(code))

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        """The best by the model's own score."""
        rows = self._codes.row_of_code[self._codes.known]
        found: list[NDArray[np.integer]] = []
        for query in queries:
            own_N = self._own_scores(query)
            if own_N is None or not rows.size or num < 1:
                found.append(_NOTHING)
            else:
                found.append(self._codes.known[largest(self._proposable(own_N, query)[rows], num)])
        return found

    def _proposable(self, own_N: NDArray[np.float32], query: Query) -> NDArray[np.float32]:
        """The scores, with those of items that must not be proposed below all others."""
        if self._repeats or query.positives is None:
            return own_N
        acted = self._codes.rows_of(query.positives.keys)
        scores_N = own_N.copy()
        scores_N[acted[acted != NO_ROW]] = -np.inf
        return scores_N

    def score(self, asked: Questions) -> NDArray[np.float32]:
        """NaN for items that the model does not know, and for users of whom it knows no item."""
        scores = np.full(len(asked), np.nan, np.float32)
        for index, query in enumerate(asked.queries):
            own_N = self._own_scores(query)
            if own_N is not None:
                part = asked.part(index)
                rows = self._codes.row_of_code[asked.codes[part]]
                np.copyto(scores[part], _rescaled(own_N, rows), where=rows != NO_ROW)
        return scores

    def _own_scores(self, query: Query) -> NDArray[np.float32] | None:
        """What the model says of every item; None for a user of whom it knows no item.

        One user at a time: a list must not depend, in its last bits, on who else is asked about.
        """
        if self.name not in query.kept:
            query.kept[self.name] = self._computed(query)
        own_N: NDArray[np.float32] | None = query.kept[self.name]
        return own_N

    def _computed(self, query: Query) -> NDArray[np.float32] | None:
        if query.positives is None:
            return None
        items = self._codes.rows_of(query.positives.keys).astype(np.int32)
        if not (items != NO_ROW).any():
            return None
        sequence = UserSequence(
            user=query.positives.user,
            items=items,
            actions=query.positives.actions,
            times_s=query.positives.times_s.astype(np.uint32),
            now_s=query.clock_ms // 1000,
            contexts=self._model.side.context_codes(query.context, query.clock_ms // 1000),
        )
        own_N: NDArray[np.float32]
        (own_N,) = self._model.scores([sequence])
        return own_N


def _rescaled(own_N: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the scores of some rows on the scale that all models share."""
    deviation = max(float(own_N.std(dtype=np.float64)), _SMALLEST)
    z = (own_N[rows] - own_N.mean(dtype=np.float64)) / deviation
    scores: NDArray[np.float64] = np.copysign(np.log1p(np.abs(z)), z)
    return scores.astype(np.float32)

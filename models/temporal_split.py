"""How good is a next-item model that learned until T on what came after T?

A log is cut at a row. Each later action on an item is a question, or a sample of them is: the model
sees everything that its user did before it, up to the action before, and ranks all items that it
knows, without those that the user has acted upon. It knows the items of the rows that it was fitted
on, and no others. Told is the moment of the user's last event before (where the log's events are
known, also of one that is no action) and its context, as a live list would; never the action's own.

What cannot be in such a list is a miss and stays in the denominator: an item that the model does
not know, and one that its user has acted upon before. Equal scores keep the catalogue's order.

Unlike leave-one-out nothing here looks into the future, and nothing is held out of training.

Shape letters: R rows of the history, Q questions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from models.evaluation import MISS
from models.history import History
from models.leave_one_out import Question, target_ranks
from models.recommender import UNKNOWN_ITEM, Recommender, item_sequences, sequence_before

_ASKED_TOGETHER: Final = 4096

Window: TypeAlias = tuple[int, npt.NDArray[np.int64]]
"""A cut-off, the number of rows to learn from, and the places of the questions asked after it."""


class TemporalSplit:
    """A history cut at a row, and the questions about what follows.

    Questions are made when they are asked: each holds its user's whole past.

    Attributes:
        begin: rows before the cut, T.
        row_Q: row of each question, ascending.
        num_never_seen: questions about an item that no row before theirs has.
        num_repeated: questions about an item that their user has acted upon before.
    """

    def __init__(self, history: History, begin: int, *, sample: float = 1.0, seed: int = 0) -> None:
        """Cut a history, which is not changed.

        Args:
            history: in the order of time.
            begin: rows before the cut.
            sample: share of the later actions on items that are asked about: those for which
                `numpy.random.default_rng(seed).random(num_actions) < sample`.
            seed: see `sample`.
        """
        self.begin = begin
        self._history = history
        later = begin + np.flatnonzero(history.items[begin:] >= 0)
        self.row_Q = later[np.random.default_rng(seed).random(len(later)) < sample]
        self._order_R, begin_U = item_sequences(history)
        self._place_R = np.zeros(len(history.items), np.int64)
        self._place_R[self._order_R] = np.arange(len(self._order_R))
        self._first_R = np.zeros(len(history.items), np.int64)
        self._first_R[self._order_R] = np.repeat(begin_U[:-1], np.diff(begin_U))
        self.num_never_seen = int((history.items[self.row_Q] >= self.num_items(self.row_Q)).sum())
        self.num_repeated = int(self._is_repeated()[self.row_Q].sum())

    def num_items(self, row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many items the log had shown before each of these rows."""
        newest_R = np.maximum.accumulate(np.r_[UNKNOWN_ITEM, self._history.items])
        shown: npt.NDArray[np.int64] = newest_R[row].astype(np.int64) + 1
        return shown

    def training(self, cutoff: int) -> History:
        """Return what is before a row, with the catalogue of then."""
        return self._history.before(cutoff)

    def questions(self, rows: Sequence[int]) -> list[Question]:
        """Return the questions at these rows."""
        history, questions = self._history, []
        for row in rows:
            before = self._order_R[self._first_R[row] : self._place_R[row]]
            sequence = sequence_before(history, row, before)
            questions.append(Question(sequence=sequence, target=int(history.items[row])))
        return questions

    def stale_window(self) -> Window:
        """Return the cut and all questions: whoever learned until T answers every one."""
        return self.begin, np.arange(len(self.row_Q))

    def windows(self, times_ms: npt.NDArray[np.int64], every_ms: int) -> Iterator[Window]:
        """Give the cut-offs of a model that is refreshed every so often from T on, in order.

        A refresh knows all rows that are older than it is due. Where nobody asks after one, it is
        left out, because it changes no answer.

        Args:
            times_ms: event time of each row of the history, ascending.
            every_ms: log time between two refreshes; the first is at the first row after the cut.
        """
        since_ms = times_ms[self.begin :] - times_ms[self.begin : self.begin + 1]
        number_R = since_ms // every_ms
        number_Q = number_R[self.row_Q - self.begin]
        for number in np.unique(number_Q):
            cutoff = self.begin + int(np.searchsorted(number_R, number))
            yield cutoff, np.flatnonzero(number_Q == number)

    def _is_repeated(self) -> npt.NDArray[np.bool_]:
        """Return which rows are not their user's first on their item, `[R]`."""
        history, order_R = self._history, self._order_R
        # Who is told apart by where their rows begin; the earliest row of a pair comes first.
        key_R = self._first_R[order_R] * len(history.item_ids) + history.items[order_R]
        _, firsts = np.unique(key_R, return_index=True)
        is_repeated_R = np.zeros(len(history.items), np.bool_)
        is_repeated_R[order_R] = True
        is_repeated_R[order_R[firsts]] = False
        return is_repeated_R


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How one model answered.

    Attributes:
        rank_Q: of the items asked about, from 1; `MISS` for what cannot be in the list.
        num_unknown: questions about an item that the model does not know.
    """

    rank_Q: npt.NDArray[np.int64]
    num_unknown: int


def answers(model: Recommender, split: TemporalSplit, places: npt.NDArray[np.int64]) -> Answers:
    """Ask a model.

    Args:
        model: fitted to `split.training` of a row that none of the questions is before.
        split: whose questions.
        places: which of them.
    """
    num_known, rank_Q, num_unknown = len(model.item_ids), np.full(len(places), MISS, np.int64), 0
    for start in range(0, len(places), _ASKED_TOGETHER):
        asked = split.questions(split.row_Q[places[start : start + _ASKED_TOGETHER]].tolist())
        num_unknown += sum(question.target >= num_known for question in asked)
        possible = [
            number
            for number, question in enumerate(asked)
            if question.target < num_known and question.target not in question.sequence.items
        ]
        known = [_as_known(asked[number], num_known) for number in possible]
        rank_Q[start + np.array(possible, np.int64)] = target_ranks(model, known)
    return Answers(rank_Q=rank_Q, num_unknown=num_unknown)


def _as_known(question: Question, num_known: int) -> Question:
    """Return the question without the items that came later than the model."""
    items = question.sequence.items
    shown = np.where(items < num_known, items, UNKNOWN_ITEM).astype(np.int32)
    return Question(sequence=replace(question.sequence, items=shown), target=question.target)

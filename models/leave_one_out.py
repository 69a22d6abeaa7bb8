"""How good is a next-item model by the papers' protocol, leave-one-out?

Of every user with at least three actions on items the last is the test, the one before it the
validation, all others the training. A question shows the model everything that the user did before
the target (before the test that includes the validation) and asks for the whole catalogue; items
that the user has acted upon are left out, however long ago. Training stops on the validation's
NDCG@10; the test is read once. The protocol looks into the future of other users and is for
comparison with papers alone: `stream` says what a live system would have shown.

Equal scores keep the catalogue's order (a stable sort), so a rank never depends on the machine.

Shape letters: Q questions, B questions of a batch, N items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.evaluation import hit_rate, mean_reciprocal_rank, ndcg
from models.history import History
from models.recommender import Recommender, UserSequence, item_sequences, sequence_before

_BATCH_QUESTIONS: Final = 128
_MIN_ACTIONS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One held-out action: what the user had done, and the item that came next."""

    sequence: UserSequence
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOneOut:
    """A history taken apart; item codes are the history's own.

    Attributes:
        training: the history without what is held out; its catalogue is the whole one.
        validation: a question a user, in the order of the users' hashes.
        test: the same users' last actions.
        num_users: users with an action on an item, those too short to be asked about included.
        num_items: items of the catalogue.
    """

    training: History
    validation: Sequence[Question]
    test: Sequence[Question]
    num_users: int
    num_items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Means over the questions; `models.evaluation` has the formulas."""

    num_questions: int
    hr_10: float | None
    hr_20: float | None
    ndcg_10: float | None
    ndcg_20: float | None
    mrr_10: float | None
    mrr_20: float | None


def leave_one_out(history: History) -> LeaveOneOut:
    """Take a history apart; it is not changed."""
    order_R, begin_U = item_sequences(history)
    kept = np.ones(len(history.items), np.bool_)
    validation, test = [], []
    for begin, end in zip(begin_U[:-1].tolist(), begin_U[1:].tolist(), strict=True):
        if end - begin >= _MIN_ACTIONS:
            rows = order_R[begin:end]
            validation.append(_question(history, rows[:-1]))
            test.append(_question(history, rows))
            kept[rows[-2:]] = False
    return LeaveOneOut(
        training=history.select(kept),
        validation=validation,
        test=test,
        num_users=len(begin_U) - 1,
        num_items=len(history.item_ids),
    )


def _question(history: History, rows: npt.NDArray[np.int64]) -> Question:
    return Question(
        sequence=sequence_before(history, rows[-1], rows[:-1]),
        target=int(history.items[rows[-1]]),
    )


def target_ranks(
    model: Recommender, questions: Sequence[Question], *, filters_seen: bool = True
) -> npt.NDArray[np.int64]:
    """Return the target's rank among all items for each question, from 1, `[Q]`.

    Args:
        model: fitted; its catalogue is the questions'.
        questions: what to ask.
        filters_seen: whether items of the question's sequence are left out, but for the target.
    """
    ranks = [np.empty(0, np.int64)]
    # Sequences of similar length are padded less.
    order = np.argsort([len(question.sequence) for question in questions], kind="stable")
    for start in range(0, len(questions), _BATCH_QUESTIONS):
        batch = [questions[index] for index in order[start : start + _BATCH_QUESTIONS]]
        scores_BN = model.scores([question.sequence for question in batch])
        target_B = np.array([question.target for question in batch])
        seen = [question.sequence.items for question in batch] if filters_seen else []
        ranks.append(ranks_of(scores_BN, target_B, seen))
    ranks_Q = np.empty(len(questions), np.int64)
    ranks_Q[order] = np.concatenate(ranks)
    return ranks_Q


def ranks_of(
    scores_BN: npt.NDArray[np.float32],
    target_B: npt.NDArray[np.int64],
    seen: Sequence[npt.NDArray[np.int32]] = (),
) -> npt.NDArray[np.int64]:
    """Return the rank of each row's target, from 1; equal scores keep the catalogue's order.

    Args:
        scores_BN: finite; not changed.
        target_B: item codes.
        seen: item codes that each row leaves out, negative ones are none; empty leaves out none.
            A target is never left out.

    >>> scores = np.array([[5.0, 2.0, 9.0, 2.0]], np.float32)
    >>> ranks_of(scores, np.array([3])).tolist(), ranks_of(scores, np.array([1])).tolist()
    ([4], [3])
    >>> ranks_of(scores, np.array([3]), [np.array([0, 3, -1], np.int32)]).tolist()
    [3]
    """
    rows_B1 = np.arange(len(target_B))[:, None]
    own_B1 = scores_BN[rows_B1, target_B[:, None]]
    before_BN = scores_BN > own_B1
    before_BN |= (scores_BN == own_B1) & (np.arange(scores_BN.shape[1]) < target_B[:, None])
    for row, items in enumerate(seen):
        before_BN[row, items[items >= 0]] = False
    ranks_B: npt.NDArray[np.int64] = before_BN.sum(1) + 1
    return ranks_B


def accuracy(ranks_Q: npt.NDArray[np.int64]) -> Accuracy:
    """Return the usual means; all are None where there is no question.

    >>> accuracy(np.array([1, 3, 15])).hr_10, accuracy(np.array([1, 3, 15])).hr_20
    (0.6666666666666666, 1.0)
    """
    return Accuracy(
        num_questions=len(ranks_Q),
        hr_10=hit_rate(ranks_Q, 10),
        hr_20=hit_rate(ranks_Q, 20),
        ndcg_10=ndcg(ranks_Q, 10),
        ndcg_20=ndcg(ranks_Q, 20),
        mrr_10=mean_reciprocal_rank(ranks_Q, 10),
        mrr_20=mean_reciprocal_rank(ranks_Q, 20),
    )


def validation_ndcg(model: Recommender, questions: Sequence[Question]) -> float:
    """Return NDCG@10, by which training stops; 0 where there is no question."""
    return ndcg(target_ranks(model, questions), 10) or 0.0

"""What does a user like, by least squares over everything that they did and did not do?

Implicit-feedback matrix factorisation (Hu, Koren and Volinsky 2008, "Collaborative Filtering for
Implicit Feedback Datasets"), solved by the library `implicit`. With r_ui the summed weight of a
user's actions on an item, c_ui = 1 + alpha r_ui, and p_ui whether there is one, eq. 3 minimises

    sum over all u, i of c_ui (p_ui - x_u . y_i)^2 + lambda (sum_u |x_u|^2 + sum_i |y_i|^2)

by solving for users and for items in turn (eqs. 4 and 5).

Where we differ: lambda is told as a share, `regularisation`, of sqrt(a) + sqrt(b), a being the sum
of (alpha r)^2 over the items of a pair's user, b that over the users of its item, in the mean over
pairs that weigh (alpha r)^2. lambda is what the solution's singular values lose, and about so large
are, after the first, those of a matrix with these counts and without any tastes: one share serves
users of two actions as it does users of two hundred. Training solves with three steps of conjugate
gradients a pass, as the library does (Takács, Pilászy and Tikk 2011). A user is their sequence: x_u
is solved anew from the sequence by eq. 4, exactly, when scores are asked for, so that a user of
whom training knew nothing is served like any other. There the action a places from the sequence's
end counts `newest decay^a` times, since the paper predicts a week, and we the next action;
`newest=1, decay=1` is the paper.

Shape letters: B sequences, N items, D factors, U users, Z actions.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits
from typing_extensions import override

from models.bundle import Arrays
from models.history import History
from models.recommender import (
    FitProgress,
    Recommender,
    UserSequence,
    Validate,
    checked,
    checked_matrix,
    item_counts,
    item_sequences,
    tie_breaks,
)

_EPSILON: Final = 1e-9
_START: Final = 0.01
"""Largest factor that an item begins with, the library's own."""

_NUM_ACTION_CODES: Final = 256


class AlsRecommender(Recommender):
    """Item factors; user factors exist while they are asked about."""

    name = "als"

    def __init__(
        self,
        *,
        seed: int = 1,
        num_factors: int = 128,
        regularisation: float = 0.158,
        alpha: float = 10.0,
        newest: float = 50.0,
        decay: float = 0.4,
        action_weights: Mapping[str, float] | None = None,
        max_passes: int = 15,
        patience: int = 3,
        warm_passes: int = 3,
    ) -> None:
        """Set what is solved; defaults were chosen on a third of ML-1M's validation actions.

        NDCG@10 there is .128; with `newest` and `decay` of 1, the paper's, .046; with a decay of .8
        .098; with half as many factors .125; with a regularisation of .09 .121, of .27 .114.

        Args:
            seed: of the first factors.
            num_factors: D.
            regularisation: share that makes lambda; see above. Where it is far too small, factors
                learn each user's few actions by heart, and say little of what comes next.
            alpha: confidence that an action of weight 1 adds.
            newest: how many actions of training the newest action of a sequence is worth.
            decay: worth of an action of a sequence against that of the next newer one.
            action_weights: weight of an action by its code, written in decimal since JSON has no
                other keys; 1 for codes that are not named.
            max_passes: over users and items.
            patience: passes without a better validation after which training ends.
            warm_passes: passes of `continue_fit`.

        Raises:
            ValueError: an action code is none, or a weight is negative.
        """
        super().__init__()
        self._seed = seed
        self._num_factors = num_factors
        self._regularisation = regularisation
        self._alpha = alpha
        self._newest = newest
        self._decay = decay
        self._action_weights = dict(action_weights or {})
        self._max_passes = max_passes
        self._patience = patience
        self._warm_passes = warm_passes
        self._weight_of = _weights_by_code(self._action_weights)
        self._tie_N = np.empty(0, np.float32)
        self._solver = self._new_solver(1.0)
        self._solver.item_factors = np.empty((0, num_factors), np.float32)

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        return self._passes(history, None, self._max_passes, validate)

    @override
    def continue_fit(self, history: History) -> Iterator[FitProgress]:
        return self._passes(history, self._solver.item_factors, self._warm_passes, None)

    def _passes(
        self,
        history: History,
        start_ND: npt.NDArray[np.float32] | None,
        num_passes: int,
        validate: Validate | None,
    ) -> Iterator[FitProgress]:
        """Solve for users and items in turn.

        Args:
            history: what to learn.
            start_ND: item factors to begin with; items that came later begin at random, as all do
                where it is None. From 0 they would take twice the passes.
            num_passes: at most.
            validate: as in `fit`.
        """
        self._adopt(history.item_ids)
        self._tie_N = (tie_breaks(item_counts(history)) * _EPSILON).astype(np.float32)
        confidence_UN = self._training_matrix(history)
        added = float(confidence_UN.data.sum()) - confidence_UN.nnz
        strength = self._regularisation * _size_of_chance(confidence_UN)
        first_ND = np.zeros((len(self.item_ids), self._num_factors), np.float32)
        if start_ND is not None:
            drawn_ND = np.random.default_rng(self._seed).random(first_ND.shape, np.float32)
            first_ND = drawn_ND * np.float32(_START)
            first_ND[: len(start_ND)] = start_ND
        self._take_in(first_ND, strength)
        if not added > 0:
            yield FitProgress(done=1)
            return
        trained = self._new_solver(strength)
        if start_ND is not None:
            trained.item_factors = first_ND.copy()
        best, best_pass, best_ND = -np.inf, 0, first_ND
        for made in range(1, num_passes + 1):
            with threadpool_limits(1, "blas"):
                # One iteration; the factors of the last one are where the next begins.
                trained.fit(confidence_UN, show_progress=False)
            self._take_in(trained.item_factors, strength)
            judged = None if validate is None else validate(self)
            if judged is None or judged > best:
                best, best_pass = -np.inf if judged is None else judged, made
                best_ND = trained.item_factors.copy()
            yield FitProgress(done=made / num_passes, epoch=made, validation=judged)
            if made - best_pass >= self._patience:
                break
        self._take_in(best_ND, strength)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        scores_BN = np.tile(self._tie_N, (len(sequences), 1))
        if sequences and len(self.item_ids):
            scores_BN += self._users(sequences) @ self._solver.item_factors.T
        return scores_BN

    @override
    def settings(self) -> Mapping[str, Any]:
        return {
            "seed": self._seed,
            "num_factors": self._num_factors,
            "regularisation": self._regularisation,
            "alpha": self._alpha,
            "newest": self._newest,
            "decay": self._decay,
            "action_weights": self._action_weights,
            "max_passes": self._max_passes,
            "patience": self._patience,
            "warm_passes": self._warm_passes,
        }

    @override
    def weights(self) -> Arrays:
        return {
            "item": self._solver.item_factors,
            "lambda": np.array([self._solver.regularization]),
            "tie": self._tie_N,
        }

    @override
    def restore(self, weights: Arrays) -> None:
        num_items = len(self.item_ids)
        self._tie_N = checked(weights["tie"], num_items)
        item_ND = checked_matrix(weights["item"], num_items, self._num_factors)
        self._take_in(item_ND, float(checked(weights["lambda"], 1, np.float64)[0]))

    def _take_in(self, item_ND: npt.NDArray[np.float32], strength: float) -> None:
        self._solver = self._new_solver(strength)
        self._solver.item_factors = item_ND.copy()

    def _users(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        """Return the factors of each sequence, `[B, D]`; zeros where it has no known item."""
        items, worths, lengths = [], [], []
        for sequence in sequences:
            known = sequence.items >= 0
            items.append(sequence.items[known])
            age = np.arange(len(items[-1]))[::-1]
            weight = self._weight_of[sequence.actions[known]]
            worths.append(self._newest * self._decay**age * weight)
            lengths.append(len(items[-1]))
        confidence_BN = self._confidence(
            np.concatenate(items), np.r_[0, np.cumsum(lengths)], np.concatenate(worths)
        )
        with threadpool_limits(1, "blas"):
            users_BD: npt.NDArray[np.float32] = self._solver.recalculate_user(
                np.arange(len(sequences)), confidence_BN
            )
        return users_BD

    def _training_matrix(self, history: History) -> csr_matrix:
        order_R, begin_U = item_sequences(history)
        return self._confidence(
            history.items[order_R], begin_U, self._weight_of[history.actions[order_R]]
        )

    def _confidence(
        self,
        items_Z: npt.NDArray[np.int32],
        begin_U: npt.NDArray[np.int64],
        worth_Z: npt.NDArray[np.float64],
    ) -> csr_matrix:
        """Return c_ui of every pair with an action on it."""
        shape = (len(begin_U) - 1, len(self.item_ids))
        matrix = csr_matrix((worth_Z.astype(np.float32), items_Z.copy(), begin_U), shape)
        matrix.sum_duplicates()
        matrix.data = 1 + np.float32(self._alpha) * matrix.data
        return matrix

    def _new_solver(self, strength: float) -> AlternatingLeastSquares:
        # The library warns, once a process, of a BLAS with several threads.
        with threadpool_limits(1, "blas"):
            return AlternatingLeastSquares(
                factors=self._num_factors,
                regularization=strength,
                iterations=1,
                num_threads=1,
                random_state=self._seed,
            )


def _size_of_chance(confidence_UN: csr_matrix) -> float:
    """Return what `regularisation` is a share of; 0 where nothing adds confidence.

    Three users of one action each, two of them on one item; alpha is 10:

    >>> confidence = csr_matrix(np.array([[11.0, 0], [11, 0], [0, 11]]))
    >>> round(_size_of_chance(confidence) / 10, 4) == round(1 + (5 / 3) ** 0.5, 4)
    True
    """
    squares_UN = confidence_UN.copy()
    squares_UN.data = np.square(confidence_UN.data.astype(np.float64) - 1)
    sums = [np.asarray(squares_UN.sum(axis)).ravel() for axis in (0, 1)]
    means = [float(sum_X @ sum_X) / max(float(sum_X.sum()), _EPSILON) for sum_X in sums]
    return sum(math.sqrt(mean) for mean in means)


def _weights_by_code(action_weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Return the weight of each action code."""
    weights = np.ones(_NUM_ACTION_CODES)
    for code, weight in action_weights.items():
        if not code.isdecimal() or int(code) >= _NUM_ACTION_CODES or not weight >= 0:
            raise ValueError(
                f"action_weights has {code!r}: {weight}; expected a code from 0 to "
                f"{_NUM_ACTION_CODES - 1} in decimal and a weight of at least 0"
            )
        weights[int(code)] = weight
    return weights

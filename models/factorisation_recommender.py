"""How does an online factorisation become a recommender: passes over a history, then fold-in?

Passes take the actions in `models.pass_order`'s order. Calls of `batch_events` keep it; within one,
no action knows of another (see `models.factorisation`). Candidates that the user acts upon anywhere
in the history are not ranked below.

Learned users serve training alone: a user is their sequence, folded in. On ML-1M's validation that
was as good as to begin with what had been learned of the user.

Shape letters: B events or sequences, Z events of a pass, S actions of a sequence, N items,
M contexts of the model, C context names of the log, K candidates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.bundle import Arrays
from models.factorisation import Factorisation, FactorisationConfig
from models.factors import FoldIn
from models.history import History
from models.pass_order import PassOrder
from models.recommender import (
    FitProgress,
    Recommender,
    UserSequence,
    Validate,
    checked,
    checked_matrix,
)
from models.side_features import NO_SIDE, context_codes

_REPORTS_A_PASS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PassesConfig:
    """How a history is gone through.

    Attributes:
        batch_events: Actions that are learned in one call; 1 is exact, and slow.
        max_passes: Over the history.
        patience: Passes without a better validation after which training ends.
    """

    batch_events: int = 256
    max_passes: int = 20
    patience: int = 3


class FactorisationRecommender(Recommender):
    """Item, context and bias factors; subclasses say which contexts there are.

    Attributes:
        reads_contexts: whether the log's contexts are among them.
    """

    reads_contexts: ClassVar[bool] = False

    def __init__(
        self,
        *,
        seed: int,
        factors: FactorisationConfig,
        passes: PassesConfig,
        fold_in: FoldIn,
    ) -> None:
        """Set what is learned and how; subclasses have the defaults.

        Args:
            seed: of first factors and draws.
            factors: sizes and rates of training.
            passes: over the history.
            fold_in: of sequences.
        """
        super().__init__()
        self._seed = seed
        self._config = factors
        self._passes = passes
        self._fold_in = fold_in
        self._learned = self._untaught()

    def _context_sizes(self) -> Sequence[int]:
        """Return how many values each context has that `_contexts` returns."""
        return ()

    def _contexts(
        self, times_s: npt.NDArray[np.int64], codes: npt.NDArray[np.integer] | None
    ) -> npt.NDArray[np.int64]:
        """Return each context's value, `[..., M]`.

        Args:
            times_s: of the moments.
            codes: of the moments' contexts, `[..., C]`, 0 for untold; None where all are.
        """
        del codes
        return np.zeros((*times_s.shape, 0), np.int64)

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        side = history.side or NO_SIDE
        self._adopt(history.item_ids, side if self.reads_contexts else NO_SIDE)
        self._learned = self._untaught()
        self._learned.grow(len(self.item_ids))
        events = PassOrder(history)
        if not len(events):
            yield FitProgress(done=1)
            return
        times_s = events.times_s.astype(np.int64)
        self._learned.keep_contexts(self._contexts(times_s, events.contexts))
        best, best_pass, best_weights = -np.inf, 0, self._copied()
        for made in range(1, self._passes.max_passes + 1):
            losses = []
            for share, loss in self._pass(events):
                losses.append(loss)
                done = (made - 1 + share) / self._passes.max_passes
                if share < 1:
                    yield FitProgress(done=done, epoch=made - 1, loss=loss)
            judged = None if validate is None else validate(self)
            if judged is None or judged > best:
                best, best_pass = -np.inf if judged is None else judged, made
                best_weights = self._copied()
            yield FitProgress(
                done=made / self._passes.max_passes,
                epoch=made,
                loss=float(np.mean(losses)),
                validation=judged,
            )
            if made - best_pass >= self._passes.patience:
                break
        self.restore(best_weights)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        newest = [_newest(sequence, self._fold_in.num_recent) for sequence in sequences]
        num_places = max((len(items) for items, _ in newest), default=0)
        item_BS = np.full((len(newest), num_places), -1, np.int64)
        time_BS = np.zeros((len(newest), num_places), np.int64)
        for row, (items, times_s) in enumerate(newest):
            place = num_places - len(items)
            item_BS[row, place:], time_BS[row, place:] = items, times_s
        now_B = np.array([sequence.moment_s for sequence in sequences], np.int64)
        code_BC = context_codes([sequence.contexts for sequence in sequences], self.side)
        learned, factors = self._learned, self._learned.factors
        user_BD = factors.fold_in(
            item_BS,
            learned.context_rows(self._contexts(time_BS, None)),
            self._fold_in,
            start=self._config.user_start,
            seed=self._seed,
        )
        return factors.scores(user_BD, learned.context_rows(self._contexts(now_B, code_BC)))

    @override
    def settings(self) -> Mapping[str, Any]:
        return {
            "seed": self._seed,
            "factors": asdict(self._config),
            "passes": asdict(self._passes),
            "fold_in": asdict(self._fold_in),
        }

    @override
    def weights(self) -> Arrays:
        factors = self._learned.factors
        return {"item": factors.item_ND, "bias": factors.bias_N, "context": factors.context_CD}

    @override
    def restore(self, weights: Arrays) -> None:
        num_items, width = len(self.item_ids), self._config.num_factors
        learned = self._untaught()
        learned.load(
            item_ND=checked_matrix(weights["item"], num_items, width),
            bias_N=checked(weights["bias"], num_items),
            context_CD=checked_matrix(weights["context"], 1 + sum(self._context_sizes()), width),
        )
        self._learned = learned

    def _untaught(self) -> Factorisation:
        return Factorisation(self._config, seed=self._seed, context_sizes=self._context_sizes())

    def _pass(self, events: PassOrder) -> Iterator[tuple[float, float]]:
        """Learn every event once; yields the share that is done and the loss since the last."""
        losses: list[npt.NDArray[np.float32]] = []
        num = len(events)
        report_every = max(num // (_REPORTS_A_PASS * self._passes.batch_events), 1)
        for batch, start in enumerate(range(0, num, self._passes.batch_events), 1):
            taken = slice(start, start + self._passes.batch_events)
            candidate_BK = events.unseen(taken, self._learned.candidates(len(events.items[taken])))
            times_s = events.times_s[taken].astype(np.int64)
            contexts = self._contexts(times_s, events.contexts[taken])
            losses.append(
                self._learned.learn(
                    events.users[taken], events.items[taken], candidate_BK, contexts
                )
            )
            if batch % report_every == 0 or taken.stop >= num:
                all_losses = np.concatenate(losses)
                losses = []
                yield (
                    min(taken.stop / num, 1.0),
                    float(all_losses.mean()) if len(all_losses) else 0.0,
                )

    def _copied(self) -> Arrays:
        return {name: array.copy() for name, array in self.weights().items()}


def _newest(
    sequence: UserSequence, num: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    """Return the newest actions on items of the catalogue, and their times."""
    known = np.flatnonzero(sequence.items >= 0)[-num:]
    return sequence.items[known], sequence.times_s[known]

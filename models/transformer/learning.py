"""What does one batch change?

A step of the body moves the network and the item vectors that the batch touches; a step of the
calibration moves only the weights of one input against another (`network.CALIBRATION`).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoder_inputs import user_buckets
from models.history import History
from models.transformer.counters import CounterInputs, CounterLog, empty_counters
from models.transformer.loss import Candidates, competition, draw_candidates, item_loss
from models.transformer.network import CALIBRATION, MaskPool
from models.transformer.state import TrainingState
from models.transformer.touched import TouchedItems
from models.transformer.windows import (
    Batch,
    Sequences,
    batches,
    gather,
    seen_items,
    training_sequences,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a pass is made.

    Attributes:
        learning_rate: of the network's weights.
        item_learning_rate: of the item vectors.
        attribute_learning_rate: of the attributes' vectors, each of which moves with many items.
        calibration_learning_rate: of the weights of one input against another.
        epochs: passes over the window.
        chunk_rows: rows of the window that are shuffled together; smaller is more chronological.
        first_targets: a first training passes over its window, as long as that helps, until it has
            learned so many targets: a small log has too few steps in it.
        max_first_epochs: so often at most.
        first_chunk_rows: of a first training on few rows; its weights of one input against another
            are far off, and move with every chunk.
        max_batch_tokens: padded tokens of a batch.
        replay_fraction: replayed targets for each target of the window.
        max_full_softmax: largest catalogue whose softmax is not sampled.
        num_negatives: draws of the shared sample in larger catalogues.
        action_loss_weight: weight of the action type's cross-entropy against the item's.
        max_gradient_norm: of the network's gradient; larger ones are scaled down to it.
        predicts_repeats: whether items that the user has acted upon may be acted upon again. Where
            lists leave them out they are no candidates in training either.
    """

    learning_rate: float = 5e-3
    item_learning_rate: float = 2e-2
    attribute_learning_rate: float = 2e-3
    calibration_learning_rate: float = 1e-2
    epochs: int = 1
    chunk_rows: int = 10_000
    first_targets: int = 600_000
    max_first_epochs: int = 12
    first_chunk_rows: int = 2_000
    max_batch_tokens: int = 1024
    replay_fraction: float = 0.25
    max_full_softmax: int = 8192
    num_negatives: int = 2048
    action_loss_weight: float = 0.2
    max_gradient_norm: float = 1.0
    predicts_repeats: bool = False

    def of_first(self, num_rows: int) -> Self:
        """Return how a first training on so many rows is made, with the most passes.

        >>> TrainingConfig(first_targets=100_000).of_first(40_000).epochs
        2
        """
        passes = self.first_targets // max(num_rows, 1)
        epochs = max(self.epochs, min(passes, self.max_first_epochs))
        chunk_rows = max(self.first_chunk_rows, num_rows // 64)
        return replace(self, epochs=epochs, chunk_rows=min(self.chunk_rows, chunk_rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step.

    Attributes:
        targets: actions learned from, replayed ones included.
        done: share of the whole fit that is done.
        ends_pass: whether the window has been gone through once more.
        item_loss: mean cross-entropy of the items, before the step.
        action_loss: mean cross-entropy of the action types, before the step.
    """

    targets: int
    done: float
    ends_pass: bool
    item_loss: float
    action_loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What a forward pass leaves: the touched items, and the losses of `num_items` targets."""

    touched: TouchedItems
    num_items: int
    item_loss: Tensor
    action_loss: Tensor


class Learner:
    """One fit: its generators, and what the current chunk's targets compete with."""

    def __init__(
        self,
        state: TrainingState,
        history: History,
        config: TrainingConfig,
        seed: int,
        counters: CounterLog | None,
    ) -> None:
        """Begin a fit; `close` ends it."""
        self._state = state
        self._history = history
        self._config = config
        self._counters = counters
        self._generator = np.random.default_rng(seed)
        self._masks = MaskPool(state.network.config.dropout, torch.Generator().manual_seed(seed))
        self._popularity_N = np.zeros(len(history.item_ids))
        state.network.train()

    def close(self) -> None:
        """Leave the network as serving and saving expect it."""
        self._state.network.requires_grad_(True)
        self._state.network.eval()

    def chunk(self, start: int, stop: int) -> list[Sequences]:
        """Return the batches of the chunk's rows and of replayed ones, shuffled; for `step`."""
        self._train_only(calibration=False, learning_rate=self._config.learning_rate)
        fresh = self._sequences(start, stop)
        parts = self._split(fresh)
        parts += self._split(self._replayed(start, fresh.num_targets))
        self._count_targets(start, stop)
        return [parts[index] for index in self._generator.permutation(len(parts))]

    def calibrate(self, start: int, stop: int) -> None:
        """Fit the weights of one input against another to rows that nothing has learned yet.

        Without counters there is nothing to weigh, and the body learns all weights.
        """
        if self._counters is None:
            return
        self._train_only(calibration=True, learning_rate=self._config.calibration_learning_rate)
        self._count_targets(start, stop)
        for part in self._split(self._sequences(start, stop)):
            outcome = self._forward(gather(self._history, part), masks=None)
            if outcome.num_items:
                self._descend(outcome.item_loss)

    def step(self, batch: Batch, *, done: float, ends_pass: bool) -> Progress:
        """Make one step of the body."""
        outcome = self._forward(batch, masks=self._masks)
        self._descend(outcome.item_loss + self._config.action_loss_weight * outcome.action_loss)
        outcome.touched.update(
            self._config.item_learning_rate, self._config.attribute_learning_rate
        )
        return Progress(
            targets=len(batch.row_P),
            done=done,
            ends_pass=ends_pass,
            item_loss=float(outcome.item_loss.detach()),
            action_loss=float(outcome.action_loss.detach()),
        )

    def _train_only(self, *, calibration: bool, learning_rate: float) -> None:
        network = self._state.network
        for name, parameter in network.named_parameters():
            is_weight = self._counters is not None and name.startswith(CALIBRATION)
            parameter.requires_grad_(is_weight == calibration)
        for group in self._state.optimizer.param_groups:
            group["lr"] = learning_rate

    def _descend(self, loss: Tensor) -> None:
        self._state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._state.network.parameters(), self._config.max_gradient_norm)
        self._state.optimizer.step()

    def _forward(self, batch: Batch, *, masks: MaskPool | None) -> _Outcome:
        """Return the losses of a batch; `masks` is None while calibrating."""
        is_body = masks is not None
        network, inputs = self._state.network, batch.inputs
        seen_PL = self._excluded(batch)
        chosen = self._predictable(batch, seen_PL)
        target_P = batch.item_P[chosen]
        candidates = self._candidates()
        token_BL = self._hide_items(inputs.item_BL) if is_body else inputs.item_BL
        parts = [token_BL.ravel(), target_P + 1, candidates.items_C + 1]
        rows, places = np.unique(np.concatenate(parts), return_inverse=True)
        token_place, target_place, candidate_place = torch.split(
            torch.from_numpy(places), [len(part) for part in parts]
        )
        touched = TouchedItems(
            self._state,
            torch.from_numpy(rows),
            learns_with=self._generator if is_body else None,
        )
        vector_UI = touched.vector_UI
        state_BLM = network.encode(
            vector_UI[token_place].view(*token_BL.shape, -1),
            torch.from_numpy(inputs.action_BL),
            torch.from_numpy(inputs.gap_BL),
            torch.from_numpy(inputs.time_BL),
            torch.from_numpy(user_buckets(inputs.user_B, network.config.num_user_buckets)),
            masks,
            self._hidden_users(len(inputs.user_B)) if is_body else None,
        )
        state_PM = state_BLM.flatten(0, 1)[torch.from_numpy(batch.position_P)]
        request_gap_P = torch.from_numpy(batch.request_gap_P)
        context_PC = torch.from_numpy(batch.context_PC)
        action_P = torch.from_numpy(batch.action_P)
        action_logits_PA = network.action_logits(state_PM, request_gap_P, context_PC)
        items_loss = torch.zeros(())
        if len(chosen):
            rows_T = torch.from_numpy(chosen)
            query_PI, weight_P3 = network.queries(
                state_PM[rows_T], request_gap_P[rows_T], action_P[rows_T], context_PC[rows_T]
            )
            against = competition(
                target_P,
                candidates,
                self._counter_inputs(batch.row_P[chosen]),
                seen_PL[chosen],
                num_items=len(self._history.item_ids),
            )
            items_loss = item_loss(
                query_PI, weight_P3, vector_UI[target_place], vector_UI[candidate_place], against
            )
        return _Outcome(
            touched=touched,
            num_items=len(chosen),
            item_loss=items_loss,
            action_loss=functional.cross_entropy(action_logits_PA, action_P),
        )

    def _excluded(self, batch: Batch) -> npt.NDArray[np.int64]:
        seen_PL = seen_items(batch)
        return np.full_like(seen_PL, -1) if self._config.predicts_repeats else seen_PL

    def _predictable(self, batch: Batch, seen_PL: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the positions whose target is an item that a list could have held."""
        wanted = (batch.item_P >= 0) & ~(seen_PL == batch.item_P[:, None]).any(1)
        # An item's very first action: no counter knows it, so it says nothing about their weights.
        return np.flatnonzero(wanted & (batch.item_P < self._num_covered(batch.row_P)))

    def _num_covered(self, row_P: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        num_items = len(self._history.item_ids)
        if self._counters is None:
            return np.full(len(row_P), num_items)
        return self._counters.num_covered(row_P, num_items)

    def _candidates(self) -> Candidates:
        return draw_candidates(
            self._popularity_N,
            self._generator,
            num_negatives=self._config.num_negatives,
            max_full=self._config.max_full_softmax,
        )

    def _sequences(self, start: int, stop: int) -> Sequences:
        length = self._state.network.config.length
        return training_sequences(self._history, from_row=start, to_row=stop, length=length)

    def _split(self, sequences: Sequences) -> list[Sequences]:
        return list(batches(sequences, self._generator, max_tokens=self._config.max_batch_tokens))

    def _replayed(self, start: int, num_fresh: int) -> Sequences:
        num_targets = int(num_fresh * self._config.replay_fraction)
        oldest = start if num_targets == 0 else self._history.first_row
        if self._counters is not None:
            oldest = max(oldest, self._counters.first_row)
        older = self._sequences(oldest, start)
        shuffled = self._generator.permutation(len(older))
        reached = np.cumsum((older.end_S - older.target_S)[shuffled])
        return older.select(shuffled[: int(np.searchsorted(reached, num_targets))])

    def _count_targets(self, start: int, stop: int) -> None:
        # Replayed targets compete too, so a stretch before the chunk counts as well.
        first = max(start - 2 * self._config.chunk_rows - self._history.first_row, 0)
        items = self._history.items[first : stop - self._history.first_row]
        counts_N = np.bincount(items[items >= 0], minlength=len(self._history.item_ids))
        self._popularity_N = counts_N.astype(np.float64)

    def _hide_items(self, item_BL: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        hidden = self._generator.random(item_BL.shape) < self._state.network.config.item_dropout
        return np.where(hidden, 0, item_BL)

    def _hidden_users(self, num_users: int) -> Tensor:
        share = self._state.network.config.user_dropout
        return torch.from_numpy(self._generator.random(num_users) < share)

    def _counter_inputs(self, row_P: npt.NDArray[np.int64]) -> CounterInputs:
        num_items = len(self._history.item_ids)
        if self._counters is None:
            return empty_counters(len(row_P), num_items)
        return self._counters.inputs(row_P, num_items)

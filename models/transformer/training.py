"""How do the weights move to the newest actions?

One pass goes through a window of the history in chronological chunks; each chunk's targets are
mixed with a share of replayed older ones. A refresh is a pass over the rows since the last one, on
warm weights; a first training is one or two passes over everything. One thread; for the same state,
rows, configuration and seed the result is the same on the same machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from models.encoder_inputs import user_buckets
from models.transformer.counters import CounterInputs, CounterLog, empty_counters
from models.transformer.history import History
from models.transformer.loss import competition, draw_candidates, item_loss
from models.transformer.network import MaskPool
from models.transformer.state import TrainingState
from models.transformer.windows import Batch, Sequences, batches, gather, training_sequences


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How a pass is made.

    Attributes:
        learning_rate: of the network's weights.
        item_learning_rate: of the item vectors.
        epochs: passes over the window.
        chunk_rows: rows of the window that are shuffled together; smaller is more chronological.
        max_batch_tokens: padded tokens of a batch.
        replay_fraction: replayed targets for each target of the window.
        max_full_softmax: largest catalogue whose softmax is not sampled.
        num_negatives: draws of the shared sample in larger catalogues.
        action_loss_weight: weight of the action type's cross-entropy against the item's.
        max_gradient_norm: of the network's gradient; larger ones are scaled down to it.
    """

    learning_rate: float = 2e-3
    item_learning_rate: float = 1e-2
    epochs: int = 1
    chunk_rows: int = 10_000
    max_batch_tokens: int = 4096
    replay_fraction: float = 0.25
    max_full_softmax: int = 8192
    num_negatives: int = 2048
    action_loss_weight: float = 0.2
    max_gradient_norm: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step.

    Attributes:
        targets: actions learned from, replayed ones included.
        done: share of the whole fit that is done.
        item_loss: mean cross-entropy of the items, before the step.
        action_loss: mean cross-entropy of the action types, before the step.
    """

    targets: int
    done: float
    item_loss: float
    action_loss: float


def fit(
    state: TrainingState,
    history: History,
    *,
    from_row: int,
    to_row: int,
    config: TrainingConfig,
    seed: int,
    counters: CounterLog | None = None,
) -> Iterator[Progress]:
    """Learn the rows `[from_row, to_row)` in place, one optimiser step an iteration.

    Without `counters` the counters' weights stay as they are. With them, rows are replayed only as
    far back as the counters' log goes.

    Raises:
        ValueError: the state's catalogue is not the history's: call `TrainingState.adopt` first.
    """
    if state.item_ids != history.item_ids:
        raise ValueError(
            f"the state knows {len(state.item_ids)} items, the history {len(history.item_ids)}, "
            "or in another order: adopt the history's catalogue first"
        )
    torch.set_num_threads(1)
    learner = _Learner(state, history, config, seed, counters)
    first_row = max(from_row, history.first_row)
    starts = range(first_row, to_row, config.chunk_rows)
    total_rows = max(to_row - first_row, 1) * config.epochs
    state.network.train()
    for epoch in range(config.epochs):
        for start in starts:
            stop = min(start + config.chunk_rows, to_row)
            parts = learner.chunk(start, stop)
            before = epoch * (to_row - first_row) + start - first_row
            for number, part in enumerate(parts, start=1):
                done = (before + (stop - start) * number / len(parts)) / total_rows
                yield learner.step(gather(history, part), done=done)
    state.network.eval()


class _Learner:
    """One fit: its generators, and what the current chunk's targets compete with."""

    def __init__(
        self,
        state: TrainingState,
        history: History,
        config: TrainingConfig,
        seed: int,
        counters: CounterLog | None,
    ) -> None:
        self.state = state
        self.history = history
        self.config = config
        self.counters = counters
        self.generator = np.random.default_rng(seed)
        self.masks = MaskPool(state.network.config.dropout, torch.Generator().manual_seed(seed))
        self.popularity_N = np.zeros(len(history.item_ids))
        self.parameters = list(state.network.parameters())
        for group in state.optimizer.param_groups:
            group["lr"] = config.learning_rate

    def chunk(self, start: int, stop: int) -> list[Sequences]:
        """Return the batches of the chunk's rows and of the replayed ones, shuffled."""
        length = self.state.network.config.length
        fresh = training_sequences(self.history, from_row=start, to_row=stop, length=length)
        parts = self._split(fresh)
        num_replayed = int(fresh.num_targets * self.config.replay_fraction)
        parts += self._split(self._replayed(start, num_replayed, length))
        # Replayed targets compete too, so a stretch before the chunk counts as well.
        first = max(start - 2 * self.config.chunk_rows - self.history.first_row, 0)
        items = self.history.items[first : stop - self.history.first_row]
        counts_N = np.bincount(items[items >= 0], minlength=len(self.history.item_ids))
        self.popularity_N = counts_N.astype(np.float64)
        return [parts[index] for index in self.generator.permutation(len(parts))]

    def step(self, batch: Batch, *, done: float) -> Progress:
        """Make one optimiser step."""
        network, items = self.state.network, self.state.items
        config = network.config
        with_item = np.flatnonzero(batch.item_P >= 0)
        target_P = batch.item_P[with_item]
        candidates = draw_candidates(
            self.popularity_N,
            self.generator,
            num_negatives=self.config.num_negatives,
            max_full=self.config.max_full_softmax,
        )
        token_BL = self._hide_items(batch.inputs.item_BL)
        # Only the rows that the batch touches take part in the graph and in the update.
        touched = [token_BL.ravel(), target_P + 1, candidates.items_C + 1]
        rows_U, places = np.unique(np.concatenate(touched), return_inverse=True)
        places_T = torch.from_numpy(places)
        token_place, target_place, candidate_place = torch.split(
            places_T, [len(part) for part in touched]
        )
        raw_UI = items.vectors[torch.from_numpy(rows_U)].requires_grad_()
        vector_UI = functional.normalize(raw_UI, dim=-1)

        inputs = batch.inputs
        hidden_B = self.generator.random(len(inputs.user_B)) < config.user_dropout
        state_BLM = network.encode(
            vector_UI[token_place].view(*token_BL.shape, -1),
            torch.from_numpy(inputs.action_BL),
            torch.from_numpy(inputs.gap_BL),
            torch.from_numpy(inputs.time_BL),
            torch.from_numpy(user_buckets(inputs.user_B, config.num_user_buckets)),
            self.masks,
            torch.from_numpy(hidden_B),
        )
        state_PM = state_BLM.flatten(0, 1)[torch.from_numpy(batch.position_P)]
        request_gap_P = torch.from_numpy(batch.request_gap_P)
        action_P = torch.from_numpy(batch.action_P)
        action_loss = functional.cross_entropy(
            network.action_logits(state_PM, request_gap_P), action_P
        )
        loss = self.config.action_loss_weight * action_loss
        item_loss_value = 0.0
        if len(with_item):
            chosen = torch.from_numpy(with_item)
            query_PI, weight_P3 = network.queries(
                state_PM[chosen], request_gap_P[chosen], action_P[chosen]
            )
            against = competition(
                target_P,
                candidates,
                self._counter_inputs(batch.row_P[with_item]),
                num_items=len(self.history.item_ids),
            )
            items_loss = item_loss(
                query_PI, weight_P3, vector_UI[target_place], vector_UI[candidate_place], against
            )
            item_loss_value = float(items_loss.detach())
            loss = loss + items_loss
        self.state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_gradient_norm)
        self.state.optimizer.step()
        if raw_UI.grad is not None:
            items.update(torch.from_numpy(rows_U), raw_UI.grad, self.config.item_learning_rate)
        return Progress(
            targets=len(batch.row_P),
            done=done,
            item_loss=item_loss_value,
            action_loss=float(action_loss.detach()),
        )

    def _split(self, sequences: Sequences) -> list[Sequences]:
        return list(batches(sequences, self.generator, max_tokens=self.config.max_batch_tokens))

    def _replayed(self, start: int, num_targets: int, length: int) -> Sequences:
        oldest = self.history.first_row
        if self.counters is not None:
            oldest = max(oldest, self.counters.first_row)
        if num_targets == 0:
            oldest = start
        older = training_sequences(self.history, from_row=oldest, to_row=start, length=length)
        shuffled = self.generator.permutation(len(older))
        reached = np.cumsum((older.end_S - older.target_S)[shuffled])
        return older.select(shuffled[: int(np.searchsorted(reached, num_targets))])

    def _hide_items(self, item_BL: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        hidden = self.generator.random(item_BL.shape) < self.state.network.config.item_dropout
        return np.where(hidden, 0, item_BL)

    def _counter_inputs(self, row_P: npt.NDArray[np.int64]) -> CounterInputs:
        num_items = len(self.history.item_ids)
        if self.counters is None:
            return empty_counters(len(row_P), num_items)
        return self.counters.inputs(row_P, num_items)

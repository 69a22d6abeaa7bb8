"""Where among all items does a training state rank what users did next?

The whole catalogue is ranked, with the counters' log-scores as of just before each target. An item
that scores as high as the target counts as before it: a state that says nothing ranks last.

Shape letters: P targets, N items, I item vector width.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from models.encoder_inputs import user_buckets
from models.history import History
from models.transformer.counters import CounterInputs, CounterLog, empty_counters
from models.transformer.state import TrainingState
from models.transformer.windows import Batch, batches, gather, seen_items, training_sequences

_MAX_TOKENS: Final = 4096
_CHUNK_POSITIONS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRanks:
    """Ranks of P targets, in the log's order.

    Attributes:
        row_P: absolute row of each target in the history.
        rank_P: from 1, the best.
        user_P: hashed user of each.
    """

    row_P: npt.NDArray[np.int64]
    rank_P: npt.NDArray[np.int64]
    user_P: npt.NDArray[np.uint64]


def rank_targets(
    state: TrainingState,
    history: History,
    *,
    from_row: int,
    to_row: int,
    counters: CounterLog | None = None,
    predicts_repeats: bool = False,
) -> TargetRanks:
    """Rank the item of every row of the window that has one.

    Unless `predicts_repeats`, items among the sequence's earlier tokens are left out, as lists
    leave them out, and an action on one of them is no target. The state
    must know the history's catalogue (`TrainingState.adopt`); it is not changed.
    """
    torch.set_num_threads(1)
    # It may be asked in the middle of a training.
    was_training = state.network.training
    state.network.eval()
    sequences = training_sequences(
        history, from_row=from_row, to_row=to_row, length=state.network.config.length
    )
    rows: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    ranks: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    with torch.inference_mode():
        unit = functional.normalize(state.item_vectors(), dim=-1)
        unit_NI = unit[1:]
        for part in batches(sequences, np.random.default_rng(0), max_tokens=_MAX_TOKENS):
            batch = gather(history, part)
            query_PI, weight_P3 = _queries(state, unit, batch)
            seen_PL = seen_items(batch)
            if predicts_repeats:
                seen_PL = np.full_like(seen_PL, -1)
            is_repeat_P = (seen_PL == batch.item_P[:, None]).any(1)
            wanted = np.flatnonzero((batch.item_P >= 0) & ~is_repeat_P)
            for start in range(0, len(wanted), _CHUNK_POSITIONS):
                chosen = wanted[start : start + _CHUNK_POSITIONS]
                row_P = batch.row_P[chosen]
                said = (
                    empty_counters(len(row_P), len(unit_NI))
                    if counters is None
                    else counters.inputs(row_P, len(unit_NI))
                )
                logits_PN = query_PI[chosen] @ unit_NI.T + _counter_logits(weight_P3[chosen], said)
                masked_P, masked_N = _seen_pairs(seen_PL[chosen])
                logits_PN[masked_P, masked_N] = -torch.inf
                own_P1 = logits_PN.gather(1, torch.from_numpy(batch.item_P[chosen])[:, None])
                ranks.append((logits_PN >= own_P1).sum(1).numpy())
                rows.append(row_P)
    state.network.train(was_training)
    row_P = np.concatenate(rows)
    order = np.argsort(row_P, kind="stable")
    return TargetRanks(
        row_P=row_P[order],
        rank_P=np.concatenate(ranks)[order],
        user_P=history.users[row_P[order] - history.first_row],
    )


def _seen_pairs(seen_PL: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    position_Z, token_Z = np.nonzero(seen_PL >= 0)
    return torch.from_numpy(position_Z.copy()), torch.from_numpy(seen_PL[position_Z, token_Z])


def _queries(state: TrainingState, unit: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    network, inputs = state.network, batch.inputs
    hidden_BLM = network.encode(
        unit[torch.from_numpy(inputs.item_BL)],
        torch.from_numpy(inputs.action_BL),
        torch.from_numpy(inputs.gap_BL),
        torch.from_numpy(inputs.time_BL),
        torch.from_numpy(user_buckets(inputs.user_B, network.config.num_user_buckets)),
    )
    state_PM = hidden_BLM.flatten(0, 1)[torch.from_numpy(batch.position_P)]
    gap_P = torch.from_numpy(batch.request_gap_P)
    query_PI, weight_P3 = network.queries(
        state_PM, gap_P, torch.from_numpy(batch.action_P), torch.from_numpy(batch.context_PC)
    )
    return query_PI, weight_P3


def _counter_logits(weight_P3: Tensor, said: CounterInputs) -> Tensor:
    popularity_PN = torch.from_numpy(said.popularity_TN)[torch.from_numpy(said.snapshot_P)]
    logits_PN = popularity_PN * weight_P3[:, :1]
    position_Z, slot_Z = np.nonzero(said.item_PK >= 0)
    rows_Z = torch.from_numpy(np.ascontiguousarray(position_Z))
    columns_Z = torch.from_numpy(said.item_PK[position_Z, slot_Z])
    lift_Z = torch.from_numpy(said.lift_PK[position_Z, slot_Z])
    added_Z = weight_P3[rows_Z, 1] * lift_Z + weight_P3[rows_Z, 2]
    logits_PN.index_put_((rows_Z, columns_Z), added_Z, accumulate=True)
    return logits_PN

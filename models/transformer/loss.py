"""How far are the predicted items from the chosen ones?

Softmax cross-entropy over all items or, in large catalogues, over a shared sample of them, with the
counters' log-scores as further logits. The loss and its gradient are computed in one pass over
chunks of predicted positions, so that the logits of a chunk stay in the cache and are never kept.

A sampled item stands for all those that were not: its logit is raised by minus the logarithm of its
probability of being in the sample, which makes the estimate of the partition function unbiased
(Horvitz & Thompson 1952; the logQ correction of Yi et al. 2019 for draws with replacement is the
limit for small probabilities). The target itself always counts once: sampled copies are masked.

Shape letters: P predicted positions, C candidates, I item vector width, T popularity snapshots,
Z pairs of a position and a candidate (co-visited, or
seen already), L tokens.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.transformer.counters import CounterInputs

_CHUNK_POSITIONS: Final = 256
_NONE: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The items that a batch's targets compete with.

    Attributes:
        items_C: item codes, ascending, without duplicates.
        log_probability_C: logarithm of each item's probability of being a candidate; 0 for certain.
    """

    items_C: npt.NDArray[np.int64]
    log_probability_C: npt.NDArray[np.float32]


def draw_candidates(
    popularity_N: npt.NDArray[np.float64],
    generator: np.random.Generator,
    *,
    num_negatives: int,
    max_full: int,
) -> Candidates:
    """Return all items up to `max_full` of them, otherwise a sample that the whole batch shares.

    Args:
        popularity_N: how often each item is a target, at least 0.
        generator: draws the sample.
        num_negatives: draws, half of them uniform, half in proportion to `popularity ** 0.5`;
            repeated draws count once, so there are fewer candidates than draws.
        max_full: the largest catalogue that is not sampled.
    """
    num_items = len(popularity_N)
    if num_items <= max_full:
        return Candidates(
            items_C=np.arange(num_items), log_probability_C=np.zeros(num_items, np.float32)
        )
    root_N = np.sqrt(popularity_N) + 1e-12
    chance_N = 0.5 / num_items + 0.5 * root_N / root_N.sum()
    items_C = np.unique(
        np.searchsorted(np.cumsum(chance_N), generator.random(num_negatives) * chance_N.sum())
    )
    items_C = np.minimum(items_C, num_items - 1)
    log_probability_C = np.log(-np.expm1(num_negatives * np.log1p(-chance_N[items_C])))
    return Candidates(items_C=items_C, log_probability_C=log_probability_C.astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Competition:
    """Everything about a batch's logits that is not learned.

    Attributes:
        log_probability_C: see `Candidates`.
        own_column_P: the target's column among the candidates, -1 where it is not one.
        popularity_TC: popularity log-scores of the candidates, by snapshot.
        snapshot_P: which snapshot each position sees.
        pair_position_Z: position of each co-visited candidate, ascending.
        pair_column_Z: its column.
        pair_lift_Z: its lift.
        seen_position_Z: position of each candidate that is masked there, ascending.
        seen_column_Z: its column.
        target_counters_P3: the target's own popularity, lift and flag.
    """

    log_probability_C: Tensor
    own_column_P: Tensor
    popularity_TC: Tensor
    snapshot_P: Tensor
    pair_position_Z: Tensor
    pair_column_Z: Tensor
    pair_lift_Z: Tensor
    seen_position_Z: Tensor
    seen_column_Z: Tensor
    target_counters_P3: Tensor


def competition(
    target_P: npt.NDArray[np.int64],
    candidates: Candidates,
    counters: CounterInputs,
    seen_PL: npt.NDArray[np.int64],
    *,
    num_items: int,
) -> Competition:
    """Return what the targets compete against.

    Args:
        target_P: their item codes.
        candidates: the shared ones.
        counters: what the counters said before each target.
        seen_PL: item codes that are no candidates of a position, -1 for none, never its target.
        num_items: of the catalogue.
    """
    column_N = np.full(num_items, _NONE, np.int64)
    column_N[candidates.items_C] = np.arange(len(candidates.items_C))
    listed_PK = (counters.item_PK >= 0) & (counters.item_PK < num_items)
    column_PK = np.where(listed_PK, column_N[np.where(listed_PK, counters.item_PK, 0)], _NONE)
    position_Z, slot_Z = _contiguous_pairs(column_PK >= 0)
    seen_column_PL = np.where(seen_PL >= 0, column_N[np.maximum(seen_PL, 0)], _NONE)
    seen_position_Z, token_Z = _contiguous_pairs(seen_column_PL >= 0)
    own_PK = listed_PK & (counters.item_PK == target_P[:, None])
    target_counters_P3 = np.stack(
        [
            counters.popularity_TN[counters.snapshot_P, target_P],
            np.where(own_PK, counters.lift_PK, 0).sum(1),
            own_PK.any(1),
        ],
        axis=1,
    ).astype(np.float32)
    return Competition(
        log_probability_C=torch.from_numpy(candidates.log_probability_C),
        own_column_P=torch.from_numpy(column_N[target_P]),
        popularity_TC=torch.from_numpy(counters.popularity_TN[:, candidates.items_C]),
        snapshot_P=torch.from_numpy(counters.snapshot_P),
        pair_position_Z=torch.from_numpy(position_Z),
        pair_column_Z=torch.from_numpy(column_PK[position_Z, slot_Z]),
        pair_lift_Z=torch.from_numpy(counters.lift_PK[position_Z, slot_Z]),
        seen_position_Z=torch.from_numpy(seen_position_Z),
        seen_column_Z=torch.from_numpy(seen_column_PL[seen_position_Z, token_Z]),
        target_counters_P3=torch.from_numpy(target_counters_P3),
    )


def _contiguous_pairs(
    wanted: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rows, columns = np.nonzero(wanted)
    return np.ascontiguousarray(rows), np.ascontiguousarray(columns)


def item_loss(
    query_PI: Tensor,
    weight_P3: Tensor,
    target_PI: Tensor,
    candidate_CI: Tensor,
    against: Competition,
) -> Tensor:
    """Return the mean cross-entropy of the positions, a scalar that is differentiable once.

    Args:
        query_PI: queries, temperature included.
        weight_P3: the counters' weights.
        target_PI: the targets' item vectors.
        candidate_CI: the candidates' item vectors.
        against: the fixed part of the logits.
    """
    loss: Tensor = _FusedSoftmax.apply(query_PI, weight_P3, target_PI, candidate_CI, against)
    return loss


class _FusedSoftmax(torch.autograd.Function):
    """Mean cross-entropy whose forward pass leaves the gradients behind."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives it no type
        query_PI: Tensor,
        weight_P3: Tensor,
        target_PI: Tensor,
        candidate_CI: Tensor,
        against: Competition,
    ) -> Tensor:
        num_positions = len(query_PI)
        gradients = tuple(
            torch.zeros_like(tensor) for tensor in (query_PI, weight_P3, target_PI, candidate_CI)
        )
        total = 0.0
        for start in range(0, num_positions, _CHUNK_POSITIONS):
            positions = slice(start, min(start + _CHUNK_POSITIONS, num_positions))
            total += _chunk_loss(
                (query_PI, weight_P3, target_PI, candidate_CI), gradients, against, positions
            )
        ctx.save_for_backward(*(gradient.div_(num_positions) for gradient in gradients))
        return query_PI.new_tensor(total / num_positions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return (*(gradient * upstream for gradient in ctx.saved_tensors), None)


def _chunk_loss(
    values: tuple[Tensor, ...],
    gradients: tuple[Tensor, ...],
    against: Competition,
    positions: slice,
) -> float:
    """Return the summed loss of a chunk of positions and add its gradients."""
    query_PI, weight_P3, target_PI = (value[positions] for value in values[:3])
    candidate_CI = values[3]
    pairs = _of_chunk(against.pair_position_Z, positions)
    pair_rows_Z = against.pair_position_Z[pairs] - positions.start
    pair_columns_Z = against.pair_column_Z[pairs]
    pair_lift_Z = against.pair_lift_Z[pairs]
    popularity_PC = against.popularity_TC[against.snapshot_P[positions]]
    own_counters_P3 = against.target_counters_P3[positions]

    logits_PC = torch.addmm(against.log_probability_C, query_PI, candidate_CI.T, beta=-1)
    logits_PC.addcmul_(popularity_PC, weight_P3[:, :1])
    pair_weight_Z3 = weight_P3[pair_rows_Z]
    pair_logit_Z = pair_weight_Z3[:, 1] * pair_lift_Z + pair_weight_Z3[:, 2]
    logits_PC.index_put_((pair_rows_Z, pair_columns_Z), pair_logit_Z, accumulate=True)
    own_column_P = against.own_column_P[positions]
    hit_P = torch.nonzero(own_column_P >= 0).squeeze(1)
    logits_PC[hit_P, own_column_P[hit_P]] = -torch.inf
    seen = _of_chunk(against.seen_position_Z, positions)
    seen_rows_Z = against.seen_position_Z[seen] - positions.start
    logits_PC[seen_rows_Z, against.seen_column_Z[seen]] = -torch.inf
    own_logit_P = (query_PI * target_PI).sum(1) + (weight_P3 * own_counters_P3).sum(1)

    peak_P1 = torch.maximum(logits_PC.amax(1), own_logit_P)[:, None]
    chance_PC = logits_PC.sub_(peak_P1).exp_()
    own_P1 = (own_logit_P[:, None] - peak_P1).exp()
    mass_P1 = chance_PC.sum(1, keepdim=True) + own_P1
    loss = float((mass_P1.log() + peak_P1).sum() - own_logit_P.sum())

    chance_PC.div_(mass_P1)
    own_error_P1 = own_P1 / mass_P1 - 1
    query_grad, weight_grad, target_grad = (gradient[positions] for gradient in gradients[:3])
    torch.addcmul(chance_PC @ candidate_CI, own_error_P1, target_PI, out=query_grad)
    gradients[3].addmm_(chance_PC.T, query_PI)
    torch.mul(own_error_P1, query_PI, out=target_grad)
    torch.mul(own_error_P1, own_counters_P3, out=weight_grad)
    weight_grad[:, 0] += torch.linalg.vecdot(chance_PC, popularity_PC)
    pair_chance_Z = chance_PC[pair_rows_Z, pair_columns_Z]
    weight_grad[:, 1].index_add_(0, pair_rows_Z, pair_chance_Z * pair_lift_Z)
    weight_grad[:, 2].index_add_(0, pair_rows_Z, pair_chance_Z)
    return loss


def _of_chunk(position_Z: Tensor, positions: slice) -> slice:
    """Return the stretch of an ascending list of positions that lies in the chunk."""
    bounds = torch.searchsorted(position_Z, torch.tensor([positions.start, positions.stop]))
    return slice(*bounds.tolist())

"""What is the cross-entropy over the whole catalogue, where nothing but vectors speaks?

The same loss as `loss.item_loss` for a full softmax without counters, at half the cost: three
matrix products and one exponential a chunk of positions, and hardly a pass over the logits beside.
Queries are bounded (unit length times a scale), so that no row needs its peak taken off before the
exponential, and a row is normalised by scaling the narrow side of each product.

Shape letters: P predicted positions, N items, I item vector width, Z pairs of a position and an
item that is no candidate there.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Logits of a chunk over a few thousand items are a few megabytes, which the cache keeps.
_CHUNK_POSITIONS: Final = 256

MAX_QUERY_LENGTH: Final = 80.0
"""Longer queries could overflow a float32: exp(88) is its end."""


def full_softmax_loss(
    query_PI: Tensor, item_NI: Tensor, target_P: Tensor, seen_PL: npt.NDArray[np.int64]
) -> Tensor:
    """Return the mean cross-entropy of the positions, a scalar that is differentiable once.

    Args:
        query_PI: queries, all scales included; none longer than `MAX_QUERY_LENGTH`.
        item_NI: unit vectors of all items.
        target_P: item codes, int64.
        seen_PL: item codes that are no candidates of a position, -1 for none, never its target.
    """
    rows_Z, columns_Z = np.nonzero(seen_PL >= 0)
    seen_position_Z = torch.from_numpy(np.ascontiguousarray(rows_Z))
    seen_item_Z = torch.from_numpy(seen_PL[rows_Z, columns_Z])
    loss: Tensor = _FullSoftmax.apply(query_PI, item_NI, target_P, seen_position_Z, seen_item_Z)
    return loss


class _FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy whose forward pass leaves the gradients behind."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives it no type
        query_PI: Tensor,
        item_NI: Tensor,
        target_P: Tensor,
        seen_position_Z: Tensor,
        seen_item_Z: Tensor,
    ) -> Tensor:
        num_positions = len(query_PI)
        query_grad_PI, item_grad_NI = torch.empty_like(query_PI), torch.zeros_like(item_NI)
        starts = torch.arange(0, num_positions + _CHUNK_POSITIONS, _CHUNK_POSITIONS)
        bounds = torch.searchsorted(seen_position_Z, starts).tolist()
        mass_CN = query_PI.new_empty(min(num_positions, _CHUNK_POSITIONS), len(item_NI))
        total = 0.0
        for number, start in enumerate(range(0, num_positions, _CHUNK_POSITIONS)):
            positions = slice(start, min(start + _CHUNK_POSITIONS, num_positions))
            seen = slice(bounds[number], bounds[number + 1])
            chunk_PI, own_P = query_PI[positions], target_P[positions]
            places_P = torch.arange(len(own_P))
            mass_PN = torch.mm(chunk_PI, item_NI.T, out=mass_CN[: len(own_P)])
            own_logit_P = mass_PN[places_P, own_P]
            mass_PN.exp_()
            mass_PN[seen_position_Z[seen] - start, seen_item_Z[seen]] = 0
            sum_P1 = mass_PN.sum(1, keepdim=True)
            total += float(sum_P1.log().sum() - own_logit_P.sum())
            mass_PN[places_P, own_P] -= sum_P1[:, 0]
            torch.mm(mass_PN, item_NI, out=query_grad_PI[positions])
            query_grad_PI[positions] /= sum_P1
            item_grad_NI.addmm_(mass_PN.T, chunk_PI / sum_P1)
        ctx.save_for_backward(query_grad_PI.div_(num_positions), item_grad_NI.div_(num_positions))
        return query_PI.new_tensor(total / num_positions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        query_grad_PI, item_grad_NI = ctx.saved_tensors
        return query_grad_PI * upstream, item_grad_NI * upstream, None, None, None

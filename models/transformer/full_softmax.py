"""What is the cross-entropy over the whole catalogue, where nothing but vectors speaks?

The same loss as `loss.item_loss` for a full softmax without counters, at less than half the cost:
three matrix products and one exponential a chunk of positions, and hardly a pass over the logits
beside. Queries are bounded (unit length times a scale), so that no row needs its peak taken off
before the exponential, and a row is normalised by scaling the narrow side of each product. What is
no candidate gets no mass; the target's own share of the loss and of the gradients is added in
float32, whatever the products are rounded to.

Shape letters: P predicted positions, R positions and zeros after them, C positions of a chunk, N
items and before them one row for none, I item vector width, L items seen before a position.
"""

import math
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from models.transformer.products import in_even_rows

# Logits of a chunk over a few thousand items are a few megabytes, which the cache keeps.
_CHUNK_POSITIONS: Final = 256
_LOG2_E: Final = math.log2(math.e)

MAX_QUERY_LENGTH: Final = 80.0
"""Longer queries could overflow a float32: exp(88) is its end."""


def full_softmax_loss(
    query_PI: Tensor,
    item_NI: Tensor,
    target_P: Tensor,
    seen_PL: Tensor,
    *,
    product_type: torch.dtype = torch.float32,
) -> Tensor:
    """Return the mean cross-entropy of the positions, a scalar that is differentiable once.

    Args:
        query_PI: queries, all scales included; none longer than `MAX_QUERY_LENGTH`; float32.
        item_NI: unit vectors; item n has row n + 1, row 0 stands for none and is no candidate.
        target_P: item codes, int64.
        seen_PL: item codes that are no candidates of a position, -1 for none, never its target.
        product_type: what products and exponentials are rounded to; see `products`.
    """
    loss: Tensor = _FullSoftmax.apply(query_PI, item_NI, target_P, seen_PL, product_type)
    return loss


class _FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy whose forward pass leaves the gradients behind."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives it no type
        query_PI: Tensor,
        item_NI: Tensor,
        target_P: Tensor,
        seen_PL: Tensor,
        product_type: torch.dtype,
    ) -> Tensor:
        num_positions, num_items = len(query_PI), len(item_NI)
        # Zeros after the queries add nothing to any gradient.
        exponent_RI = in_even_rows(query_PI * _LOG2_E, product_type)
        num_rows = len(exponent_RI)
        query_RI = functional.pad(query_PI, (0, 0, 0, num_rows - num_positions))
        rounded_NI = item_NI.to(product_type)
        query_grad_RI, sum_R = torch.empty_like(query_RI), query_RI.new_empty(num_rows)
        item_grad_NI = torch.zeros_like(item_NI)
        space_CN = rounded_NI.new_empty(min(num_rows, _CHUNK_POSITIONS), num_items)
        first_item_C1 = torch.arange(len(space_CN))[:, None] * num_items + 1
        for start in range(0, num_rows, _CHUNK_POSITIONS):
            chunk = slice(start, start + _CHUNK_POSITIONS)
            query_CI, seen_CL = query_RI[chunk], seen_PL[chunk]
            exponent_CI = exponent_RI[chunk]
            mass_CN = torch.mm(exponent_CI, rounded_NI.T, out=space_CN[: len(query_CI)]).exp2_()
            mass_CN.view(-1).index_fill_(0, (seen_CL + first_item_C1[: len(seen_CL)]).view(-1), 0)
            mass_CN[:, 0] = 0
            sum_C1 = mass_CN.sum(1, keepdim=True, dtype=torch.float32)
            sum_R[chunk] = sum_C1[:, 0]
            torch.div(mass_CN @ rounded_NI, sum_C1, out=query_grad_RI[chunk])
            item_grad_NI += mass_CN.T @ (query_CI / sum_C1).to(product_type)
        query_grad_PI, sum_P = query_grad_RI[:num_positions], sum_R[:num_positions]
        own_row_P = target_P + 1
        own_PI = item_NI[own_row_P]
        total = sum_P.log().sum() - torch.linalg.vecdot(query_PI, own_PI).sum()
        query_grad_PI -= own_PI
        item_grad_NI.index_add_(0, own_row_P, query_PI, alpha=-1)
        ctx.save_for_backward(query_grad_PI.div_(num_positions), item_grad_NI.div_(num_positions))
        mean: Tensor = total / num_positions
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        query_grad_PI, item_grad_NI = ctx.saved_tensors
        return query_grad_PI * upstream, item_grad_NI * upstream, None, None, None

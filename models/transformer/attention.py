"""What do tokens take from earlier ones? Causal attention together with its gradient.

Only the softmax is kept for the gradient, and the sum that the softmax's gradient needs is taken
over the output instead of the attention map, which is larger (Dao et al. 2022, algorithm 4).

Shape letters: B batch, L tokens (queries), K tokens (keys), H heads, E width of a head, N heads of
all sequences (B times H), D distances of a query and a key.
"""

import math
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

MASKED: Final = -1e9
"""Bias of a key that comes after its query."""


def causal_attention(
    query_BHLE: Tensor,
    key_BHLE: Tensor,
    value_BHLE: Tensor,
    bias: Tensor,
) -> Tensor:
    """Return what each token takes from itself and earlier ones, `[B, H, L, E]`.

    Args:
        query_BHLE: queries; logits are their products with the keys over the root of E.
        key_BHLE: keys.
        value_BHLE: what is taken.
        bias: added to the logits, `[H, L, L]` or `[B, H, L, L]`; `MASKED` for later keys.
    """
    mixed: Tensor = _CausalAttention.apply(query_BHLE, key_BHLE, value_BHLE, bias)
    return mixed


def causal_bias(bias_HD: Tensor, length: int) -> Tensor:
    """Return the bias of each query and key, `[H, L, L]`, `MASKED` for later keys.

    Args:
        bias_HD: bias of each distance, at least `length` of them.
        length: L.
    """
    bias_HLL: Tensor = _CausalBias.apply(bias_HD, length)
    return bias_HLL


class _CausalBias(torch.autograd.Function):
    """Windows of one row of distances: indexing would scatter the gradient element by element."""

    @staticmethod
    def forward(ctx: Any, bias_HD: Tensor, length: int) -> Tensor:  # noqa: ANN401
        ctx.num_distances = bias_HD.shape[1]
        later = bias_HD.new_full((len(bias_HD), length - 1), MASKED)
        row = torch.cat([bias_HD[:, :length].flip(1), later], 1)
        return row.unfold(1, length, 1).flip(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_HLL: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        num_heads, length, _ = upstream_HLL.shape
        # Read again in rows one element shorter, padded rows shift: diagonals become columns.
        padded = functional.pad(upstream_HLL.flip(1), (0, length)).flatten(1)
        skewed = padded[:, : length * (2 * length - 1)].view(num_heads, length, -1)
        grad_HD = upstream_HLL.new_zeros(num_heads, ctx.num_distances)
        grad_HD[:, :length] = skewed[..., :length].sum(1).flip(1)
        return grad_HD, None


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives it no type
        query_BHLE: Tensor,
        key_BHLE: Tensor,
        value_BHLE: Tensor,
        bias: Tensor,
    ) -> Tensor:
        shape = query_BHLE.shape
        scale = 1 / math.sqrt(shape[-1])
        query_NLE, key_NLE, value_NLE = (
            factor_BHLE.reshape(-1, *shape[2:])
            for factor_BHLE in (query_BHLE * scale, key_BHLE, value_BHLE)
        )
        logits_NLK = query_NLE @ key_NLE.transpose(1, 2)
        logits_NLK.view(*shape[:3], -1).add_(bias)
        weight_NLK = logits_NLK.softmax(-1)
        mixed_NLE = weight_NLK @ value_NLE
        ctx.save_for_backward(query_NLE, key_NLE, value_NLE, weight_NLK, mixed_NLE)
        ctx.bias_shape, ctx.scale = bias.shape, scale
        return mixed_NLE.view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_BHLE: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        query_NLE, key_NLE, value_NLE, weight_NLK, mixed_NLE = ctx.saved_tensors
        shape = upstream_BHLE.shape
        upstream_NLE = upstream_BHLE.reshape(mixed_NLE.shape)
        mean_NL = torch.linalg.vecdot(upstream_NLE, mixed_NLE)
        logit_grad_NLK = upstream_NLE @ value_NLE.transpose(1, 2)
        logit_grad_NLK.sub_(mean_NL[..., None]).mul_(weight_NLK)
        bias_grad = logit_grad_NLK.view(*shape[:3], -1).sum_to_size(ctx.bias_shape)
        grads_NLE = (
            (logit_grad_NLK @ key_NLE).mul_(ctx.scale),
            logit_grad_NLK.transpose(1, 2) @ query_NLE,
            weight_NLK.transpose(1, 2) @ upstream_NLE,
        )
        return (*(grad_NLE.view(shape) for grad_NLE in grads_NLE), bias_grad)

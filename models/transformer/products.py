"""How exactly are the products of training computed?

Where a processor multiplies bfloat16 several times as fast as float32, products are rounded to it
in training, their factors and their results, which is .4 % at most of each. Sums run in float32
within a product, weights, their moments and everything between products are float32 (mixed
precision, Micikevicius et al. 2018; bfloat16 has float32's range, so that no loss needs scaling).
Serving and judging compute in float32. See docs/adr/0018.

Shape letters: T tokens, R tokens with zeros after them, I inputs, O outputs.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

ROWS: Final = 256
"""Rounded products have a multiple of so many rows.

The library that multiplies bfloat16 (oneDNN) compiles code for each shape that it meets and keeps
it, more than half a megabyte each: batches of every length would spend more on that than on
multiplying.
"""

_TYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def product_type(name: str) -> torch.dtype:
    """Return what products are rounded to.

    Args:
        name: `float32`, `bfloat16`, or `fastest`: bfloat16 where this processor has instructions
            for it; without them it is emulated, many times slower than float32.

    Raises:
        ValueError: another name.
    """
    if name == "fastest":
        found = torch.cpu.get_capabilities()
        has_instructions = found.get("avx512_bf16") or found.get("amx_bf16")
        return torch.bfloat16 if has_instructions else torch.float32
    if name not in _TYPES:
        raise ValueError(f"products is {name!r}; one of fastest, {', '.join(_TYPES)} was expected")
    return _TYPES[name]


class Linear(nn.Linear):
    """A linear map that is rounded to `product_type` in training, and only there."""

    product_type = torch.float32

    @property
    def rounding(self) -> torch.dtype:
        """What products are rounded to at the moment."""
        return self.product_type if self.training else torch.float32

    @override
    def forward(self, input: Tensor) -> Tensor:
        if self.rounding == torch.float32:
            return super().forward(input)
        mapped: Tensor = _RoundedLinear.apply(input, self.weight, self.bias, self.rounding)
        return mapped


class _RoundedLinear(torch.autograd.Function):
    """`input @ weight.T + bias`, and its gradients, rounded."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives it no type
        inputs: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor,
        product_type: torch.dtype,
    ) -> Tensor:
        flat_TI = inputs.reshape(-1, inputs.shape[-1])
        input_RI = in_even_rows(flat_TI, product_type)
        rounded_OI = weight_OI.to(product_type)
        ctx.save_for_backward(input_RI, rounded_OI)
        mapped_TO = (input_RI @ rounded_OI.T)[: len(flat_TI)].float().add_(bias_O)
        return mapped_TO.view(*inputs.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        input_RI, rounded_OI = ctx.saved_tensors
        grad_TO = upstream.reshape(-1, upstream.shape[-1])
        rounded_RO = in_even_rows(grad_TO, input_RI.dtype)
        input_grad_TI = (rounded_RO @ rounded_OI)[: len(grad_TO)].float()
        input_grad = input_grad_TI.view(*upstream.shape[:-1], -1)
        return input_grad, (rounded_RO.T @ input_RI).float(), grad_TO.sum(0), None


def in_even_rows(value_TI: Tensor, product_type: torch.dtype) -> Tensor:
    """Return the rounded rows, and after them rows of zeros up to a multiple of `ROWS`.

    Float32 is multiplied by another library, and its rows are returned as they are.
    """
    if product_type == torch.float32:
        return value_TI
    num_rows = -(-len(value_TI) // ROWS) * ROWS
    value_RI = value_TI.new_zeros(num_rows, value_TI.shape[1], dtype=product_type)
    value_RI[: len(value_TI)] = value_TI
    return value_RI


def round_products(network: nn.Module, product_type: torch.dtype) -> None:
    """Let the linear maps of `network` round their factors to this type in training."""
    for module in network.modules():
        if isinstance(module, Linear):
            module.product_type = product_type

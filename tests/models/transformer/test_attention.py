import math

import pytest
import torch
from torch import Tensor

from models.transformer.attention import MASKED, causal_attention, causal_bias

_Inputs = tuple[Tensor, Tensor, Tensor, Tensor]
_BATCH, _HEADS, _LENGTH, _WIDTH = 3, 2, 40, 16


def _plain_bias(bias_HD: Tensor, length: int) -> Tensor:
    steps_L = torch.arange(length)
    distance_LL = steps_L[:, None] - steps_L
    return bias_HD[:, distance_LL.clamp(min=0)].masked_fill(distance_LL < 0, MASKED)


@pytest.mark.parametrize("length", [1, 2, 7, 9])
def test_bias_and_its_gradient_equal_those_of_indexing(length: int) -> None:
    torch.manual_seed(2)
    bias = torch.randn(2, 9, requires_grad=True)
    weights = torch.randn(2, length, length)
    mine, plain = causal_bias(bias, length), _plain_bias(bias, length)
    assert torch.equal(mine, plain)
    (of_mine,) = torch.autograd.grad((mine * weights).sum(), bias)
    (of_plain,) = torch.autograd.grad((plain * weights).sum(), bias)
    torch.testing.assert_close(of_mine, of_plain)


def _inputs(*, bias_per_sequence: bool) -> _Inputs:
    torch.manual_seed(4)
    query, key, value = torch.randn(3, _BATCH, _HEADS, _LENGTH, _WIDTH)
    shape = (_BATCH, _HEADS, _LENGTH, _LENGTH) if bias_per_sequence else (_HEADS, _LENGTH, _LENGTH)
    later = torch.ones(_LENGTH, _LENGTH, dtype=torch.bool).triu(1)
    bias = torch.randn(shape).masked_fill(later, MASKED)
    for tensor in (query, key, value, bias):
        tensor.requires_grad_()
    return query, key, value, bias


def _output_and_gradients(mixed: Tensor, inputs: _Inputs) -> list[Tensor]:
    return [mixed.detach(), *torch.autograd.grad(mixed.sin().sum(), inputs)]


def _plain(inputs: _Inputs) -> Tensor:
    query, key, value, bias = inputs
    logits = query @ key.transpose(-1, -2) / math.sqrt(_WIDTH) + bias
    return logits.softmax(-1) @ value


@pytest.mark.parametrize("bias_per_sequence", [False, True])
def test_attention_and_its_gradients_equal_those_of_the_formula(*, bias_per_sequence: bool) -> None:
    inputs = _inputs(bias_per_sequence=bias_per_sequence)
    mine = _output_and_gradients(causal_attention(*inputs), inputs)
    for found, expected in zip(mine, _output_and_gradients(_plain(inputs), inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

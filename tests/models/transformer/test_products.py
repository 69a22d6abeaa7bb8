from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from models.transformer.products import ROWS, Linear, in_even_rows, product_type, round_products


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"neon": True}, torch.float32),
    ],
)
def test_the_fastest_type_is_that_of_the_processors_instructions(
    monkeypatch: pytest.MonkeyPatch, found: Mapping[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert product_type("fastest") == expected


def test_a_type_is_taken_by_its_name_and_others_are_refused() -> None:
    assert product_type("float32") == torch.float32
    assert product_type("bfloat16") == torch.bfloat16
    with pytest.raises(ValueError, match="'float16'; one of fastest, float32, bfloat16"):
        product_type("float16")


def _output_and_gradients(layer: nn.Linear, inputs: Tensor) -> list[Tensor]:
    mapped = layer(inputs)
    gradients = torch.autograd.grad(mapped.sin().sum(), (inputs, layer.weight, layer.bias))
    return [mapped.detach(), *gradients]


def test_rounding_in_training_errs_by_less_than_a_hundredth() -> None:
    torch.manual_seed(5)
    layer, inputs = Linear(64, 48), torch.randn(3, 50, 64, requires_grad=True)
    exact = _output_and_gradients(layer, inputs)
    round_products(nn.Sequential(layer), torch.bfloat16)
    for rounded, reference in zip(_output_and_gradients(layer, inputs), exact, strict=True):
        assert rounded.dtype == torch.float32
        error = ((rounded - reference).norm() / reference.norm()).item()
        assert 0 < error < 0.01


def test_nothing_is_rounded_outside_training() -> None:
    torch.manual_seed(5)
    layer, inputs = Linear(64, 48), torch.randn(50, 64)
    exact = layer(inputs)
    round_products(layer, torch.bfloat16)
    assert torch.equal(layer.eval()(inputs), exact)
    assert not torch.equal(layer.train()(inputs), exact)


def test_batches_of_every_size_have_few_shapes() -> None:
    values = torch.randn(ROWS + 1, 4)
    for num_rows, expected in ((0, 0), (1, ROWS), (ROWS, ROWS), (ROWS + 1, 2 * ROWS)):
        rows = in_even_rows(values[:num_rows], torch.bfloat16)
        assert rows.shape == (expected, 4)
        assert torch.equal(rows[:num_rows], values[:num_rows].bfloat16())
        assert not rows[num_rows:].any()
    assert in_even_rows(values, torch.float32) is values

import pytest
import torch

from models.transformer.packed import PackedWeights


def _weights() -> list[torch.Tensor]:
    return [
        torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]])),
        torch.nn.Parameter(torch.tensor([5.0])),
    ]


def test_weights_keep_their_values_and_follow_the_vector() -> None:
    weights = _weights()
    packed = PackedWeights(weights)
    assert packed.vector.tolist() == [1, 2, 3, 4, 5]
    packed.vector.mul_(2)
    assert weights[0].tolist() == [[2, 4], [6, 8]]
    assert weights[1].tolist() == [10]


def test_gradients_are_gathered_in_the_weights_order_and_forgotten() -> None:
    weights = _weights()
    packed = PackedWeights(weights)
    (weights[0] * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()  # type: ignore[no-untyped-call]
    packed.gather_gradient(max_norm=100)
    assert packed.vector.grad is not None
    assert packed.vector.grad.tolist() == [1, 2, 3, 4, 0]
    assert all(weight.grad is None for weight in weights)


def test_a_long_gradient_is_scaled_down() -> None:
    weights = _weights()
    packed = PackedWeights(weights)
    (3 * weights[0][0, 0] + 4 * weights[1][0]).backward()  # type: ignore[no-untyped-call]
    packed.gather_gradient(max_norm=1)
    assert packed.vector.grad is not None
    assert packed.vector.grad.tolist() == pytest.approx([0.6, 0, 0, 0, 0.8])


def test_other_values_hold_for_a_while() -> None:
    weights = _weights()
    packed = PackedWeights(weights)
    with packed.replaced_by(torch.zeros(5)):
        assert weights[1].tolist() == [0]
    assert weights[1].tolist() == [5]

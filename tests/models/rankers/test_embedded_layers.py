"""The deep part: its gradients are those of what it computes, and alike items are alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.rankers.embedded_layers import EmbeddedLayers

ITEMS = np.array([[0, 4, 7], [1, 4, 8], [1, 5, 7], [2, 6, 9]])
GRADIENTS = np.array([0.7, -1.3, 0.4, 0.9])
_INITIAL = 1.0


def layers(learning_rate: float = 0.1) -> EmbeddedLayers:
    return EmbeddedLayers(
        10,
        3,
        width=4,
        layers=(6, 5),
        learning_rate=learning_rate,
        initial_squares=_INITIAL,
        seed=3,
    )


def numeric_gradient(
    made: EmbeddedLayers, values: npt.NDArray[np.float64], items: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    found = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        around = []
        for moved in (1e-6, -2e-6, 1e-6):
            values[place] += moved
            # Not `numbers`, which are rounded.
            around.append(float(GRADIENTS @ made._activations(items)[-1][:, 0]))
        found[place] = (around[0] - around[1]) / 2e-6
    return found


@pytest.mark.parametrize("num_read", [3, 2])
def test_a_step_follows_the_gradient_of_every_parameter(num_read: int) -> None:
    """Also where the last feature is left out."""
    items = ITEMS[:, :num_read]
    made, stepped = layers(), layers()
    stepped.learn(items, GRADIENTS)
    moved = 0
    for name, values in made.arrays().items():
        if name.endswith(".squares"):
            continue
        gradient = numeric_gradient(made, values, items)
        expected = values - 0.1 * gradient / np.sqrt(_INITIAL + gradient**2)
        np.testing.assert_allclose(stepped.arrays()[name], expected, atol=1e-6)
        moved += int((np.abs(gradient) > 1e-3).sum())
    assert moved > 60


def test_steps_become_shorter_the_more_was_learned() -> None:
    made = layers()
    lengths = []
    for _ in range(40):
        before = made.arrays()["deep.bias2"].copy()
        made.learn(ITEMS, np.full(4, 1.0))
        lengths.append(float(np.abs(made.arrays()["deep.bias2"] - before).max()))
    # AdaGrad (Duchi et al. 2011): learning_rate * g / sqrt(initial + t g^2), here with g = 4.
    assert lengths == pytest.approx([0.4 / np.sqrt(_INITIAL + 16 * (t + 1)) for t in range(40)])


def test_alike_items_have_one_number_wherever_they_stand() -> None:
    made = EmbeddedLayers(
        10, 3, width=16, layers=(64, 32), learning_rate=0.1, initial_squares=0.1, seed=3
    )
    for num in range(2, 60):
        assert len(set(made.numbers(np.tile(ITEMS[:1], (num, 1))).tolist())) == 1

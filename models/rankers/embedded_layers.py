"""What does the deep part of a wide & deep network compute, and how does it learn?

Cheng et al. 2016, section 3.2: each categorical feature has a small dense vector, the vectors of an
item's features are joined and pass layers of rectified linear units, of which the last gives one
number. AdaGrad (Duchi, Hazan & Singer 2011) moves everything, as in the paper: each parameter by
its gradient over the root of the sum of its squared gradients.

Backpropagation is written out in numpy: a step of one slate is a handful of small products, and the
learner and the worker, which may not import torch, can run it.

Shape letters: N items, C features of an item, K width of a vector, H widths of layers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class AdaGrad:
    """One array, and how fast each of its numbers still moves."""

    def __init__(self, values: NDArray[np.float64], learning_rate: float, initial: float) -> None:
        self.values = values
        self.squares = np.full(values.shape, initial)
        self._learning_rate = learning_rate

    def step(self, gradients: NDArray[np.float64]) -> None:
        """Move all of it."""
        self.squares += gradients * gradients
        self.values -= self._learning_rate * gradients / np.sqrt(self.squares)

    def step_rows(self, rows: NDArray[np.integer], gradients: NDArray[np.float64]) -> None:
        """Move some rows; a row may be named several times, with a gradient each."""
        named, where = np.unique(rows, return_inverse=True)
        sums = np.zeros((len(named), gradients.shape[1]))
        np.add.at(sums, where, gradients)
        squares = self.squares[named] + sums * sums
        self.squares[named] = squares
        self.values[named] -= self._learning_rate * sums / np.sqrt(squares)


class EmbeddedLayers:
    """Vectors of features, and layers over them."""

    def __init__(
        self,
        num_indices: int,
        num_features: int,
        *,
        width: int,
        layers: Sequence[int],
        learning_rate: float,
        initial_squares: float,
        seed: int,
    ) -> None:
        """Begin with small random numbers.

        Args:
            num_indices: Features there are.
            num_features: C, features of an item that may be joined.
            width: K, of a feature's vector.
            layers: Widths of the layers between the vectors and the number.
            learning_rate: Of AdaGrad.
            initial_squares: What its sums begin with.
            seed: Of the first numbers.
        """
        draws = np.random.default_rng(seed)

        def drawn(num_rows: int, num_columns: int, spread: float) -> AdaGrad:
            values = draws.normal(0, spread, (num_rows, num_columns))
            return AdaGrad(values, learning_rate, initial_squares)

        widths = [num_features * width, *layers, 1]
        self._num_features = num_features
        self._vectors = drawn(num_indices, width, 0.1)
        self._layers = [drawn(read, wide, (2 / read) ** 0.5) for read, wide in pairwise(widths)]
        # Before anything is learned the number is near 0, so that the wide part is not disturbed.
        self._layers[-1].values *= 0.3
        self._biases = [drawn(1, wide, 0.0) for wide in widths[1:]]

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return all that is learned, by name; the very arrays, not copies."""
        parts = {"vectors": self._vectors}
        for place, (layer, bias) in enumerate(zip(self._layers, self._biases, strict=True)):
            parts |= {f"layer{place}": layer, f"bias{place}": bias}
        named = {f"deep.{name}": part.values for name, part in parts.items()}
        return named | {f"deep.{name}.squares": part.squares for name, part in parts.items()}

    def numbers(self, indices: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the number of each item, float64[N], to the precision of a float32.

        The last bits of a product depend on the row's place in the matrix; rounded away, items that
        are alike have one number and so no order among them.

        Args:
            indices: int[N, C], or fewer columns: the features that are left out count as zeros.
        """
        number_N1 = self._activations(indices)[-1]
        return number_N1[:, 0].astype(np.float32).astype(np.float64)

    def learn(self, indices: NDArray[np.integer], gradients: NDArray[np.float64]) -> None:
        """Take a step.

        Args:
            indices: As for `numbers`.
            gradients: float64[N], of the loss by each item's number.
        """
        inputs = self._activations(indices)
        gradient_NH = gradients[:, None]
        for place in reversed(range(len(self._layers))):
            layer, bias, input_NH = self._layers[place], self._biases[place], inputs[place]
            below_NH = gradient_NH @ layer.values.T
            layer.step(input_NH.T @ gradient_NH)
            bias.step(gradient_NH.sum(0, keepdims=True))
            # The input of every layer but the first has passed a rectified linear unit.
            gradient_NH = below_NH * (input_NH > 0) if place else below_NH
        num_items, num_read = indices.shape
        width = self._vectors.values.shape[1]
        read = gradient_NH[:, : num_read * width].reshape(num_items * num_read, width)
        self._vectors.step_rows(indices.ravel(), read)

    def _activations(self, indices: NDArray[np.integer]) -> list[NDArray[np.float64]]:
        """Return what each layer reads, and the number, float64[N, H] each."""
        num_items, num_read = indices.shape
        width = self._vectors.values.shape[1]
        joined = np.zeros((num_items, self._num_features * width))
        vectors = self._vectors.values[indices]
        joined[:, : num_read * width] = vectors.reshape(num_items, num_read * width)
        activations = [joined]
        for layer, bias in zip(self._layers, self._biases, strict=True):
            value = activations[-1] @ layer.values + bias.values
            is_last = layer is self._layers[-1]
            activations.append(value if is_last else np.maximum(value, 0.0))
        return activations

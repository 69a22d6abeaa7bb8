"""What does training carry from one refresh to the next?

The network with its optimiser, and the item matrix with its own: one row an item, of which a batch
touches a few thousand. Rows that a batch does not touch are left exactly as they are (lazy Adam):
a step costs the same in a large catalogue, and an item that nobody mentions keeps its vector.

Shape letters: N items, I item vector width, U rows that a batch touches. Row 0 of the matrix stands
for "no item or unknown", row code + 1 for an item.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.transformer.network import Network, NetworkConfig

_BETA_1: Final = 0.9
_BETA_2: Final = 0.99
_EPSILON: Final = 1e-8

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


class ItemMatrix:
    """Item vectors with lazy Adam moments for each row.

    Attributes:
        vectors: raw vectors `[N + 1, I]`; only their direction matters to the network.
        first: first moments, same shape.
        second: second moments, same shape.
        steps: how many updates each row has had, `[N + 1]`.
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors
        self.first = torch.zeros_like(vectors)
        self.second = torch.zeros_like(vectors)
        self.steps = torch.zeros(len(vectors))

    def update(self, rows_U: Tensor, gradient_UI: Tensor, learning_rate: float) -> None:
        """Move the given rows, without duplicates, against their gradient."""
        steps_U = self.steps[rows_U] + 1
        first_UI = self.first[rows_U].lerp_(gradient_UI, 1 - _BETA_1)
        second_UI = (
            self.second[rows_U].mul_(_BETA_2).addcmul_(gradient_UI, gradient_UI, value=1 - _BETA_2)
        )
        first_correction_U1 = (1 - _BETA_1**steps_U)[:, None]
        second_correction_U1 = (1 - _BETA_2**steps_U)[:, None]
        spread_UI = (second_UI / second_correction_U1).sqrt_().add_(_EPSILON)
        moved_UI = self.vectors[rows_U] - learning_rate * (
            first_UI / first_correction_U1 / spread_UI
        )
        # The network sees directions only: unit length keeps steps comparable among the rows.
        self.vectors[rows_U] = torch.nn.functional.normalize(moved_UI, dim=-1)
        self.first[rows_U] = first_UI
        self.second[rows_U] = second_UI
        self.steps[rows_U] = steps_U


class TrainingState:
    """Everything a warm start needs.

    Attributes:
        network: the network, in training mode only inside `training.fit`.
        items: the item matrix.
        item_ids: item id of each row of the matrix but the first.
        optimizer: of the network's weights.
    """

    def __init__(
        self, config: NetworkConfig, item_ids: Sequence[str], *, seed: int, learning_rate: float
    ) -> None:
        """Start from random weights.

        Args:
            config: sizes.
            item_ids: the catalogue, in the history's order.
            seed: of the weights.
            learning_rate: of the network's weights.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(config)
            vectors = torch.randn(len(item_ids) + 1, config.item_width)
        self.items = ItemMatrix(torch.nn.functional.normalize(vectors, dim=-1))
        self.item_ids = list(item_ids)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=learning_rate,
            betas=(_BETA_1, _BETA_2),
            # Weights that no gradient reaches stay as they are.
            weight_decay=0.0,
            foreach=True,
        )

    def adopt(
        self, item_ids: Sequence[str], vectors_of_new: Mapping[str, npt.NDArray[np.float32]]
    ) -> None:
        """Follow a catalogue that has grown or retired items; the others keep rows and moments.

        Args:
            item_ids: the new catalogue in its new order.
            vectors_of_new: first vectors of items that had none; any length but zero. Items in
                neither begin at the mean of all.
        """
        old_row = {item: row for row, item in enumerate(self.item_ids, start=1)}
        source = np.array([0, *(old_row.get(item, -1) for item in item_ids)])
        kept = torch.from_numpy(np.flatnonzero(source >= 0))
        origin = torch.from_numpy(source[source >= 0])
        mean = self.items.vectors.mean(0)
        adopted = ItemMatrix(mean.repeat(len(source), 1))
        for item_row, item in enumerate(item_ids, start=1):
            vector = vectors_of_new.get(item)
            if vector is not None:
                adopted.vectors[item_row] = torch.from_numpy(vector)
        adopted.vectors[kept] = self.items.vectors[origin]
        adopted.vectors[:] = torch.nn.functional.normalize(adopted.vectors, dim=-1)
        # Normalising twice changes the last bits; kept rows stay as they are.
        adopted.vectors[kept] = self.items.vectors[origin]
        adopted.first[kept] = self.items.first[origin]
        adopted.second[kept] = self.items.second[origin]
        adopted.steps[kept] = self.items.steps[origin]
        self.items = adopted
        self.item_ids = list(item_ids)

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """Return what serving and a warm start both need; copies."""
        arrays = {
            f"network.{name}": value.numpy().copy()
            for name, value in self.network.state_dict().items()
        }
        return {**arrays, "items": self.items.vectors.numpy().copy()}

    def moments(self) -> dict[str, npt.NDArray[Any]]:
        """Return what only a warm start needs; copies."""
        arrays = {
            "items.first": self.items.first,
            "items.second": self.items.second,
            "items.steps": self.items.steps,
        }
        for index, entry in self.optimizer.state_dict()["state"].items():
            arrays |= {f"network.{index}.{name}": value for name, value in entry.items()}
        return {name: value.numpy().copy() for name, value in arrays.items()}

    @classmethod
    def restore(
        cls,
        config: NetworkConfig,
        item_ids: Sequence[str],
        weights: Arrays,
        moments: Arrays,
        *,
        learning_rate: float,
    ) -> Self:
        """Return the state that `weights()` and `moments()` were taken from."""
        state = cls(config, item_ids, seed=0, learning_rate=learning_rate)
        tensors = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
        state.items = ItemMatrix(tensors.pop("items"))
        state.network.load_state_dict(
            {name.removeprefix("network."): value for name, value in tensors.items()}
        )
        entries: dict[int, dict[str, Tensor]] = {}
        for name, array in moments.items():
            owner, *path = name.split(".")
            value = torch.from_numpy(array.copy())
            if owner == "items":
                setattr(state.items, path[0], value)
            else:
                entries.setdefault(int(path[0]), {})[path[1]] = value
        if entries:
            groups = state.optimizer.state_dict()["param_groups"]
            state.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        return state

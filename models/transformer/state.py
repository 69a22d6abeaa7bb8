"""What does training carry from one refresh to the next?

The network with its optimiser, and the item matrix with its own (`models.transformer.item_matrix`);
where the catalogue tells something of the items, the vectors of their attributes, too.

Shape letters: N items, I item vector width. Row 0 of the matrix stands for "no item or unknown",
row code + 1 for an item.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.side_features import NO_SIDE, SideFeatures
from models.transformer.adam import BETA_1, BETA_2
from models.transformer.item_attributes import NOT_DESCRIBED, Described, ItemAttributes
from models.transformer.item_matrix import ItemMatrix
from models.transformer.network import CONTEXTS, Network, NetworkConfig

_ATTRIBUTES: Final = "attributes."

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


class TrainingState:
    """Everything a warm start needs.

    Attributes:
        network: the network, in training mode only inside `training.fit`.
        items: the items' own vectors; without attributes, their vectors.
        attributes: what is told of the items; None where nothing is.
        item_ids: item id of each row of the matrix but the first.
        optimizer: of the network's weights.
    """

    def __init__(
        self,
        config: NetworkConfig,
        item_ids: Sequence[str],
        *,
        seed: int,
        learning_rate: float,
        side: SideFeatures = NO_SIDE,
    ) -> None:
        """Start from random weights.

        Args:
            config: sizes.
            item_ids: the catalogue, in the history's order.
            seed: of the weights.
            learning_rate: of the network's weights.
            side: which contexts there are.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network(config, side=side)
            vectors = torch.randn(len(item_ids) + 1, config.item_width)
        self.items = ItemMatrix(torch.nn.functional.normalize(vectors, dim=-1))
        self.attributes: ItemAttributes | None = None
        self.item_ids = list(item_ids)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=learning_rate,
            betas=(BETA_1, BETA_2),
            # Weights that no gradient reaches stay as they are.
            weight_decay=0.0,
            foreach=True,
        )

    def item_vectors(self) -> Tensor:
        """Return what the network reads and scores, `[N + 1, I]`, of length 1 but for rounding."""
        if self.attributes is None:
            return self.items.vectors
        own_NI = self.items.vectors + self.attributes.means()
        return torch.nn.functional.normalize(own_NI, dim=-1)

    def adopt(
        self,
        item_ids: Sequence[str],
        vectors_of_new: Mapping[str, npt.NDArray[np.float32]],
        described: Described = NOT_DESCRIBED,
    ) -> None:
        """Follow a catalogue that has grown or retired items; the others keep vectors and moments.

        Args:
            item_ids: the new catalogue in its new order.
            vectors_of_new: first vectors of items that had none; any length but zero. Items in
                neither begin with what their attributes say, or else at the mean of all.
            described: what is told of the new catalogue. Where that is something else than before,
                items keep their vectors all the same; attributes' are forgotten where `num_codes`
                is another.
        """
        old_row = {item: row for row, item in enumerate(self.item_ids, start=1)}
        source = np.array([0, *(old_row.get(item, -1) for item in item_ids)])
        kept = torch.from_numpy(np.flatnonzero(source >= 0))
        origin = torch.from_numpy(source[source >= 0])
        vectors = self.item_vectors()
        adopted = ItemMatrix(vectors.mean(0).repeat(len(source), 1))
        attributes = None
        if described.codes_NA.shape[1]:
            attributes = ItemAttributes.of(described, vectors.shape[1], self.attributes)
            adopted.vectors = attributes.directions(adopted.vectors)
        for item_row, item in enumerate(item_ids, start=1):
            vector = vectors_of_new.get(item)
            if vector is not None:
                adopted.vectors[item_row] = torch.from_numpy(vector)
        adopted.vectors[kept] = vectors[origin]
        adopted.vectors[:] = torch.nn.functional.normalize(adopted.vectors, dim=-1)
        # Normalising twice changes the last bits; kept rows stay as they are.
        adopted.vectors[kept] = vectors[origin]
        if attributes is not None:
            adopted.vectors = attributes.own_vectors(adopted.vectors)
            if self.attributes is not None:
                same_N = attributes.is_as_before(self.attributes, source)
                adopted.vectors[same_N] = self.items.vectors[torch.from_numpy(source)[same_N]]
        adopted.first[kept] = self.items.first[origin]
        adopted.second[kept] = self.items.second[origin]
        adopted.steps[kept] = self.items.steps[origin]
        self.items = adopted
        self.attributes = attributes
        self.item_ids = list(item_ids)

    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """Return what serving and a warm start both need; copies."""
        arrays = {
            f"network.{name}": value.numpy().copy()
            for name, value in self.network.state_dict().items()
        }
        return {**arrays, "items": self.item_vectors().numpy().copy()}

    def moments(self) -> dict[str, npt.NDArray[Any]]:
        """Return what only a warm start needs; copies."""
        arrays = {
            "items.first": self.items.first,
            "items.second": self.items.second,
            "items.steps": self.items.steps,
        }
        if self.attributes is not None:
            arrays["items.vectors"] = self.items.vectors
        for index, entry in self.optimizer.state_dict()["state"].items():
            arrays |= {f"network.{index}.{name}": value for name, value in entry.items()}
        copies = {name: value.numpy().copy() for name, value in arrays.items()}
        if self.attributes is not None:
            told = self.attributes.arrays()
            copies |= {_ATTRIBUTES + name: array.copy() for name, array in told.items()}
        return copies

    @classmethod
    def restore(
        cls,
        config: NetworkConfig,
        item_ids: Sequence[str],
        weights: Arrays,
        moments: Arrays,
        *,
        learning_rate: float,
        side: SideFeatures,
        side_before: SideFeatures,
    ) -> Self:
        """Return the state that `weights()` and `moments()` were taken from.

        Args:
            config: sizes.
            item_ids: the catalogue.
            weights: as taken.
            moments: as taken.
            learning_rate: of the network's weights.
            side: which contexts there are now.
            side_before: which there were. Of those that were not, or in other codes, vectors begin
                anew.
        """
        state = cls(config, item_ids, seed=0, learning_rate=learning_rate, side=side)
        tensors = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
        state.items = ItemMatrix(tensors.pop("items"))
        network = {name.removeprefix("network."): value for name, value in tensors.items()}
        num_kept = len(network)
        if side.context_meaning != side_before.context_meaning:
            vectors = network.pop(CONTEXTS, None)
            num_kept = len(network)
            if state.network.contexts is not None:
                network[CONTEXTS] = state.network.contexts.renamed(vectors, side, side_before)
        state.network.load_state_dict(network)
        told = {
            name.removeprefix(_ATTRIBUTES): array
            for name, array in moments.items()
            if name.startswith(_ATTRIBUTES)
        }
        if told:
            state.attributes = ItemAttributes.restore(told)
        entries: dict[int, dict[str, Tensor]] = {}
        for name, array in moments.items():
            if name.startswith(_ATTRIBUTES):
                continue
            owner, *path = name.split(".")
            value = torch.from_numpy(array.copy())
            if owner == "items":
                setattr(state.items, path[0], value)
            else:
                entries.setdefault(int(path[0]), {})[path[1]] = value
        # Contexts are the network's last weights; moments of others than are kept say nothing.
        entries = {index: entry for index, entry in entries.items() if index < num_kept}
        if entries:
            groups = state.optimizer.state_dict()["param_groups"]
            state.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        return state

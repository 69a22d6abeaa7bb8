"""How does a network that learns a log in passes become a recommender: fitted, judged, saved?

What is learned, and how a pass is made, is the learner's; here is when to stop and what to keep.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from models.bundle import Arrays
from models.history import History
from models.recommender import FitProgress, Recommender, Validate
from models.side_features import NO_ATTRIBUTES, NO_SIDE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ATTRIBUTES: Final = "item_attributes"

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class PassLearner(Protocol):
    """One fit of a network."""

    def epoch(self, number: int) -> Iterator[tuple[float, float]]:
        """Make pass `number`, from 0; yield the share of it that is done and the step's loss."""
        ...

    def averaged(self) -> Mapping[str, Tensor]:
        """Return a copy of what the network has become, as its state."""
        ...


class PassLimits(Protocol):
    """When passes end, among other fields of a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def max_epochs(self) -> int:
        """Passes at most."""
        ...

    @property
    def patience(self) -> int:
        """Passes without a better validation after which training ends."""
        ...


class PassRecommender(Recommender, Generic[NetworkT]):
    """A network, fitted pass by pass; subclasses say which, how it learns and how it scores.

    Attributes:
        reads_attributes: whether the network knows of items' attributes.
        reads_moments: whether it knows of the moments that lists are made at.
    """

    reads_attributes: ClassVar[bool] = False
    reads_moments: bool = False

    def __init__(
        self,
        sizes: DataclassInstance,
        training: PassLimits,
        *,
        seed: int,
        others: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Set what a bundle must name; whatever `_build` reads must have been set before.

        Args:
            sizes: the constructor's `network`.
            training: its `training`.
            seed: of everything that is random.
            others: what else the constructor takes.
        """
        super().__init__()
        self._limits = training
        self._seed = seed
        self._settings = {
            "seed": seed,
            **others,
            "network": asdict(sizes),
            "training": asdict(training),
        }
        self._attributes_NA = NO_ATTRIBUTES
        self._network = self._new_network()

    @abstractmethod
    def _build(self, num_items: int) -> NetworkT:
        """Return an untrained network; its weights come from torch's global generator.

        Of what is known of the items, `self._attributes_NA`, and of the contexts that there are,
        `self.side`, both are there, and empty where the model does not read them.
        """

    @abstractmethod
    def _learner(self, history: History) -> PassLearner | None:
        """Begin a fit of the untrained network; None where there is nothing to learn."""

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        self._take_over(history)
        self._network = self._new_network()
        learner = self._learner(history)
        if learner is None:
            yield FitProgress(done=1)
            return
        best, best_weights, best_epoch = -np.inf, learner.averaged(), 0
        weights = best_weights
        max_epochs = self._limits.max_epochs
        for epoch in range(max_epochs):
            losses = []
            for share, loss in learner.epoch(epoch):
                losses.append(loss)
                if share < 1:
                    yield FitProgress(done=(epoch + share) / max_epochs, epoch=epoch, loss=loss)
            weights = learner.averaged()
            judged = self._judged(weights, validate)
            if judged is not None and judged > best:
                best, best_weights, best_epoch = judged, weights, epoch
            yield FitProgress(
                done=(epoch + 1) / max_epochs,
                epoch=epoch + 1,
                loss=float(np.mean(losses)),
                validation=judged,
            )
            if judged is not None and epoch - best_epoch >= self._limits.patience:
                break
        self._network.load_state_dict(weights if validate is None else best_weights)

    @override
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    @override
    def weights(self) -> Arrays:
        learned = {name: value.numpy().copy() for name, value in self._network.state_dict().items()}
        return {**learned, _ATTRIBUTES: self._attributes_NA} if self._has_attributes else learned

    @override
    def restore(self, weights: Arrays) -> None:
        self._attributes_NA = weights.get(_ATTRIBUTES, NO_ATTRIBUTES)
        self._network = self._new_network()
        self._network.load_state_dict(
            {
                name: torch.from_numpy(value.copy())
                for name, value in weights.items()
                if name != _ATTRIBUTES
            }
        )

    @property
    def _has_attributes(self) -> bool:
        return bool(self._attributes_NA.shape[1])

    def _take_over(self, history: History) -> None:
        """Take over the catalogue, and what the network reads of the side features."""
        side = history.side or NO_SIDE
        self._adopt(history.item_ids, side if self.reads_moments else side.without_moments())
        self._attributes_NA = NO_ATTRIBUTES
        if self.reads_attributes:
            self._attributes_NA = history.attribute_matrix()

    def _new_network(self) -> NetworkT:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = self._build(len(self.item_ids))
        network.eval()
        return network

    def _judged(self, weights: Mapping[str, Tensor], validate: Validate | None) -> float | None:
        """Return what `validate` says of these weights; training goes on with its own."""
        if validate is None:
            return None
        network = self._network
        self._network = self._new_network()
        self._network.load_state_dict(weights)
        try:
            return validate(self)
        finally:
            self._network = network

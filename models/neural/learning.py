"""How are examples learned in random order, batch by batch?

Adam, whose rate rises over the first steps and falls in a line to its end after `max_epochs`. What
is judged and kept is an exponential average of the weights (Polyak & Juditsky 1992), as for whole
histories in `models.transformer.whole_training`.

A small log has few steps. The rise takes no more than a tenth of them, or the largest rate would
never be reached; `min_batches` makes more of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.transformer.adam import Adam

_LAST_RATE: Final = 0.02
_AVERAGE_BEGINS: Final = 20
_MOST_WARM_UP: Final = 0.1
_SMALLEST_BATCH: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningConfig:
    """How the passes are made.

    Attributes:
        learning_rate: the largest.
        warm_up_steps: until the largest rate is reached; at most a tenth of all.
        max_epochs: passes until the rate has fallen to 2 %.
        patience: passes without a better validation after which training ends.
        batch_size: examples of a step, at most.
        min_batches: steps of a pass for which a batch may be smaller, down to 128 examples.
        averaging: weight of the past in the average of the weights, a step.
    """

    learning_rate: float = 5e-3
    warm_up_steps: int = 200
    max_epochs: int = 20
    patience: int = 5
    batch_size: int = 1024
    min_batches: int = 1
    averaging: float = 0.998


class BatchLearner(ABC):
    """One fit of a network; subclasses say what the examples are and what is lost on them."""

    def __init__(self, network: nn.Module, config: LearningConfig, seed: int) -> None:
        """Begin a fit."""
        torch.set_num_threads(1)
        self._network = network
        self._config = config
        self._generator = np.random.default_rng(seed)
        self._adam = Adam(network.parameters())
        self._num_steps = 0
        self._start_average()

    def _start_average(self) -> None:
        """Take the network's weights as they are for the first of the average."""
        state = self._network.state_dict()
        self._average = {name: value.clone() for name, value in state.items()}

    @abstractmethod
    def _examples(self) -> npt.NDArray[np.int64]:
        """Return the numbers of a pass's examples, at least one, in random order."""

    @abstractmethod
    def _loss(self, example_B: npt.NDArray[np.int64]) -> Tensor:
        """Return the mean loss of a batch of examples."""

    def epoch(self, number: int) -> Iterator[tuple[float, float]]:
        """Make pass `number`, from 0; yield the share of it that is done and the step's loss."""
        config, examples = self._config, self._examples()
        size = max(len(examples) // config.min_batches, _SMALLEST_BATCH)
        batches = _batches(examples, min(size, config.batch_size))
        num_warm = min(config.warm_up_steps, _MOST_WARM_UP * len(batches) * config.max_epochs)
        self._network.train()
        for place, example_B in enumerate(batches):
            warm = min(1.0, (self._num_steps + 1) / num_warm)
            left = max(_LAST_RATE, 1 - (number + place / len(batches)) / config.max_epochs)
            rate = config.learning_rate * warm * left
            yield (place + 1) / len(batches), self._step(example_B, rate)
        self._network.eval()

    def averaged(self) -> Mapping[str, Tensor]:
        """Return a copy of the average of the weights, as the network's state."""
        return {name: value.clone() for name, value in self._average.items()}

    def _step(self, example_B: npt.NDArray[np.int64], rate: float) -> float:
        self._adam.forget_gradients()
        loss = self._loss(example_B)
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step(rate)
        self._num_steps += 1
        self._average_weights()
        return float(loss.detach())

    @torch.no_grad()
    def _average_weights(self) -> None:
        past = self._num_steps / (self._num_steps + _AVERAGE_BEGINS)
        share = 1 - min(self._config.averaging, past)
        for name, value in self._network.state_dict().items():
            self._average[name].lerp_(value, share)


def _batches(examples: npt.NDArray[np.int64], batch_size: int) -> Sequence[npt.NDArray[np.int64]]:
    """Cut the examples into batches of nearly equal size."""
    return np.array_split(examples, -(-len(examples) // batch_size))

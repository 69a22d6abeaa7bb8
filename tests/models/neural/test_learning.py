from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.neural.learning import BatchLearner, LearningConfig


class _Mean(BatchLearner):
    """Learns the mean of 0, 1, 2, ..., and notes which examples it saw."""

    _network: nn.Linear

    def __init__(self, num: int, config: LearningConfig) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(1, 1, bias=False), config, seed=1)
        self._num = num
        self.seen: list[npt.NDArray[np.int64]] = []

    def _examples(self) -> npt.NDArray[np.int64]:
        return self._generator.permutation(self._num)

    def _loss(self, example_B: npt.NDArray[np.int64]) -> Tensor:
        self.seen.append(example_B)
        target_B1 = torch.from_numpy(example_B.astype(np.float32))[:, None]
        return functional.mse_loss(self._network(torch.ones_like(target_B1)), target_B1)


def _passes(learner: _Mean, num: int) -> Sequence[list[tuple[float, float]]]:
    return [list(learner.epoch(number)) for number in range(num)]


def test_each_pass_takes_every_example_once_in_another_order() -> None:
    learner = _Mean(10, LearningConfig(batch_size=4, max_epochs=2))
    shares = [[share for share, _ in steps] for steps in _passes(learner, 2)]
    assert shares == [[pytest.approx(1 / 3), pytest.approx(2 / 3), 1]] * 2
    first, second = np.concatenate(learner.seen[:3]), np.concatenate(learner.seen[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    assert [len(batch) for batch in learner.seen[:3]] == [4, 3, 3]


def test_average_lies_between_the_weights_on_the_way() -> None:
    config = LearningConfig(learning_rate=0.1, warm_up_steps=1, batch_size=5, max_epochs=100)
    learner = _Mean(5, config)
    before = float(learner.averaged()["weight"])
    _passes(learner, 40)
    average = float(learner.averaged()["weight"])
    assert before < average < float(learner._network.weight.detach())
    _passes(learner, 400)
    assert float(learner.averaged()["weight"]) == pytest.approx(2, abs=0.05)


def test_small_logs_have_smaller_batches_where_it_is_asked_for() -> None:
    def sizes(num: int, min_batches: int) -> list[int]:
        learner = _Mean(num, LearningConfig(batch_size=500, min_batches=min_batches))
        list(learner.epoch(0))
        return [len(batch) for batch in learner.seen]

    assert sizes(2000, 10) == [200] * 10
    assert sizes(10_000, 10) == [500] * 20
    assert sizes(256, 10) == [128] * 2
    assert sizes(256, 1) == [256]


def test_short_training_reaches_its_largest_rate_after_a_tenth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rates(num: int) -> list[float]:
        config = LearningConfig(learning_rate=1.0, warm_up_steps=200, batch_size=1, max_epochs=2)
        learner = _Mean(num, config)
        taken: list[float] = []
        monkeypatch.setattr(learner._adam, "step", taken.append)
        _passes(learner, 2)
        return taken

    short, long = rates(50), rates(3000)
    assert short[:10] == pytest.approx([(step + 1) / 10 * (1 - step / 100) for step in range(10)])
    assert short[10] == max(short[10:]) > 0.85
    assert int(np.argmax(long)) == 199


def test_rate_rises_then_falls_to_the_end() -> None:
    def moved(config: LearningConfig, number: int) -> float:
        learner = _Mean(5, config)
        before = learner._network.weight.detach().clone()
        list(learner.epoch(number))
        return float((learner._network.weight.detach() - before).abs())

    # The first step of Adam is as long as its rate.
    at_once = LearningConfig(learning_rate=0.1, warm_up_steps=1, batch_size=5, max_epochs=100)
    warming = LearningConfig(learning_rate=0.1, warm_up_steps=10, batch_size=5, max_epochs=100)
    assert moved(at_once, 0) == pytest.approx(0.1, rel=1e-3)
    assert moved(warming, 0) == pytest.approx(0.01, rel=1e-3)
    assert moved(at_once, 50) == pytest.approx(0.05, rel=1e-3)
    assert moved(at_once, 99) == pytest.approx(0.002, rel=1e-3)

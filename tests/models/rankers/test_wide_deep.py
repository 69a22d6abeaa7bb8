"""Wide & deep on a planted rule with exceptions: each part alone can do one half of it.

An item of each pair (a, b) is clicked if a and b are of one kind: what no weights of a and b alone
can say, and crosses cannot say of pairs that they never met. Of some pairs the opposite is true,
which the embeddings of a and b can hardly say.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from models.online.ftrl import FtrlConfig, sigmoid
from models.rankers.slate_ranker import SlateShape
from models.rankers.wide_deep import WideDeep, WideDeepConfig

NUM = 30
SHAPE = SlateShape(offsets=np.array([0, NUM, 2 * NUM, 2 * NUM + 1]), num_relevance=2)
JOINT = WideDeepConfig(
    crosses=FtrlConfig(alpha=2.0, l1=6.0), width=2, layers=(8,), learning_rate=0.05
)
WIDE, DEEP = replace(JOINT, is_deep=False), replace(JOINT, is_wide=False)

_PAIRS = np.random.default_rng(1).permutation(NUM * NUM)
UNSEEN, EXCEPTIONS, SEEN = _PAIRS[:180], _PAIRS[180:240], _PAIRS[180:]
OF_EXCEPTIONS = EXCEPTIONS % NUM * NUM + EXCEPTIONS // NUM
"""The cells of their crosses: the second template's bin comes first."""
OF_RULE = np.setdiff1d(np.arange(NUM * NUM), OF_EXCEPTIONS)
Pairs = npt.NDArray[np.int64]


def is_clicked(pairs: Pairs) -> npt.NDArray[np.bool_]:
    is_rule: npt.NDArray[np.bool_] = (pairs // NUM) % 2 == (pairs % NUM) % 2
    return np.logical_xor(is_rule, np.isin(pairs, EXCEPTIONS))


def features(pairs: Pairs) -> tuple[Pairs, Pairs]:
    relevance = np.stack([pairs // NUM, NUM + pairs % NUM], axis=1)
    return relevance, np.full((len(pairs), 1), 2 * NUM)


def item_gradients(
    labels: npt.NDArray[np.bool_], logits: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return sigmoid(logits) - labels


def learned(config: WideDeepConfig, num_steps: int = 1500) -> WideDeep:
    network, draws = WideDeep(SHAPE, config), np.random.default_rng(2)
    for _ in range(num_steps):
        pairs = draws.choice(SEEN, 16)
        network.learn(*features(pairs), partial(item_gradients, is_clicked(pairs)))
    return network


def share_right(network: WideDeep, pairs: Pairs) -> float:
    return float(((network.logits(*features(pairs)) > 0) == is_clicked(pairs)).mean())


@pytest.fixture(scope="module")
def joint() -> WideDeep:
    return learned(JOINT)


@pytest.fixture(scope="module")
def wide() -> WideDeep:
    return learned(WIDE)


def test_exceptions_are_memorised_as_the_deep_part_alone_cannot(joint: WideDeep) -> None:
    assert share_right(joint, EXCEPTIONS) > 0.95
    assert share_right(learned(DEEP), EXCEPTIONS) < 0.3


def test_pairs_never_met_follow_the_rule_as_the_wide_part_alone_cannot(
    joint: WideDeep, wide: WideDeep
) -> None:
    assert share_right(joint, UNSEEN) > 0.9
    assert share_right(wide, UNSEEN) < 0.6
    # It is not that it had learned nothing.
    assert share_right(wide, SEEN) > 0.95


def test_trained_jointly_the_wide_part_only_adds_what_the_deep_part_lacks(
    joint: WideDeep, wide: WideDeep
) -> None:
    """In an ensemble its crosses would be those of the wide part alone."""
    weights = np.abs(joint.cross_weights)
    assert weights.sum() < 0.4 * np.abs(wide.cross_weights).sum()
    assert weights[OF_EXCEPTIONS].mean() > 8 * weights[OF_RULE].mean()


def test_l1_leaves_crosses_that_nobody_needs_at_nothing(joint: WideDeep) -> None:
    """One that was never met weighs nothing in any case, and does not count here."""
    num_met = int((joint.arrays()["wide.crosses.n"] > 0).sum())
    lax = learned(replace(JOINT, crosses=replace(JOINT.crosses, l1=0.0)))
    assert num_met == len(SEEN) == (lax.cross_weights != 0).sum()
    assert (joint.cross_weights != 0).sum() < 0.5 * num_met
    assert (joint.cross_weights[OF_EXCEPTIONS] != 0).all()


def test_both_parts_take_the_gradient_of_the_same_loss() -> None:
    network = WideDeep(SHAPE, JOINT)
    asked: list[npt.NDArray[np.float64]] = []

    def gradients_of(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        asked.append(logits)
        return np.array([0.5, -0.25])

    pairs = SEEN[:2]
    before = network.logits(*features(pairs))
    sums = {name: values.copy() for name, values in network.arrays().items()}
    network.learn(*features(pairs), gradients_of)
    assert [one.tolist() for one in asked] == [before.tolist()]
    after = network.arrays()
    assert after["wide.features.z"][-1] == pytest.approx(0.25)
    assert after["deep.bias1"][0, 0] - sums["deep.bias1"][0, 0] == pytest.approx(
        -0.05 * 0.25 / np.sqrt(JOINT.initial_squares + 0.25**2)
    )


def test_some_slates_are_learned_without_positions() -> None:
    network = WideDeep(SHAPE, replace(JOINT, hide_every=2))
    sums = network.arrays()["wide.features.n"]
    seen = []
    for _ in range(4):
        network.learn(*features(SEEN[:3]), lambda logits: np.full(len(logits), 0.5))
        seen.append(float(sums[2 * NUM]))
    assert seen == [0.75, 0.75, 1.5, 1.5]

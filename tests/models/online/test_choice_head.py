"""The choice head: beliefs that move by as much as they are open."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.online.choice_head import ChoiceHead, Prior
from models.online.tables import DeltaOutcome, TableSet

NUM_ITEMS, NUM_KINDS, NUM_POSITIONS = 40, 5, 6
# Cells: items, kinds, users * kinds, two that are pulled, positions, bias.
KINDS = NUM_ITEMS
TASTES = KINDS + NUM_KINDS
NUM_USERS = 20
PULLED = TASTES + NUM_USERS * NUM_KINDS
POSITIONS = PULLED + 2 * NUM_KINDS
NUM_CELLS = POSITIONS + NUM_POSITIONS + 1
BIAS = -2.0


def new_head(*, item_variance: float = 4.0) -> ChoiceHead:
    variances = np.full(NUM_CELLS, 1.0)
    variances[:NUM_ITEMS] = item_variance
    means = np.zeros(NUM_CELLS)
    means[-1] = BIAS
    prior = Prior(
        means=means,
        variances=variances,
        min_variances=np.full(NUM_CELLS, 1e-3),
        position_offset=POSITIONS,
        num_positions=NUM_POSITIONS,
        num_pulled=2,
    )
    return ChoiceHead(prior, meaning="test")


def indices(items: NDArray[np.integer], user: int, last_kind: int = 0) -> NDArray[np.int64]:
    kinds = items % NUM_KINDS
    return np.column_stack(
        [
            items,
            KINDS + kinds,
            TASTES + user * NUM_KINDS + kinds,
            PULLED + kinds,
            PULLED + NUM_KINDS + (kinds == last_kind),
        ]
    )


def logits_of(
    head: ChoiceHead,
    slate: NDArray[np.integer],
    pulls: NDArray[np.floating],
    positions: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Log-odds of a click: the utility, and what was learned of the positions and the bias."""
    moved = head.table.columns["moved"].values
    learned: NDArray[np.float64] = moved[POSITIONS + positions] + moved[-1]
    return head.utilities(slate, pulls) + learned + BIAS


class Shop:
    """Users with a taste for one kind, items with an appeal; the truth is known."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.appeals = self.generator.normal(size=NUM_ITEMS)

    def utilities(self, items: NDArray[np.integer], user: int) -> NDArray[np.float64]:
        liked: NDArray[np.bool_] = items % NUM_KINDS == user % NUM_KINDS
        utilities: NDArray[np.float64] = self.appeals[items] + 2.0 * liked
        return utilities

    def choice(self) -> tuple[int, NDArray[np.int64]]:
        user = int(self.generator.integers(NUM_USERS))
        items = self.generator.permutation(NUM_ITEMS)[:20]
        p = np.exp(self.utilities(items, user))
        chosen = int(self.generator.choice(20, p=p / p.sum()))
        return user, np.concatenate([items[chosen : chosen + 1], np.delete(items, chosen)])


def correlation(head: ChoiceHead, shop: Shop) -> float:
    items = np.arange(NUM_ITEMS)
    learned = [head.utilities(indices(items, user), np.zeros(NUM_ITEMS)) for user in range(10)]
    truth = [shop.utilities(items, user) for user in range(10)]
    return float(np.corrcoef(np.ravel(learned), np.ravel(truth))[0, 1])


def test_one_choice_by_hand() -> None:
    head = new_head()
    slate = np.array([[0, KINDS, TASTES, PULLED, PULLED + 1], [1, KINDS, TASTES, PULLED, PULLED]])
    head.learn_choice(slate, np.zeros(2))
    # Open are item 4, kind 1, taste 1. The sum settles where belief and surprise balance, and the
    # item takes its share of that; what both items share gains as much as it loses.
    moved, lost = head.utilities(slate, np.zeros(2)).tolist()
    settled = moved * 6 / 4
    assert settled == pytest.approx(6 * (1 - 1 / (1 + math.exp(-settled))))
    assert lost == pytest.approx(-moved)


def test_a_click_that_nobody_expected_does_not_overshoot() -> None:
    head = new_head()
    one = indices(np.array([0]), 0), np.zeros(1), np.array([1])
    (before,) = logits_of(head, *one)
    head.learn_shown(*one, np.array([True]))
    (after,) = logits_of(head, *one)
    # Open are item 4, kind, taste, position and bias 1 each. Along the slope where the step begins
    # it would end at 1.8.
    assert before == BIAS
    assert after == pytest.approx(BIAS + 8 * (1 - 1 / (1 + math.exp(-after))))
    assert after < 1


def test_what_was_shown_calibrates_the_probability_of_a_click() -> None:
    head, generator = new_head(), np.random.default_rng(3)
    items = np.arange(5)
    for _ in range(4000):
        labels = generator.random(5) < np.array([0.3, 0.1, 0.1, 0.1, 0.02])
        head.learn_shown(indices(items, 0), np.zeros(5), np.arange(1, 6), labels)
    expected = 0.0
    total = 0.0
    for _ in range(200):
        labels = generator.random(5) < np.array([0.3, 0.1, 0.1, 0.1, 0.02])
        logits = logits_of(head, indices(items, 0), np.zeros(5), np.arange(1, 6))
        expected += float((1 / (1 + np.exp(-logits))).sum())
        total += labels.sum()
        head.learn_shown(indices(items, 0), np.zeros(5), np.arange(1, 6), labels)
    assert expected / total == pytest.approx(1.0, abs=0.15)


def test_appeals_and_tastes_are_recovered_from_choices() -> None:
    head, shop = new_head(), Shop(1)
    for _ in range(1500):
        user, items = shop.choice()
        head.learn_choice(indices(items, user), np.zeros(len(items)))
    assert correlation(head, shop) > 0.9


def test_a_new_item_is_learned_from_a_few_clicks_and_an_old_one_hardly_moves() -> None:
    head = new_head()
    items = np.arange(4)
    old = np.array([True, False, False, False])
    for _ in range(2000):
        head.learn_shown(indices(items, 0), np.zeros(4), np.arange(1, 5), old)
    both = np.array([0, 5])
    before = head.utilities(indices(both, 1), np.zeros(2))
    for _ in range(3):
        head.learn_shown(indices(both, 1), np.zeros(2), np.array([2, 2]), np.array([True, True]))
    moved = head.utilities(indices(both, 1), np.zeros(2)) - before
    # The first has as many clicks behind it as impressions.
    assert moved[1] > 1.0
    assert moved[1] > 3 * abs(moved[0])


def test_a_slate_of_which_nothing_was_opened_moves_what_it_shares_by_one_step() -> None:
    head = new_head()
    items = np.arange(0, 30)
    for _ in range(5):
        head.learn_shown(indices(items, 0), np.zeros(30), np.full(30, 1), np.zeros(30, np.bool_))
    logits = logits_of(head, indices(items, 0), np.zeros(30), np.full(30, 1))
    assert (logits < -2.0).all()
    assert (logits > -12.0).all()


def test_pulled_columns_count_by_the_pull() -> None:
    head = new_head()
    items = np.arange(10)
    for _ in range(50):
        head.learn_choice(indices(items, 0), np.ones(10))
    here, gone = (head.utilities(indices(items, 0), np.full(10, pull)) for pull in (1.0, 0.0))
    without = indices(items, 0)[:, :-2]
    assert not np.allclose(here, gone)
    assert gone[0] == pytest.approx(
        head.utilities(np.column_stack([without, without[:, -2:]]), np.zeros(10))[0]
    )


def test_a_choice_without_company_and_an_empty_slate_teach_nothing() -> None:
    head = new_head()
    before = head.utilities(indices(np.arange(3), 0), np.ones(3)).tolist()
    head.learn_choice(indices(np.array([1]), 0), np.ones(1))
    head.learn_shown(
        np.empty((0, 5), np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0, np.bool_)
    )
    assert head.utilities(indices(np.arange(3), 0), np.ones(3)).tolist() == before


def test_a_replica_that_follows_is_the_same_to_the_last_bit() -> None:
    learner, replica = new_head(), new_head()
    tables, copies = TableSet([learner.table]), TableSet([replica.table])
    shop = Shop(2)
    for number in range(1, 30):
        user, items = shop.choice()
        learner.learn_choice(indices(items, user), np.full(len(items), 0.5))
        learner.learn_shown(
            indices(items[:5], user), np.ones(5), np.arange(1, 6), np.arange(5) == 2
        )
        tables.advance(number)
        assert copies.apply_delta(tables.take_delta().payload) is DeltaOutcome.APPLIED
        tables.delta_acknowledged()
    assert copies.snapshot() == tables.snapshot()
    items = np.arange(NUM_ITEMS)
    ones = np.ones(NUM_ITEMS)
    assert (
        replica.utilities(indices(items, 3), ones).tolist()
        == learner.utilities(indices(items, 3), ones).tolist()
    )

"""Item factors: what is planted is found online, and nothing else moves them."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from models.online.item_factors import ItemFactors, ItemFactorsConfig

NUM_BLOCKS = 4
BLOCK = 20
HOT = 6
NUM_ITEMS = NUM_BLOCKS * BLOCK


def new_factors(num_items: int = NUM_ITEMS, **settings: float) -> ItemFactors:
    chosen = {"num_factors": 8, "num_drawn_from": 256, "num_recent": 3, **settings}
    factors = ItemFactors(ItemFactorsConfig(**chosen))  # type: ignore[arg-type]
    factors.table.grow(num_items)
    return factors


def learn_blocks(
    factors: ItemFactors, num_actions: int, *, elsewhere: float = 0.0, seed: int = 1
) -> None:
    """Users who act on items of one block each, but for a share of the actions.

    The first items of each block are four times as popular as the others.
    """
    generator = np.random.default_rng(seed)
    histories: list[list[int]] = [[] for _ in range(40)]
    odds = np.where(np.arange(BLOCK) < HOT, 4.0, 1.0)
    for _ in range(num_actions):
        user = int(generator.integers(len(histories)))
        block = int(generator.integers(NUM_BLOCKS)) if generator.random() < elsewhere else user
        place = int(generator.choice(BLOCK, p=odds / odds.sum()))
        code = block % NUM_BLOCKS * BLOCK + place
        history = [one for one in histories[user] if one != code]
        factors.learn(history[::-1], code, 1.0)
        histories[user] = [*history, code][-3:]


def tables(factors: ItemFactors) -> list[bytes]:
    """Every number that is learned."""
    return [
        column.values.tobytes()
        for table in (factors.table, *factors.tables)
        for column in table.columns.values()
    ]


def factors_of(factors: ItemFactors) -> NDArray[np.float32]:
    values: NDArray[np.float32] = factors.table.columns["factors"].values
    return values


def lifts(factors: ItemFactors, previous: list[int]) -> NDArray[np.float32]:
    user_D = factors.user(previous)
    assert user_D is not None
    return factors.lifts(user_D, np.arange(factors.table.num_rows))


def test_planted_blocks_are_found_online() -> None:
    factors = new_factors()
    learn_blocks(factors, 3000)
    for code in range(NUM_ITEMS):
        own = np.arange(NUM_ITEMS) // BLOCK == code // BLOCK
        scores = lifts(factors, [code])
        assert scores[own].mean() > scores[~own].max()


def test_lifts_say_how_much_likelier_for_the_user_and_leave_popularity_out() -> None:
    factors = new_factors()
    learn_blocks(factors, 6000, elsewhere=0.3)
    of_blocks = []
    for block in range(NUM_BLOCKS):
        asked_with = [block * BLOCK + place for place in (0, 10, 11)]
        scores = lifts(factors, asked_with).reshape(NUM_BLOCKS, BLOCK)
        of_blocks.append(np.roll(scores, -block, axis=0))
    means = np.mean(of_blocks, axis=0)
    hot, cold, others = means[0, 1:HOT].mean(), means[0, 12:].mean(), means[1:].mean()
    # 70 % + 30 % / 4 of the actions are on the own block, 30 % / 4 on each of the others.
    assert abs((hot + cold) / 2 - others - math.log(0.775 / 0.075)) < 0.5
    assert abs(hot - cold) < math.log(4) / 3


def test_one_step_by_hand() -> None:
    factors = new_factors(3, num_factors=2, num_drawn=1, num_drawn_from=1, rate=0.5)
    for code in (0, 2, 1):
        factors.learn([], code, 1.0)
    first_ND = factors_of(factors).astype(np.float64)
    factors.learn([0], 2, 2.0)  # the last item before was 1, so it is all that can be drawn

    user_D = first_ND[0]
    margin = user_D @ (first_ND[2] - first_ND[1])
    # The gradients of BPR's -ln sigma(margin), twice, for an action of weight 2.
    pull = 2.0 / (1.0 + math.exp(margin))
    gradients_ND = pull * np.array([first_ND[1] - first_ND[2], user_D, -user_D])
    sums_N = 1e-6 + (gradients_ND**2).mean(axis=1)
    expected_ND = first_ND - 0.5 * gradients_ND / np.sqrt(sums_N)[:, None]
    np.testing.assert_allclose(factors_of(factors), expected_ND, rtol=1e-4)
    np.testing.assert_allclose(factors.table.columns["squares"].values, sums_N, rtol=1e-4)


def test_an_item_drawn_twice_counts_twice() -> None:
    odds = {}
    for num_drawn in (1, 2):
        factors = new_factors(3, num_factors=2, num_drawn=num_drawn, num_drawn_from=num_drawn)
        for code in (0, 2, 1, 1):
            factors.learn([], code, 1.0)
        first_D, user_D = factors_of(factors)[1].copy(), factors_of(factors)[0].copy()
        factors.learn([0], 2, 1.0)
        squares = float(factors.table.columns["squares"].values[1])
        # Of item 1: its share of the softmax times the user.
        share = math.sqrt((squares - 1e-6) / float((user_D**2).mean()))
        odds[num_drawn] = share / (1 - share)
        assert (factors_of(factors)[1] != first_D).all()
    assert odds[2] == pytest.approx(2 * odds[1], rel=1e-3)


def test_a_user_is_the_weighted_mean_of_the_last_known_items() -> None:
    factors = new_factors(num_recent=2, recency=0.5)
    for code in (3, 5, 7):
        factors.learn([], code, 1.0)
    rows_ND = factors_of(factors)
    found_D = factors.user([-1, 7, 9, 3, 5])
    assert found_D is not None
    np.testing.assert_allclose(found_D, (2 * rows_ND[7] + rows_ND[3]) / 3, rtol=1e-5)


def test_nothing_is_said_of_users_of_whose_items_nothing_is_known() -> None:
    factors = new_factors()
    assert factors.user([]) is None
    assert factors.user([-1, 3]) is None


def test_what_is_learned_is_a_function_of_the_actions_in_their_order() -> None:
    once, again, otherwise = new_factors(), new_factors(), new_factors()
    learn_blocks(once, 300)
    learn_blocks(again, 300)
    learn_blocks(otherwise, 300, seed=2)
    assert tables(once) == tables(again)
    assert tables(once) != tables(otherwise)


def test_neither_the_item_nor_the_users_own_are_drawn() -> None:
    factors = new_factors(num_drawn_from=16)
    factors.learn([], 0, 1.0)
    factors.learn([], 1, 1.0)
    first_ND = factors_of(factors).copy()
    for _ in range(20):
        factors.learn([1], 0, 1.0)
        factors.learn([0], 1, 1.0)
    # There is no third item that they could be told from.
    np.testing.assert_array_equal(factors_of(factors), first_ND)


def test_all_that_were_acted_on_lately_are_drawn_in_turn() -> None:
    factors = new_factors(num_drawn=2, num_drawn_from=64)
    for code in range(2, 66):
        factors.learn([], code, 1.0)
    factors.learn([], 0, 1.0)
    first_ND = factors_of(factors).copy()
    for number in range(600):
        factors.learn([0], 1 + number % 2 * 70, 1.0)
        for code in range(2, 66):
            factors.learn([], code, 1.0)
    moved = (factors_of(factors) != first_ND).any(axis=1)
    assert moved[2:66].all()


def test_memory_is_the_items_and_a_fixed_number_of_actions() -> None:
    factors = new_factors()
    learn_blocks(factors, 50)
    learn_blocks(factors, 50)
    tracemalloc.start()
    learn_blocks(factors, 50)
    size, _ = tracemalloc.get_traced_memory()
    learn_blocks(factors, 600)
    # Whatever is kept, in tables or beside them; a number an action would be 16 kB and more.
    assert tracemalloc.get_traced_memory()[0] < size + 8_000
    tracemalloc.stop()


def test_of_a_retired_item_nothing_remains_and_it_is_not_drawn() -> None:
    factors = new_factors()
    learn_blocks(factors, 300)
    factors.drop(np.array([0, 1]))
    assert factors.user([0, 1]) is None
    for number in range(100):
        factors.learn([2], 3 + number % 2, 1.0)
    assert not factors_of(factors)[:2].any()


def test_factors_stay_small_whatever_weights_come() -> None:
    factors = new_factors()
    generator = np.random.default_rng(1)
    for _ in range(1000):
        first, second = generator.choice(12, 2, replace=False).tolist()
        factors.learn([first], second, 1e6)
    assert np.abs(factors_of(factors)).max() < 20


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"num_factors": 1}, "num_factors"),
        ({"rate": 0}, "rate"),
        ({"num_drawn": 0}, "num_drawn"),
        ({"num_drawn_from": 8}, "num_drawn_from"),
        ({"num_recent": 33}, "num_recent from 1 to 32"),
        ({"recency": 1.5}, "recency"),
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, float], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        ItemFactorsConfig(**settings)  # type: ignore[arg-type]

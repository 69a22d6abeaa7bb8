import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.neural.next_actions import ages, equal_shares
from models.neural.watch_network import WatchConfig, WatchNetwork


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 12))
def test_every_user_gives_as_many_examples_and_none_twice_too_early(
    num_examples: list[int], most: int
) -> None:
    owner_E = np.repeat(np.arange(len(num_examples)), num_examples)
    drawn = equal_shares(owner_E, most, np.random.default_rng(0))
    num = len(drawn) // len(num_examples)
    assert 1 <= num <= most
    assert np.bincount(owner_E[drawn]).tolist() == [num] * len(num_examples)
    times_drawn = np.bincount(drawn, minlength=len(owner_E))
    for owner in range(len(num_examples)):
        of_owner = times_drawn[owner_E == owner]
        assert of_owner.max() - of_owner.min() <= 1


def test_a_pass_has_no_more_examples_than_the_log_but_for_rounding() -> None:
    owner_E = np.repeat(np.arange(100), [2] * 80 + [4] * 20)
    assert len(equal_shares(owner_E, 32, np.random.default_rng(0))) == 3 * 100


def test_another_pass_draws_others() -> None:
    owner_E, generator = np.zeros(1000, np.int64), np.random.default_rng(0)
    first, second = (set(equal_shares(owner_E, 10, generator).tolist()) for _ in range(2))
    assert first != second


def test_a_log_without_times_has_no_age() -> None:
    assert ages(np.full(3, 7)).tolist() == [0, 0, 0]
    assert ages(np.empty(0, np.int64)).tolist() == []


def test_watches_are_averaged_whatever_their_order() -> None:
    torch.manual_seed(0)
    network = WatchNetwork(WatchConfig(), num_items=9)
    age_B = torch.zeros(3)
    once, moved, twice = network(
        torch.tensor([[3, 5, -1, -1], [-1, 5, -1, 3], [3, 5, 5, 3]]), age_B
    )
    torch.testing.assert_close(once, moved)
    torch.testing.assert_close(once, twice)


def test_age_is_read_where_it_shall_be() -> None:
    torch.manual_seed(0)
    for reads_age in (True, False):
        network = WatchNetwork(WatchConfig(reads_age=reads_age), num_items=9)
        new, old = network(torch.tensor([[3, 5], [3, 5]]), torch.tensor([0.0, 1.0]))
        assert torch.allclose(new, old, atol=1e-6) != reads_age

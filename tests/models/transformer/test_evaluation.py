import numpy as np

from models.history import History
from models.transformer.counters import CounterLog
from models.transformer.evaluation import rank_targets
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState
from tests.models.transformer.logs import NUM_ITEMS, history_of, planted_events


def _state(history: History) -> TrainingState:
    return TrainingState(
        NetworkConfig(length=10, num_user_buckets=8), history.item_ids, seed=1, learning_rate=0.01
    )


def test_counters_order_what_the_vectors_cannot_tell() -> None:
    history = history_of(planted_events(100, seed=1))
    state = _state(history)
    popularity = np.zeros(NUM_ITEMS, np.float32)
    popularity[7] = 90
    counters = CounterLog(capacity=history.end_row)
    counters.append_snapshot(0, popularity)
    for row, item in enumerate(history.items.tolist()):
        # Far above all others, but for the most popular item.
        counters.append_row(row, np.array([item]), np.array([60.0]))
    ranks = rank_targets(state, history, from_row=60, to_row=400, counters=counters)
    expected = {}
    for row in range(60, 400):
        item, of_user = history.items[row], history.users[:row] == history.users[row]
        seen = set(history.items[:row][of_user].tolist())
        if item not in seen:
            # The popular item is no candidate for those who have acted upon it.
            expected[row] = 1 if item == 7 or 7 in seen else 2
    assert set(expected.values()) == {1, 2}
    assert dict(zip(ranks.row_P.tolist(), ranks.rank_P.tolist(), strict=True)) == expected
    np.testing.assert_array_equal(ranks.user_P, history.users[ranks.row_P])


def test_state_is_not_changed() -> None:
    history = history_of(planted_events(50, seed=1))
    state = _state(history)
    before = state.weights()
    rank_targets(state, history, from_row=0, to_row=300)
    for name, value in state.weights().items():
        np.testing.assert_array_equal(value, before[name])


def test_empty_window_ranks_nothing() -> None:
    history = history_of(planted_events(5, seed=1))
    assert len(rank_targets(_state(history), history, from_row=30, to_row=30).rank_P) == 0

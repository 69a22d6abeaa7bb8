import numpy as np

from models.graph_inputs import newest_items
from models.neural.next_actions import NextActions
from models.recommender import UserSequence
from tests.models.histories import history_of

_ROWS = [("a", "x"), ("b", "z"), ("a", "y"), ("a", "x"), ("b", "x"), ("a", "z")]


def test_each_target_sees_the_users_earlier_items_newest_first() -> None:
    history = history_of(_ROWS)
    actions = NextActions(history)
    before = actions.items_before(np.arange(len(actions)), 3)
    names = [*history.item_ids, "-"]
    found = {
        (
            int(actions.time_E[number]),
            names[target],
            "".join(names[code] for code in before[number]),
        )
        for number, target in enumerate(actions.target_E.tolist())
    }
    # The second "x" of "a" is no example, but the one after it sees it.
    expected = {(0, "x", "---"), (1, "z", "---"), (2, "y", "x--"), (4, "x", "z--"), (5, "z", "xyx")}
    assert found == expected


def test_examples_of_a_user_stand_together() -> None:
    history = history_of(_ROWS)
    actions = NextActions(history)
    assert sorted(actions.owner_E.tolist()) == actions.owner_E.tolist()
    assert (np.unique(actions.user_E[actions.owner_E == 0]).size) == 1
    assert sorted(np.bincount(actions.owner_E).tolist()) == [2, 3]


def test_a_sequence_is_read_as_the_log_is() -> None:
    sequence = UserSequence(
        user=1,
        items=np.array([5, -1, 2, 4], np.int32),
        actions=np.ones(4, np.uint8),
        times_s=np.zeros(4, np.uint32),
    )
    assert newest_items([sequence], 5).tolist() == [[4, 2, 5, -1, -1]]
    assert newest_items([sequence], 2).tolist() == [[4, 2]]
    assert newest_items([], 2).shape == (0, 2)

"""What the session's own actions say of the candidates."""

import numpy as np

from featurestore.events import Event
from featurestore.keys import item_keys
from featurestore.standing import Standing, standing_of
from tests.featurestore.user_events import RULES, action, folded, visit

IS_CLICK = np.arange(256) == 1


def standing(events: list[Event], *item_ids: str) -> Standing:
    state = folded(events, rules=RULES)
    return standing_of([state], item_keys(item_ids), np.array([len(item_ids)]), IS_CLICK)


def test_actions_of_the_session_count_apart_from_earlier_ones() -> None:
    found = standing(
        [
            action(0, "a", session_id="s1"),
            action(1, "b", session_id="s1"),
            action(10, "a", session_id="s2"),
            action(12, "a", "view", session_id="s2"),
            action(20, "c", session_id="s2"),
            action(25, None, "search", session_id="s2"),
        ],
        "a",
        "b",
        "c",
        "never",
    )
    assert found.num_in_session.tolist() == [2, 0, 1, 0]
    assert found.num_clicks.tolist() == [1, 0, 1, 0]
    assert found.num_before.tolist() == [1, 1, 0, 0]
    assert found.steps_back.tolist() == [2, -1, 1, -1]
    assert found.seconds_back.tolist() == [13, -1, 5, -1]
    assert found.action.tolist() == [3, 0, 2, 0]
    assert found.is_last.tolist() == [False, False, True, False]
    assert found.session_num_actions.tolist() == [4]
    assert found.session_num_clicks.tolist() == [2]
    assert found.last_action.tolist() == [10]


def test_a_new_user_and_a_new_session_say_nothing() -> None:
    past: list[Event] = [action(0, "a"), visit(100_000)]
    for events in ([], past):
        found = standing(events, "a", "b")
        assert found.num_in_session.tolist() == [0, 0]
        assert found.steps_back.tolist() == [-1, -1]
        assert found.action.tolist() == [0, 0]
        assert found.is_last.tolist() == [False, False]
        assert found.session_num_actions.tolist() == found.last_action.tolist() == [0]


def test_a_candidate_that_stands_twice_is_found_twice() -> None:
    assert standing([action(0, "a")], "a", "b", "a").num_in_session.tolist() == [1, 0, 1]
    assert len(standing([action(0, "a")]).steps_back) == 0

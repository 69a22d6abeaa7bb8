import numpy as np

from models.history import History, HistoryEvent
from models.pass_order import PassOrder


def _order(*events: tuple[str, int, str | None]) -> tuple[list[str], PassOrder]:
    history = History()
    history.append(
        (
            HistoryEvent(user_id=user, time_s=time_s, action=1, item_id=item)
            for user, time_s, item in events
        ),
        from_offset=0,
        to_offset=1,
    )
    order = PassOrder(history)
    return [history.item_ids[code] for code in order.items.tolist()], order


def test_actions_come_by_time_whatever_their_rows() -> None:
    items, order = _order(("u", 30, "c"), ("v", 10, "a"), ("u", 20, "b"), ("w", 20, None))
    assert items == ["a", "b", "c"]
    assert order.times_s.tolist() == [10, 20, 30]
    assert order.users[1] == order.users[2] != order.users[0]


def test_without_times_everybodys_first_actions_come_first() -> None:
    items, _ = _order(
        ("u", 0, "u1"), ("u", 0, "u2"), ("u", 0, "u3"), ("v", 0, "v1"), ("v", 0, "v2")
    )
    assert items == ["u1", "v1", "u2", "v2", "u3"]


def test_what_the_user_acts_upon_is_left_out_of_candidates() -> None:
    _, order = _order(("u", 1, "a"), ("v", 2, "b"), ("u", 3, "c"))
    drawn = np.array([[0, 1, 2], [0, 1, 2]])
    assert order.unseen(slice(1, 3), drawn).tolist() == [[0, -1, 2], [-1, 1, -1]]


def test_a_log_without_items_has_no_order() -> None:
    items, order = _order(("u", 1, None))
    assert items == []
    assert len(order) == 0

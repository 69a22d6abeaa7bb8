from pathlib import Path

import numpy as np
import pytest

from models.encoder_inputs import hash_user
from models.history import History, HistoryEvent
from models.history_file import HistoryRefused, load_history, save_history
from models.side_features import SideFeatures


def _action(user: str, time_s: int, item: str | None = "x") -> HistoryEvent:
    return HistoryEvent(user_id=user, time_s=time_s, action=1, item_id=item)


def _visit(user: str, time_s: int) -> HistoryEvent:
    return HistoryEvent(user_id=user, time_s=time_s)


def test_actions_become_rows_in_log_order() -> None:
    history = History()
    history.append([_action("a", 10), _action("b", 11, "y")], from_offset=0, to_offset=3)
    history.append([_action("a", 12, None)], from_offset=3, to_offset=4)
    assert history.items.tolist() == [0, 1, -1]
    assert history.times_s.tolist() == [10, 11, 12]
    assert history.users.tolist() == [hash_user("a"), hash_user("b"), hash_user("a")]
    assert history.item_ids == ["x", "y"]
    assert history.offset == 4


def test_visit_belongs_to_the_users_next_action_alone() -> None:
    history = History()
    events = [_action("a", 10), _visit("a", 90), _action("b", 95), _action("a", 99)]
    history.append([*events, _action("a", 100)], from_offset=0, to_offset=1)
    assert history.visits_s.tolist() == [0, 0, 90, 0]


def test_known_range_changes_nothing() -> None:
    history = History()
    assert history.append([_action("a", 10)], from_offset=0, to_offset=5)
    assert not history.append([_action("a", 10)], from_offset=0, to_offset=5)
    assert history.end_row == 1


def test_straddling_range_is_refused() -> None:
    history = History()
    history.append([], from_offset=0, to_offset=5)
    with pytest.raises(ValueError, match="straddle"):
        history.append([_action("a", 10)], from_offset=4, to_offset=6)


def test_old_rows_are_dropped_and_numbers_stay() -> None:
    history = History(capacity=16)
    for offset in range(100):
        history.append([_action("a", offset)], from_offset=offset, to_offset=offset + 1)
    assert history.end_row == 100
    assert history.first_row == 100 - len(history.items)
    assert 16 <= len(history.items) <= 18
    assert history.times_s.tolist() == list(range(history.first_row, 100))


def test_compact_retires_items_without_rows_and_keeps_the_order() -> None:
    history = History(capacity=2)
    for offset, item in enumerate(["old", "x", "y", "x"]):
        history.append([_action("a", offset, item)], from_offset=offset, to_offset=offset + 1)
    assert history.compact().tolist() == [-1, 0, 1]
    assert history.item_ids == ["x", "y"]
    assert history.items.tolist() == [1, 0]
    assert history.item_code("old") == -1


def test_restored_history_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    first = [_action("a", 10), _visit("b", 20)]
    rest = [_action("b", 21, "y"), _action("a", 22, "z")]
    whole = History(capacity=50)
    whole.append(first, from_offset=0, to_offset=1)
    save_history(whole, tmp_path / "history")
    resumed = load_history(tmp_path / "history")
    for history in (whole, resumed):
        history.append(rest, from_offset=1, to_offset=2)
    for name in ("users", "items", "actions", "times_s", "visits_s"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(resumed, name))
    assert whole.item_ids == resumed.item_ids
    assert (whole.offset, whole.capacity) == (resumed.offset, resumed.capacity)


def test_a_restored_history_tells_the_same_contexts(tmp_path: Path) -> None:
    side = SideFeatures(context=("device", "plan"))
    history = History(side=side)
    told = HistoryEvent(user_id="a", time_s=9, action=1, item_id="x", asked_s=7, contexts=(5, 6))
    history.append([told, _action("a", 10)], from_offset=0, to_offset=1)
    save_history(history, tmp_path / "history")

    resumed = load_history(tmp_path / "history", side=side)

    assert resumed.contexts.tolist() == [[5, 6], [0, 0]]
    assert resumed.asked_s.tolist() == [7, 0]
    one = load_history(tmp_path / "history", side=SideFeatures(context=("plan", "region")))
    assert one.contexts.tolist() == [[6, 0], [0, 0]]
    assert load_history(tmp_path / "history").contexts.tolist() == [[], []]


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_flipped_byte_is_refused(tmp_path: Path, place: float) -> None:
    path = tmp_path / "history"
    history = History()
    history.append([_action("a", i) for i in range(50)], from_offset=0, to_offset=1)
    save_history(history, path)
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(HistoryRefused):
        load_history(path)


def test_selected_history_keeps_codes_and_can_grow() -> None:
    history = History()
    history.append([_action("a", n, f"i{n}") for n in range(4)], from_offset=0, to_offset=1)
    chosen = history.select(np.array([False, True, False, True]))
    assert chosen.items.tolist() == [1, 3]
    assert chosen.item_ids == history.item_ids
    chosen.append([_action("b", n, "new") for n in range(2000)], from_offset=1, to_offset=2)
    assert chosen.end_row == 2002
    assert chosen.items[-1] == 4
    assert history.end_row == 4
    assert history.item_code("new") == -1


def test_an_earlier_history_knows_no_later_item() -> None:
    history = History()
    events = [_action("a", 1), _action("b", 2, None), _action("a", 3, "y"), _action("b", 4)]
    history.append(events, from_offset=0, to_offset=1)
    earlier = history.before(2)
    assert (earlier.items.tolist(), earlier.item_ids) == ([0, -1], ["x"])
    assert earlier.item_code("y") == -1
    assert history.before(0).item_ids == []
    assert (history.end_row, history.item_ids) == (4, ["x", "y"])

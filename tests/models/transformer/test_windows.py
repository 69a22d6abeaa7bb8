import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder_inputs import NO_GAP, NOW, START_ACTION, gap_buckets
from models.history import History, HistoryEvent
from models.side_features import SideFeatures
from models.transformer.windows import (
    batches,
    gather,
    seen_items,
    training_sequences,
    whole_sequences,
)
from tests.models.transformer.logs import history_of


def _history() -> History:
    events = [("a", 100, "x"), ("b", 101, "y"), ("a", 130, "z")]
    return history_of(
        [
            *(HistoryEvent(user_id=u, time_s=t, action=1, item_id=i) for u, t, i in events),
            HistoryEvent(user_id="b", time_s=5000),
            HistoryEvent(user_id="b", time_s=5009, action=2, item_id="x"),
            HistoryEvent(user_id="a", time_s=140, action=3),
        ]
    )


def test_targets_are_the_windows_rows_and_tokens_all_that_came_before() -> None:
    history = _history()
    sequences = training_sequences(history, from_row=2, to_row=5, length=4)
    batch = gather(history, sequences)
    assert sorted(batch.row_P.tolist()) == [2, 3, 4]
    by_row = dict(zip(batch.row_P.tolist(), batch.item_P.tolist(), strict=True))
    assert by_row == {2: 2, 3: 0, 4: -1}
    lengths = dict(zip(batch.inputs.user_B.tolist(), batch.inputs.length_B.tolist(), strict=True))
    assert sorted(lengths.values()) == [2, 3]
    assert (batch.inputs.action_BL[:, 0] == START_ACTION).all()
    assert (batch.inputs.gap_BL[:, :2] == NO_GAP).all()


def test_request_gap_is_the_visits_and_otherwise_now() -> None:
    history = _history()
    batch = gather(history, training_sequences(history, from_row=0, to_row=5, length=4))
    gaps = dict(zip(batch.row_P.tolist(), batch.request_gap_P.tolist(), strict=True))
    of_visit = int(gap_buckets(np.array([5000 - 101]))[0])
    assert gaps == {0: NO_GAP, 1: NO_GAP, 2: NOW, 3: of_visit, 4: NOW}


def test_contexts_are_those_that_the_targets_lists_were_made_in() -> None:
    side = SideFeatures(context=("device", "plan"), num_context_codes=64)
    history = History(side=side)
    rows = [(5, 0), (7, 9), (0, 3)]
    events = [
        HistoryEvent(user_id="u", time_s=100 + row, action=1, item_id=f"i{row}", contexts=codes)
        for row, codes in enumerate(rows)
    ]
    history.append(events, from_offset=0, to_offset=1)
    batch = gather(history, training_sequences(history, from_row=0, to_row=3, length=4))
    found = dict(zip(batch.row_P.tolist(), batch.context_PC.tolist(), strict=True))
    assert found == {0: [5, 65], 1: [7, 74], 2: [0, 68]}
    assert gather(
        _history(), training_sequences(_history(), from_row=0, to_row=5, length=4)
    ).context_PC.shape == (5, 0)


def test_seen_items_are_those_of_the_tokens_so_far() -> None:
    history = _history()
    batch = gather(history, training_sequences(history, from_row=0, to_row=5, length=4))
    seen = {
        row: set(items) - {-1}
        for row, items in zip(batch.row_P.tolist(), seen_items(batch).tolist(), strict=True)
    }
    assert seen == {0: set(), 1: set(), 2: {0}, 3: {1}, 4: {0, 2}}


@settings(deadline=None, max_examples=60)
@given(
    users=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    length=st.integers(2, 9),
    bounds=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_every_row_of_the_window_is_predicted_once_from_earlier_rows(
    users: list[int], length: int, bounds: tuple[int, int]
) -> None:
    history = history_of(
        HistoryEvent(user_id=str(user), time_s=1000 + row, action=1, item_id=str(row))
        for row, user in enumerate(users)
    )
    from_row, to_row = min(bounds), max(bounds)
    sequences = training_sequences(history, from_row=from_row, to_row=to_row, length=length)
    rows: list[int] = []
    for part in batches(sequences, np.random.default_rng(0), max_tokens=12):
        batch = gather(history, part)
        rows.extend(batch.row_P.tolist())
        assert batch.inputs.item_BL.shape[1] <= length
        for row, seen in zip(batch.row_P.tolist(), seen_items(batch), strict=True):
            # Item codes are row numbers here.
            past = [r for r in range(row) if users[r] == users[row]]
            tokens = [item for item in seen.tolist() if item >= 0]
            assert tokens == past[len(past) - len(tokens) :]
            assert len(tokens) >= min(len(past), length // 2)
    assert sorted(rows) == list(range(from_row, min(to_row, len(users))))


def test_whole_sequences_predict_each_users_newest_actions_once() -> None:
    history = _history()
    batch = gather(history, whole_sequences(history, length=4))
    assert sorted(batch.row_P.tolist()) == [0, 1, 2, 3, 4]
    newest = gather(history, whole_sequences(history, length=2))
    # The user of three actions loses the first as a target, and it becomes the first token.
    assert sorted(newest.row_P.tolist()) == [1, 2, 3, 4]
    assert newest.inputs.length_B.tolist() == [2, 2]

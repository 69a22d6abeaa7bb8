import numpy as np
import pytest

from models.transformer.counters import CounterLog


def _log(capacity: int = 10) -> CounterLog:
    log = CounterLog(capacity=capacity, num_listed=2, floor=-9.0)
    log.append_snapshot(0, np.array([1.0, 2.0], np.float32))
    for row in range(4):
        log.append_row(row, np.array([row, row + 1, row + 2]), np.array([0.3, 0.2, 0.1]))
    log.append_snapshot(3, np.array([3.0, 4.0, 5.0], np.float32))
    return log


def test_each_row_sees_the_latest_snapshot_up_to_it() -> None:
    inputs = _log().inputs(np.array([3, 2, 0]), 4)
    popularity = inputs.popularity_TN[inputs.snapshot_P]
    np.testing.assert_array_equal(popularity, [[3, 4, 5, -9], [1, 2, -9, -9], [1, 2, -9, -9]])


def test_items_that_no_snapshot_covered_are_told_apart() -> None:
    assert _log().num_covered(np.array([0, 3]), 9).tolist() == [2, 3]


def test_lists_are_cut_and_missing_rows_are_empty() -> None:
    inputs = _log().inputs(np.array([1, 7]), 9)
    assert inputs.item_PK.tolist() == [[1, 2], [-1, -1]]
    np.testing.assert_allclose(inputs.lift_PK[0], [0.3, 0.2])


def test_only_the_newest_rows_are_kept() -> None:
    log = _log(capacity=2)
    assert log.first_row == 2
    assert log.inputs(np.array([1, 3]), 9).item_PK.tolist() == [[-1, -1], [3, 4]]


def test_skipped_row_does_not_read_the_one_whose_place_it_has() -> None:
    log = _log(capacity=4)
    log.append_row(5, np.array([8]), np.array([1.0]))
    assert log.inputs(np.array([4, 5]), 9).item_PK.tolist() == [[-1, -1], [8, -1]]


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="append in order"):
        _log().append_row(1, np.array([0]), np.array([1.0]))


def test_renumbered_items_are_followed_and_retired_ones_forgotten() -> None:
    log = _log()
    log.renumber(np.array([-1, 0, 1, 2, 3], np.int32))
    inputs = log.inputs(np.array([0, 3]), 4)
    assert inputs.item_PK.tolist() == [[-1, 0], [2, 3]]
    popularity = inputs.popularity_TN[inputs.snapshot_P]
    np.testing.assert_array_equal(popularity, [[2, -9, -9, -9], [4, 5, -9, -9]])

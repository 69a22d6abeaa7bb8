import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.leave_one_out import (
    accuracy,
    leave_one_out,
    ranks_of,
    target_ranks,
)
from models.registry import new_recommender
from tests.models.histories import history_of


def test_last_item_is_the_test_and_the_one_before_the_validation() -> None:
    history = history_of([("a", "x"), ("b", "x"), ("a", "y"), ("a", None), ("a", "z"), ("a", "w")])
    split = leave_one_out(history)
    (validation,), (test,) = split.validation, split.test
    names = history.item_ids
    assert [names[code] for code in validation.sequence.items] == ["x", "y"]
    assert names[validation.target] == "z"
    assert [names[code] for code in test.sequence.items] == ["x", "y", "z"]
    assert names[test.target] == "w"
    assert test.sequence.times_s.tolist() == [0, 2, 4]
    assert (split.num_users, split.num_items) == (2, 4)


def test_training_has_the_rest_under_the_same_codes() -> None:
    history = history_of([("a", "x"), ("b", "x"), ("a", "y"), ("a", "z"), ("b", "w")])
    training = leave_one_out(history).training
    # The user of two actions is too short to be asked about, and is learned from whole.
    assert training.items.tolist() == [0, 0, 3]
    assert training.item_ids == history.item_ids
    assert history.end_row == 5


def test_nobody_to_ask_is_no_error() -> None:
    split = leave_one_out(history_of([("a", "x")]))
    assert (split.test, split.validation) == ([], [])
    assert accuracy(np.empty(0, np.int64)).ndcg_10 is None


def test_equal_scores_keep_the_catalogues_order() -> None:
    scores = np.zeros((3, 4), np.float32)
    assert ranks_of(scores, np.array([0, 2, 3])).tolist() == [1, 3, 4]


def test_seen_items_are_left_out_but_for_the_target() -> None:
    scores = np.array([[4, 3, 2, 1]], np.float32)
    seen = [np.array([0, 2, -1, 3], np.int32)]
    assert ranks_of(scores, np.array([3])).tolist() == [4]
    assert ranks_of(scores, np.array([3]), seen).tolist() == [2]


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_rank_is_the_place_in_a_stable_sort(num_items: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 4, (3, num_items)).astype(np.float32)
    targets = generator.integers(0, num_items, 3)
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [order[row].tolist().index(target) + 1 for row, target in enumerate(targets)]
    assert ranks_of(scores, targets).tolist() == expected


def test_ranks_come_in_the_questions_order() -> None:
    rows = [("a", "x"), ("a", "y"), ("a", "z"), ("a", "w")]
    rows += [(user, item) for user in "bcd" for item in ("x", "y", "w", "v", "z")]
    split = leave_one_out(history_of(rows))
    model = new_recommender("popularity")
    for _ in model.fit(split.training):
        pass
    ranks = target_ranks(model, split.test)
    alone = [target_ranks(model, [question])[0] for question in split.test]
    assert ranks.tolist() == alone

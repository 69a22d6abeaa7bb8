from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from models.bundle import Arrays
from models.evaluation import MISS
from models.history import History
from models.recommender import FitProgress, Recommender, UserSequence, Validate, item_counts
from models.registry import new_recommender
from models.temporal_split import TemporalSplit, answers
from tests.models.histories import history_of

Row = tuple[str, str]


def _all(split: TemporalSplit) -> npt.NDArray[np.int64]:
    return np.arange(len(split.row_Q))


def _learned_until(split: TemporalSplit, cutoff: int, name: str = "popularity") -> Recommender:
    model = new_recommender(name)
    for _ in model.fit(split.training(cutoff)):
        pass
    return model


# Before the cut x has three actions, y two, z one; w comes later.
_BEFORE = [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "y"), ("a", "z")]
_AFTER = [
    ("d", "y"),  # 2nd of x y z
    ("d", "z"),  # 2nd of x z: y is filtered, though it came after the cut
    ("c", "w"),  # unknown, and never seen
    ("d", "w"),  # unknown until the model is refreshed
    ("a", "x"),  # repeated
]


def test_hand_worked_log() -> None:
    split = TemporalSplit(history_of(_BEFORE + _AFTER), len(_BEFORE))
    found = answers(_learned_until(split, 6), split, _all(split))
    assert found.rank_Q.tolist() == [2, 2, MISS, MISS, MISS]
    assert found.num_unknown == 2
    assert (split.num_never_seen, split.num_repeated) == (1, 1)


def test_a_refreshed_model_knows_new_items() -> None:
    split = TemporalSplit(history_of(_BEFORE + _AFTER), len(_BEFORE))
    model = _learned_until(split, 9)
    assert list(model.item_ids) == ["x", "y", "z", "w"]
    # d has y and z: x has three actions, w one.
    found = answers(model, split, np.array([3]))
    assert (found.rank_Q.tolist(), found.num_unknown) == ([2], 0)


def test_a_question_shows_all_that_its_user_did_before_and_nothing_else() -> None:
    history = history_of([("a", "x"), ("b", "y"), ("a", "y"), ("b", "z"), ("a", "z"), ("a", "x")])
    split = TemporalSplit(history, 2)
    first, _, second, _ = split.questions(split.row_Q.tolist())
    assert (first.sequence.items.tolist(), first.target) == ([0], 1)
    assert (second.sequence.items.tolist(), second.target) == ([0, 1], 2)
    assert second.sequence.times_s.tolist() == [0, 2]
    assert second.sequence.now_s is None


def test_actions_without_an_item_are_no_questions() -> None:
    split = TemporalSplit(history_of([("a", "x"), ("a", None), ("a", "y")]), 1)
    assert split.row_Q.tolist() == [2]


def test_sample_is_the_generators() -> None:
    split = TemporalSplit(history_of([("a", "x")] * 50), 10, sample=0.3, seed=7)
    expected = 10 + np.flatnonzero(np.random.default_rng(7).random(40) < 0.3)
    assert split.row_Q.tolist() == expected.tolist()
    other = TemporalSplit(history_of([("a", "x")] * 50), 10, sample=0.3, seed=8)
    assert other.row_Q.tolist() != expected.tolist()


def test_refreshes_are_due_in_log_time_and_know_what_is_older() -> None:
    split = TemporalSplit(history_of([("a", "x")] * 7), 2)
    times_ms = np.array([0, 90, 100, 109, 110, 145, 149])
    windows = list(split.windows(times_ms, 10))
    # Due at 100, 110, 120, 130, 140: nobody asks after 120 and 130.
    assert [cutoff for cutoff, _ in windows] == [2, 4, 5]
    assert [places.tolist() for _, places in windows] == [[0, 1], [2], [3, 4]]


def test_a_refresh_that_nobody_asks_is_left_out() -> None:
    history = history_of([("a", "x"), ("a", "y"), ("a", None), ("a", "z")])
    windows = list(TemporalSplit(history, 1).windows(np.arange(4) * 10, 10))
    assert [cutoff for cutoff, _ in windows] == [1, 3]


_ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz")), max_size=12)


# A deadline would measure the machine.
_many = settings(deadline=None, max_examples=40)


@_many
@given(_ROWS.filter(bool), _ROWS, _ROWS)
def test_nothing_after_the_cut_is_learned(
    before: list[Row], after: list[Row], other: list[Row]
) -> None:
    cut = len(before)
    first, second = (TemporalSplit(history_of(before + rows), cut) for rows in (after, other))
    one, two = first.training(cut), second.training(cut)
    assert one.item_ids == two.item_ids
    for column in ("users", "items", "actions", "times_s"):
        np.testing.assert_array_equal(getattr(one, column), getattr(two, column))


@pytest.mark.parametrize("name", ["popularity", "covisitation", "vsknn"])
@_many
@given(later=_ROWS, other=_ROWS)
def test_what_follows_an_action_changes_no_answer_about_it(
    name: str, later: list[Row], other: list[Row]
) -> None:
    start = [*_BEFORE, ("d", "y"), ("d", "z"), ("c", "z")]
    ranks = []
    for rows in (later, other):
        split = TemporalSplit(history_of(start + rows), 6)
        ranks.append(answers(_learned_until(split, 6, name), split, np.arange(3)).rank_Q.tolist())
    assert ranks[0] == ranks[1]
    assert MISS not in ranks[0]


@_many
@given(_ROWS, st.integers(0, 12))
def test_counts_of_what_must_be_missed_are_those_of_a_plain_reading(
    rows: list[Row], begin: int
) -> None:
    begin = min(begin, len(rows))
    split = TemporalSplit(history_of(rows), begin)
    later = range(begin, len(rows))
    items = [item for _, item in rows]
    assert split.num_never_seen == sum(items[row] not in items[:row] for row in later)
    assert split.num_repeated == sum(rows[row] in rows[:row] for row in later)


class _Watched(Recommender):
    """Popularity that keeps what it is asked."""

    name = "watched"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[UserSequence] = []

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        self._adopt(history.item_ids)
        self._count_N = item_counts(history).astype(np.float32)
        yield FitProgress(done=1)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        self.asked += sequences
        return np.tile(self._count_N, (len(sequences), 1))

    @override
    def settings(self) -> Mapping[str, Any]:
        return {}

    @override
    def weights(self) -> Arrays:
        return {}

    @override
    def restore(self, weights: Arrays) -> None:
        """Nothing is saved."""


def test_items_that_the_model_does_not_know_are_shown_as_unknown() -> None:
    split = TemporalSplit(history_of([("a", "x"), ("b", "y"), ("b", "w"), ("b", "x")]), 2)
    model = _Watched()
    for _ in model.fit(split.training(2)):
        pass
    answers(model, split, np.array([1]))
    assert [sequence.items.tolist() for sequence in model.asked] == [[1, -1]]

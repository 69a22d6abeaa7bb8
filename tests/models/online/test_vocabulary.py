"""Codes: first appearance, bounded, retired by event time, reused, the same on a replica."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.online.tables import TableSet
from models.online.vocabulary import UNKNOWN, Vocabulary, VocabularyConfig


def new_vocabulary(max_items: int = 4, retire_share: float = 0.5) -> Vocabulary:
    return Vocabulary(VocabularyConfig(max_items=max_items, retire_share=retire_share))


def test_codes_are_given_in_order_of_first_appearance() -> None:
    vocabulary = new_vocabulary()
    codes = [vocabulary.add(f"i{key}", key, 0) for key in (7, 3, 7, 9)]
    assert codes == [0, 1, 0, 2]
    assert vocabulary.codes([9, 8, 7]).tolist() == [2, UNKNOWN, 0]
    assert [vocabulary.item_id(code) for code in (0, 1, 2)] == ["i7", "i3", "i9"]
    assert len(vocabulary) == 3


def test_the_items_whose_last_event_is_oldest_retire_and_their_rows_are_used_again() -> None:
    vocabulary = new_vocabulary()
    for key, now_ms in ((1, 10), (2, 20), (3, 30), (4, 40), (1, 50), (3, 5)):
        vocabulary.add(f"i{key}", key, now_ms)
    assert vocabulary.is_full
    with pytest.raises(ValueError, match="found 4 items, expected fewer than 4"):
        vocabulary.add("i5", 5, 60)
    # The late event of item 3 does not make it older than it is.
    assert vocabulary.retire().tolist() == [1, 2]
    assert vocabulary.codes([1, 2, 3, 4]).tolist() == [0, UNKNOWN, UNKNOWN, 3]
    assert [vocabulary.add(f"i{key}", key, 60) for key in (5, 2)] == [1, 2]
    assert vocabulary.is_full
    assert vocabulary.num_rows == 4


@settings(deadline=None, max_examples=50)
@given(
    events=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 100)), max_size=60),
    base_at=st.integers(0, 60),
)
def test_a_replica_knows_the_same_codes_and_gives_the_same_new_ones(
    events: list[tuple[int, int]], base_at: int
) -> None:
    learner, replica, restored = new_vocabulary(), new_vocabulary(), new_vocabulary()
    learned, followed = TableSet([learner.table]), TableSet([replica.table])
    late = TableSet([restored.table])
    for index, (key, now_ms) in enumerate(events):
        if index == base_at:
            late.restore(learned.snapshot())
            restored.refresh()
        if learner.is_full and learner.code(key) == UNKNOWN:
            learner.retire()
        learner.add(f"i{key}", key, now_ms)
        learned.advance(index + 1)
        if index % 3 == 0:
            payload = learned.take_delta().payload
            learned.delta_acknowledged()
            for tables, vocabulary in ((followed, replica), (late, restored)):
                tables.apply_delta(payload)
                vocabulary.refresh()
            assert replica.codes(range(13)).tolist() == learner.codes(range(13)).tolist()
    late.restore(learned.snapshot())
    restored.refresh()
    assert restored.codes(range(13)).tolist() == learner.codes(range(13)).tolist()
    for key in (20, 21, 22):
        for vocabulary in (learner, restored):
            if vocabulary.is_full:
                vocabulary.retire()
        assert restored.add("x", key, 200) == learner.add("x", key, 200)

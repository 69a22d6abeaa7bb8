"""Items that came after training: who joins, and what it costs to look."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.new_items import NewItems

ATTRIBUTES_VI = np.array([[0, 0], [3, 0], [0, 5], [0, 0]], np.float32)
NOTHING, EAST, NORTH, NEVER_LEARNED = (), (1,), (2,), (3,)
NUM_CODES = 12

CODES = st.integers(0, NUM_CODES - 1)
TOLD = st.sampled_from([None, NOTHING, EAST, NORTH, NEVER_LEARNED, (1, 2)])


def test_vectors_are_unit_means_of_what_was_learned_of_the_attributes() -> None:
    new = NewItems(ATTRIBUTES_VI)
    told = [NOTHING, EAST, NEVER_LEARNED, (1, 2)]

    new.follow(np.empty(0, int), np.ones(4, bool), told.__getitem__)

    assert new.codes_E.tolist() == [1, 3]
    np.testing.assert_allclose(new.vectors_EI, [[1, 0], np.array([3, 5]) / 34**0.5], rtol=1e-6)


@given(st.lists(st.lists(st.tuples(CODES, TOLD), max_size=4), max_size=12), st.integers(1, 5))
def test_those_of_the_smallest_codes_join_whatever_came_first(
    steps: list[list[tuple[int, tuple[int, ...] | None]]], max_joined: int
) -> None:
    new = NewItems(ATTRIBUTES_VI, max_joined=max_joined)
    told: list[tuple[int, ...] | None] = [None] * NUM_CODES
    num_codes = 0

    def follow(one: NewItems, changed: list[int]) -> None:
        may_join = np.array([attributes is not None for attributes in told[:num_codes]], bool)
        one.follow(np.array(changed, int), may_join, lambda code: told[code] or NOTHING)

    for step in steps:
        for code, attributes in step:
            told[code] = attributes
            num_codes = max(num_codes, code + 1)
        follow(new, [code for code, _ in step])
        just_started = NewItems(ATTRIBUTES_VI, max_joined=max_joined)
        follow(just_started, [])
        told_of = [code for code in range(NUM_CODES) if told[code] in (EAST, NORTH, (1, 2))]
        assert new.codes_E.tolist() == told_of[:max_joined]
        np.testing.assert_array_equal(new.codes_E, just_started.codes_E)
        np.testing.assert_array_equal(new.vectors_EI, just_started.vectors_EI)


def test_each_code_is_looked_up_once_however_many_there_are() -> None:
    asked: list[int] = []

    def attributes_of(code: int) -> tuple[int, ...]:
        asked.append(code)
        return EAST if code % 2 else NOTHING

    new = NewItems(ATTRIBUTES_VI, max_joined=1500)
    new.follow(np.arange(4000), np.ones(4000, bool), attributes_of)

    assert len(new.codes_E) == 1500
    assert len(asked) == len(set(asked)), "none twice"
    asked.clear()
    new.follow(np.array([2, 3, 3999]), np.ones(4000, bool), attributes_of)
    assert asked == [2, 3]

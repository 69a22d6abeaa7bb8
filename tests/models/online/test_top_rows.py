"""The largest rows, kept up while cells grow, always equal a full sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.online.columns import Column, ColumnSpec
from models.online.top_rows import TopRows


def sorted_rows(column: Column, num: int) -> list[int]:
    values = column.values
    rows = np.flatnonzero(values != column.spec.fill)
    order = np.argsort(-values[rows], kind="stable")[:num]
    return [int(row) for row in rows[order]]


@settings(deadline=None, max_examples=80)
@given(
    touches=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3)), max_size=120),
    num=st.integers(1, 4),
    every=st.integers(1, 7),
)
def test_the_pool_gives_what_a_full_sort_gives_ties_included(
    touches: list[tuple[int, int]], num: int, every: int
) -> None:
    column = Column(ColumnSpec(name="x", dtype="float64", fill=-np.inf))
    column.grow(40)
    top = TopRows(column)
    for index, (row, amount) in enumerate(touches):
        column.put(row, max(column.cells[row], 0.0) + amount)
        top.touch(row)
        if index % every == 0:
            assert top.largest(num).tolist() == sorted_rows(column, num)
    column.clear_rows(np.arange(0, 40, 3))
    top.forget()
    assert top.largest(num + 2).tolist() == sorted_rows(column, num + 2)


def test_an_empty_column_has_no_largest_rows() -> None:
    column = Column(ColumnSpec(name="x", dtype="float64", fill=-np.inf))
    assert TopRows(column).largest(5).tolist() == []
    column.grow(3)
    assert TopRows(column).largest(5).tolist() == []

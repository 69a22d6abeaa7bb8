"""Cross-products: which pairs of bins have a weight, and which share one."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from models.rankers.crosses import Crosses

OFFSETS = np.array([0, 3, 7, 12])


def every_item() -> npt.NDArray[np.int64]:
    """One item of each combination of bins."""
    return np.array(list(product(range(3), range(3, 7), range(7, 12))))


def test_each_pair_of_bins_has_a_cell_of_its_own() -> None:
    crosses, items = Crosses(OFFSETS, 1000), every_item()
    assert crosses.num_cells == 3 * 4 + 3 * 5 + 4 * 5
    cells = crosses.cells(items)
    pairs = {
        (place, cell, *item[[second, first]].tolist())
        for item, row in zip(items, cells.tolist(), strict=True)
        for (place, cell), second, first in zip(enumerate(row), (1, 2, 2), (0, 0, 1), strict=True)
    }
    # As many different (pair of templates, cell, pair of bins) as cells: a bijection.
    assert len(pairs) == len({cell for _, cell, *_ in pairs}) == crosses.num_cells


def test_more_pairs_than_cells_are_spread_over_all_of_them() -> None:
    crosses = Crosses(np.array([0, 500, 1000]), 1 << 10)
    first, second = np.meshgrid(np.arange(500), np.arange(500, 1000))
    cells = crosses.cells(np.stack([first.ravel(), second.ravel()], axis=1))
    loads = np.bincount(cells.ravel(), minlength=crosses.num_cells)
    assert crosses.num_cells == len(loads) == 1 << 10
    assert loads.min() > 0.5 * loads.mean()
    assert loads.max() < 2 * loads.mean()


def test_a_layout_of_one_template_has_no_crosses() -> None:
    crosses = Crosses(np.array([0, 5]), 100)
    assert crosses.num_cells == 0
    assert crosses.cells(np.array([[1], [2]])).shape == (2, 0)

"""The choice head's cells: none shared between templates, and named by a digest."""

import numpy as np
import pytest

from featurestore.choice_layout import POSITIONS, ChoiceConfig, ChoiceLayout

SMALL = ChoiceConfig(item_cells=8, category_cells=4, taste_cells=16, follow_cells=8)


def test_every_cell_has_one_meaning_and_one_belief() -> None:
    layout = ChoiceLayout(config=SMALL)
    sizes = [template.num_cells for template in layout.templates]
    assert layout.num_cells == sum(sizes)
    assert np.diff(layout.offsets).tolist() == sizes
    for values in (layout.means, layout.variances, layout.min_variances):
        assert values.shape == (layout.num_cells,)
    assert (layout.variances > layout.min_variances).all()


def test_positions_start_from_one_over_the_position_and_the_last_cell_is_the_bias() -> None:
    layout = ChoiceLayout(config=SMALL)
    start = layout.position_offset
    assert layout.means[start + 1] == 0
    assert layout.means[start + 10] == pytest.approx(-np.log(10))
    assert start + POSITIONS == layout.num_cells - 1
    assert layout.means[-1] < 0


def test_the_digest_follows_whatever_changes_an_index() -> None:
    digests = {
        ChoiceLayout(config=config).digest
        for config in (SMALL, ChoiceConfig(), ChoiceConfig(follow_half_life_ms=1000))
    }
    assert len(digests) == 3


def test_sizes_that_are_none_are_refused_all_at_once() -> None:
    with pytest.raises(ValueError, match="item_cells above 0, taste_cells above 0"):
        ChoiceConfig(item_cells=0, taste_cells=-1)

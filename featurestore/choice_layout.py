"""Which cell of the choice head means what, and what is believed of it before anything is learned?

A template is a group of cells of one meaning; an index is a template's offset plus a cell. Items,
users and categories have too many values to be counted beforehand: they are hashed into a fixed
number of cells, where two of them may share one.
"""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

CHOICE_LAYOUT_VERSION: Final = 1
"""Raised whenever the same input would get other indices from the same configuration."""

POSITIONS: Final = 31
AGES: Final = 40
SHOWN: Final = 10
_RARE: Final = -3.0
"""Log-odds that something is opened where nothing else is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceConfig:
    """How many cells there are, and how long the last item has an influence.

    Attributes:
        item_cells: into so many the items are hashed.
        category_cells: into so many the categories.
        taste_cells: into so many the pairs of user and category.
        follow_cells: into so many the pairs of the last item's category and a candidate's.
        follow_half_life_ms: time in which the pull of the last item halves.
    """

    item_cells: int = 1 << 16
    category_cells: int = 1 << 10
    taste_cells: int = 1 << 18
    follow_cells: int = 1 << 14
    follow_half_life_ms: int = 30 * 60_000

    def __post_init__(self) -> None:
        """Refuse sizes that are none.

        Raises:
            ValueError: Naming every bad value.
        """
        names = (
            "item_cells",
            "category_cells",
            "taste_cells",
            "follow_cells",
            "follow_half_life_ms",
        )
        if bad := [f"{name} above 0" for name in names if getattr(self, name) < 1]:
            raise ValueError(", ".join(bad))


class _Template(NamedTuple):
    name: str
    num_cells: int
    variance: float
    min_variance: float


@dataclass(frozen=True, kw_only=True)
class ChoiceLayout:
    """The templates of a configuration, laid end to end.

    Variances are in squared log-odds: one of 2 says that a good item is opened four times as often
    as an average one. What drifts (an item's appeal) keeps a variance that
    learning never goes below, so that it is always learned anew. Positions start from the
    examination that is 1 over the position (Joachims et al., Unbiased Learning-to-Rank, WSDM 2017)
    and are believed in: a slate is in the order of what is good, and would else explain it away.
    """

    config: ChoiceConfig

    @cached_property
    def templates(self) -> tuple[_Template, ...]:
        """Columns of a candidate first, in their order; then what only the slate has."""
        config = self.config
        return (
            _Template("item", config.item_cells, 2.0, 0.1),
            _Template("category", config.category_cells, 1.0, 1e-4),
            _Template("user*category", config.taste_cells, 0.6, 1e-3),
            _Template("age", AGES, 1.0, 1e-3),
            _Template("acted", 2, 4.0, 1e-3),
            _Template("shown", SHOWN, 1.0, 1e-3),
            # These two are weighted by the pull of the user's last item.
            _Template("last*category", config.follow_cells, 1.0, 1e-3),
            _Template("same_kind_as_last", 2, 1.0, 1e-3),
            _Template("position", POSITIONS, 0.25, 1e-3),
            _Template("bias", 1, 25.0, 1e-3),
        )

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """The first cell of each template, and the end."""
        return np.array([0, *accumulate(one.num_cells for one in self.templates)], np.int64)

    @property
    def num_columns(self) -> int:
        """How many indices a candidate has."""
        return len(self.templates) - 2

    @property
    def num_cells(self) -> int:
        """How many cells the indices refer to."""
        return int(self.offsets[-1])

    @property
    def variances(self) -> npt.NDArray[np.float64]:
        """float64[cells], of each cell's value before anything is learned."""
        return self._spread([one.variance for one in self.templates])

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """float64[cells], the value of each cell before anything is learned."""
        means = np.zeros(self.num_cells)
        start = self.position_offset
        means[start : start + POSITIONS] = -np.log(np.maximum(np.arange(POSITIONS), 1))
        means[-1] = _RARE
        return means

    @property
    def min_variances(self) -> npt.NDArray[np.float64]:
        """float64[cells], below which a cell's variance never falls."""
        return self._spread([one.min_variance for one in self.templates])

    @property
    def position_offset(self) -> int:
        """The cell of position 0."""
        return int(self.offsets[-3])

    @property
    def digest(self) -> str:
        """8 hex digits that change whenever an index might mean something else."""
        meaning = repr((CHOICE_LAYOUT_VERSION, self.config, self.templates))
        return blake2b(meaning.encode(), digest_size=4).hexdigest()

    def _spread(self, values: list[float]) -> npt.NDArray[np.float64]:
        return np.repeat(values, [one.num_cells for one in self.templates])

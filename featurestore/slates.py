"""What is the click head asked about: the items of one slate, or of several end to end?

Features of many slates are computed in one go, because a call of numpy costs as much as a few
hundred items. No slate's features depend on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from featurestore.bins import Ints, Scalar

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateInput:
    """N candidates, shown or to be ranked; missing numbers are NaN.

    Attributes:
        keys: uint64[N] item keys.
        positions: int32[N] from 1 where they were shown; None where they are yet to be ranked.
        numeric: float32[N, P] values of `FeatureConfig.numeric`.
        context: of the event.
        source_scores: float32[N, S] log-scores of the recall sources.
        statistics: float32[N, 2]: log2 of the decayed impressions, smoothed log-odds of a click.
        ages_s: float64[N] since publication or first appearance.
        categories: int32[N] codes, -1 for none.
        recent_categories: int32[K] codes of the items of the user's last 20 actions.
    """

    keys: npt.NDArray[np.uint64]
    positions: npt.NDArray[np.int32] | None = None
    numeric: Floats32
    context: Mapping[str, Scalar]
    source_scores: Floats32
    statistics: Floats32
    ages_s: npt.NDArray[np.float64]
    categories: npt.NDArray[np.int32]
    recent_categories: npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class SlatesInput:
    """B slates of N items in all, end to end; columns as those of `SlateInput`.

    Attributes:
        sizes: int64[B], items of each slate.
        keys: uint64[N].
        positions: int32[M], from 1, where the first M items were shown; the others are yet to be
            ranked.
        numeric: float32[N, P].
        contexts: of each slate's event.
        source_scores: float32[N, S].
        statistics: float32[N, 2].
        ages_s: float64[N].
        categories: int32[N].
        recent_categories: of each slate's user, int32[K].
    """

    sizes: Ints
    keys: npt.NDArray[np.uint64]
    positions: npt.NDArray[np.int32]
    numeric: Floats32
    contexts: Sequence[Mapping[str, Scalar]]
    source_scores: Floats32
    statistics: Floats32
    ages_s: npt.NDArray[np.float64]
    categories: npt.NDArray[np.int32]
    recent_categories: Sequence[npt.NDArray[np.int32]]

    @classmethod
    def of_one(cls, slate: SlateInput) -> Self:
        """Return one slate as a batch."""
        return cls(
            sizes=np.array([len(slate.keys)]),
            keys=slate.keys,
            positions=np.empty(0, np.int32) if slate.positions is None else slate.positions,
            numeric=slate.numeric,
            contexts=[slate.context],
            source_scores=slate.source_scores,
            statistics=slate.statistics,
            ages_s=slate.ages_s,
            categories=slate.categories,
            recent_categories=[slate.recent_categories],
        )

    @property
    def num_slates(self) -> int:
        """B."""
        return len(self.sizes)

    @cached_property
    def owners(self) -> Ints:
        """int64[N], the slate of each item."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def starts(self) -> Ints:
        """int64[B + 1], where each slate begins, and the end."""
        return np.concatenate(([0], self.sizes.cumsum()))

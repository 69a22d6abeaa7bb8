"""How does an item's number, such as its price, stand among those of its slate?

Every function is vectorised over slates, pure, and puts missing values (NaN) into a bin of their
own, the last; none depends on the order of the items.

Shape letters: N items of B slates, of which the first M were shown.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from featurestore.bins import Ints, percentiles, steps
from featurestore.slates import SlatesInput

Floats32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_STEP: Final = np.array([1 / 6])
_LOW: Final = np.array([-1.5])
_NUM_BINS: Final = np.array([18])


def percentile_bins(slates: SlatesInput) -> Ints:
    """Bin each item by the share of its slate's others that are below it, int64[P + S, N].

    Rows are the slates' numbers, then their sources' scores.
    """
    values = np.concatenate((slates.numeric.T, slates.source_scores.T))
    if not values.size:
        return np.empty(values.shape, np.int64)
    # Apart, or what was shown would be padded to as many items as there are candidates.
    num_shown = len(slates.positions)
    num_slates = int(slates.starts.searchsorted(num_shown))
    return np.concatenate(
        (
            _slate_percentiles(values[:, :num_shown], slates.sizes[:num_slates]),
            _slate_percentiles(values[:, num_shown:], slates.sizes[num_slates:]),
        ),
        axis=1,
    )


def _slate_percentiles(values: Floats32, sizes: Ints) -> Ints:
    if not values.size:
        return np.empty(values.shape, np.int64)
    # What a slate is shorter than the longest is missing, and missing values count for nothing.
    num_slates, longest = len(sizes), int(sizes.max())
    padded = np.full((len(values), num_slates * longest), np.nan, values.dtype)
    padding_before = np.arange(num_slates) * longest - (sizes.cumsum() - sizes)
    places = np.arange(values.shape[1]) + np.repeat(padding_before, sizes)
    padded[:, places] = values
    bins = percentiles(padded.reshape(len(values), num_slates, longest))
    return bins.reshape(padded.shape)[:, places]


def rank_bins(values: Floats32, sizes: Ints, num_bins: int) -> Ints:
    """Count the items of the slate whose value is smaller; the last of `num_bins` is open.

    >>> prices = np.array([3.0, 1.0, np.nan, 1.0, 7.0], np.float32)
    >>> rank_bins(prices, np.array([4, 1]), 9).tolist()
    [2, 0, 9, 0, 0]
    """
    ranks = np.empty(len(values), np.int64)
    start = 0
    for size in sizes.tolist():
        of_slate = values[start : start + size]
        # NaN is sorted behind everything.
        ranks[start : start + size] = np.sort(of_slate).searchsorted(of_slate)
        start += size
    return np.where(np.isnan(values), num_bins, np.minimum(ranks, num_bins - 1))


def ratio_bins(values: Floats32, is_reference: Bools, slates: SlatesInput) -> Ints:
    """Bin the log-ratio to the mean of the slate's reference items; 0 is no such, 19 NaN."""
    owners, num_slates = slates.owners, slates.num_slates
    references = np.flatnonzero(is_reference & (values > 0))
    if not len(references):
        return np.zeros(len(values), np.int64)
    logs = _logs(values)
    num_B = np.bincount(owners[references], minlength=num_slates)
    sum_B = np.bincount(owners[references], weights=logs[references], minlength=num_slates)
    ratios = logs - (sum_B / np.maximum(num_B, 1))[owners]
    return np.where(num_B[owners] > 0, _ratio_steps(ratios) + 1, 0)


def lowest_above(values: Floats32, positions: Ints, sizes: Ints) -> Ints:
    """Bin the log-ratio to the lowest value shown above the item; 0 for the first, 19 for NaN.

    Whoever reads down a list stops at a bargain: an item is judged by what was seen before it.

    Args:
        values: float32[M].
        positions: int64[M], from 1.
        sizes: int64[B]; those of the slates that were shown come first.

    >>> prices, positions = np.array([80.0, 40.0, 80.0], np.float32), np.array([1, 2, 3])
    >>> lowest_above(prices, positions, np.array([3])).tolist()
    [0, 5, 14]
    """
    logs = _logs(values)
    above = np.full(len(values), np.inf)
    start = 0
    for size in sizes.tolist():
        if start == len(values):
            break
        order = start + positions[start : start + size].argsort(kind="stable")
        # fmin passes NaN over.
        above[order[1:]] = np.fmin.accumulate(logs[order])[:-1]
        start += size
    is_first = np.isinf(above)
    return np.where(is_first, 0, _ratio_steps(logs - np.where(is_first, 0.0, above)) + 1)


def _logs(values: Floats32) -> npt.NDArray[np.float64]:
    """Logarithms; NaN of what has none."""
    logs: npt.NDArray[np.float64] = np.log(np.where(values > 0, values, np.nan).astype(np.float64))
    return logs


def _ratio_steps(ratios: npt.NDArray[np.float64]) -> Ints:
    bins: Ints = steps(ratios[None], step=_STEP, low=_LOW, num_bins=_NUM_BINS)[0]
    return bins

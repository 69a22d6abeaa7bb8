"""How a number becomes a bin: the integer features are one-hot, so every value is put in one.

All functions are vectorised, pure and total: a missing value (NaN, or -1 for whole numbers) has a
bin of its own, the last.
"""

from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Scalar = str | float | bool | None

NUM_PERCENTILES: Final = 10


def log_bins(values: Ints, num_bins: int) -> Ints:
    """Bin whole numbers by their magnitude: 0, 1, 2 to 3, 4 to 7 …; the last of `num_bins` is open.

    >>> log_bins(np.array([0, 1, 2, 3, 4, 1000]), 4).tolist()
    [0, 1, 2, 2, 3, 3]
    """
    # frexp is exact where log2 may round up just below a power of two.
    return np.minimum(np.frexp(values.astype(np.float64))[1], num_bins - 1).astype(np.int64)


def steps(values: Floats, *, step: Floats, low: Floats, num_bins: Ints) -> Ints:
    """Bin rows of real numbers, each row in its own equal steps from `low` up.

    Both ends are open; NaN is bin `num_bins`.

    Args:
        values: [K, N].
        step: [K], the width of a row's bins.
        low: [K], where a row's first bin begins.
        num_bins: [K], of a row, without the one for NaN.

    >>> one = np.ones(1)
    >>> row = np.array([[-9.0, 0.1, 0.6, 99.0, np.nan]])
    >>> steps(row, step=0.5 * one, low=0 * one, num_bins=np.array([4])).tolist()
    [[0, 0, 1, 3, 4]]
    """
    # fmin and fmax pass NaN over, where minimum and maximum would spread it.
    scaled: Floats = np.fmax((values - low[:, None]) / step[:, None], 0.0)
    missing = np.isnan(values)
    scaled = np.where(missing, num_bins[:, None], np.fmin(scaled, num_bins[:, None] - 1))
    bins: Ints = scaled.astype(np.int64)
    return bins


def percentiles(values: Floats) -> Ints:
    """Bin each value of a row by the share of the row's others that are smaller: 0 to 9, NaN is 10.

    Equal values share a bin. A share and not a rank, so that a slate of 20 and 300 candidates
    speak the same language. Rows lie along the last axis.

    >>> percentiles(np.array([[3.0, 1.0, np.nan, 2.0, 1.0]])).tolist()
    [[9, 0, 10, 6, 0]]
    """
    if not values.size:
        return np.empty(values.shape, np.int64)
    missing = np.isnan(values)
    # NaN is sorted behind everything.
    ordered: npt.NDArray[Any] = np.sort(values, axis=-1)
    num_others = np.maximum(values.shape[-1] - missing.sum(axis=-1, keepdims=True) - 1, 1)
    # A value is in bin k at least, if this one of the ordered values is below it.
    places = -(-np.arange(1, NUM_PERCENTILES) * num_others // NUM_PERCENTILES) - 1
    edges = np.take_along_axis(ordered, places, axis=-1)
    bins = np.zeros(values.shape, np.int8)
    for k in range(NUM_PERCENTILES - 1):
        bins += values > edges[..., k : k + 1]
    bins[missing] = NUM_PERCENTILES
    return bins.astype(np.int64)


def bucket(name: str, value: Scalar, num_buckets: int) -> int:
    """Hash a context value into a bucket; a missing one has a bucket like any other."""
    return crc32(f"{name}={value}".encode()) % num_buckets

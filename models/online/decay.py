"""How does a count forget with event time, whatever the order in which events arrive?

A decayed count is one float64, `log2_mass`: the base-2 logarithm of the mass that the count would
have had at time 0 if it grew backwards as it decays forwards,

    log2_mass = log2( sum_e weight_e * 2^(time_e / half_life) ),
    value(now) = 2^(log2_mass - now / half_life).

Additions commute, so late events count as if they had come in time; nothing is touched as time
passes; and counts of one half-life compare by `log2_mass` alone, whatever `now` is. At 2^53 the
resolution for times of today is 1e-9 of a half-life of a minute.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EMPTY = -math.inf
"""The `log2_mass` of a count of nothing."""

# Smaller than half an ulp of any mass that it could be added to, and the guard of exp2 both ways.
_NEGLIGIBLE_LOG2 = -60.0
_MAX_LOG2 = 60.0
_LOG2_E = 1 / math.log(2)


def added(log2_mass: float, weight: float, time_ms: float, half_life_ms: float) -> float:
    """The count after an event of `weight` > 0 at `time_ms`.

    >>> once = added(EMPTY, 1.0, 0, half_life_ms=1000)
    >>> twice = added(once, 1.0, 1000, half_life_ms=1000)
    >>> value(twice, 1000, half_life_ms=1000)  # 1, halved after a second, plus 1
    1.5
    >>> late_first = added(added(EMPTY, 1.0, 1000, 1000), 1.0, 0, 1000)
    >>> late_first == twice
    True
    """
    event = time_ms / half_life_ms
    if weight != 1.0:
        event += math.log2(weight)
    return log2_sum(log2_mass, event)


def log2_sum(a: float, b: float) -> float:
    """log2(2^a + 2^b) without overflow; symmetric."""
    if a < b:
        a, b = b, a
    difference = b - a
    if not difference > _NEGLIGIBLE_LOG2:
        return a
    return a + math.log1p(math.exp2(difference)) * _LOG2_E


def value(log2_mass: float, now_ms: float, half_life_ms: float) -> float:
    """The count at `now_ms`, capped at 2^60."""
    return math.exp2(min(log2_mass - now_ms / half_life_ms, _MAX_LOG2))


def values(
    log2_masses: NDArray[np.float64], now_ms: float | NDArray[np.int64], half_life_ms: float
) -> NDArray[np.float64]:
    """The counts at `now_ms`, capped at 2^60; 0 where nothing was counted.

    Times may be given for each count, in any shape that fits.
    """
    exponents = log2_masses - now_ms / half_life_ms
    return np.exp2(np.minimum(exponents, _MAX_LOG2, out=exponents), out=exponents)

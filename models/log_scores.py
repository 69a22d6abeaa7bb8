"""How well did an order of candidates foresee what was done next?

The log score of the conditional logit by which lists are ordered (Good 1952; Gneiting & Raftery
2007): the logarithm of the chance that the order gave to the item that was acted upon. It is the
loss that the re-ranker learns by, and no other order than the true one scores better on average.
Unlike a rank it moves with every difference between two orders, even one that swaps no items.

A hundredth of the chance is for all items alike: an item that one of two orders did not know
counts against it by at most log(100 N), however sure it was of others.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_UNFORESEEN = 0.01


def log_chances(logits_N: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return float32[N], log p(i is next | one of the N is); what adds up with noise goes in.

    >>> np.exp(log_chances(np.log([1.0, 3.0]))).round(2).tolist()
    [0.25, 0.75]
    """
    shifted = logits_N.astype(np.float64)
    shifted -= shifted.max()
    chances: npt.NDArray[np.float32] = (shifted - np.log(np.exp(shifted).sum())).astype(np.float32)
    return chances


def log_score(log_chance: float, num_items: int) -> float:
    """Return what a chance scores among so many items; -inf for one that was not a candidate.

    >>> round(log_score(math.log(0.25), 100), 2), round(log_score(-math.inf, 100), 2)
    (-1.4, -9.21)
    """
    chance = (1 - _UNFORESEEN) * math.exp(log_chance)
    return math.log(chance + _UNFORESEEN / num_items)

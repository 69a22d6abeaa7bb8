"""How likely does each item of a list stand where it does, where the whole list is drawn?

The draw is Plackett and Luce's of all candidates, with a cap on what is alike: place after place
one of those that the cap still lets in is drawn with odds exp(logit), and what the cap has held
back follows in its own order where the list would otherwise be short. That is
`models.ranking.diversify` of the candidates in the order of logit plus Gumbel noise.
`models.policies.place_chances` asks about all candidates at all places, without a cap; here only
what stands in the list is asked about, which a worker can afford for every list.

Shape letters: N candidates, L places, M groups, C counts of a group, K counts that are told apart,
G points of a grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from models.policies.place_chances import squeezed
from models.ranking import NO_CATEGORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_STEP: Final = 0.25
"""Of the grid in log time; a test holds the chances against those of one half as wide."""
_EARLIEST: Final = -7.0
"""That two items come before e^-7 of the first arrival's mean time has a chance of 4e-7."""
_LATEST: Final = 4.0
"""After e^4 of the last item's mean time it has come."""
_SURE: Final = 32.0
"""The list is full where (expected arrivals - places)^2 is so many times the former: by Chernoff's
bound but for a chance of e^-16."""


class _Arrivals(NamedTuple):
    """Every item arrives by itself, at an exponential time of its rate.

    Attributes:
        absent_NG: Chance that it has not come.
        arrived_NG: Chance that it has.
        density_NG: Of its coming, per step of the grid.
    """

    absent_NG: NDArray[np.float64]
    arrived_NG: NDArray[np.float64]
    density_NG: NDArray[np.float64]


def listed_chances(
    logits: NDArray[np.float64],
    order: NDArray[np.int64],
    categories: NDArray[np.integer],
    cap: int,
    *,
    num_deep: int,
) -> NDArray[np.float64]:
    """Chance of each item of a list at its place, float64[L].

    An item stands at place k if it arrives when k - 1 others have been let in, and fewer than `cap`
    of its category. Items arrive independently, so that at each moment this is a product of chances
    of counts, and its integral over time is exact but for the trapezoid rule, which has five
    digits. Costs about 3 * N * L * G operations with G about 60.

    Args:
        logits: float64[N], log-odds of each candidate.
        order: int64[L], a list that may be drawn, as indices into the candidates.
        categories: Of each candidate; `NO_CATEGORY` is never held back.
        cap: Most items of one category; 0 for no cap.
        num_deep: How many of the best may matter for the last place, at least L.

    >>> no_categories = np.full(3, NO_CATEGORY)
    >>> logits, order = np.log([2.0, 1.0, 1.0]), np.array([1, 0])
    >>> listed_chances(logits, order, no_categories, 0, num_deep=2).round(5).tolist()
    [0.25, 0.33333]
    """
    if len(order) < 2:
        return _odds(logits)[order]
    log_rates = squeezed(logits, num_deep)
    log_rates -= np.logaddexp.reduce(log_rates)
    groups = _groups(categories, cap)
    is_capped = len(groups) < len(logits)
    arrivals = _arrivals(log_rates, len(order), is_capped=is_capped)
    num_let_in = sum(min(len(group), cap) for group in groups) if is_capped else len(order)
    let_in, held = order[:num_let_in], order[num_let_in:]
    chances = _let_in(arrivals, groups, let_in, max(cap, 1))
    # The first arrival needs no integral.
    chances[0] = np.exp(log_rates[order[0]])
    if len(held):
        chances = np.concatenate((chances, _held(arrivals, groups, held, cap)))
    return np.minimum(chances, 1.0)


def _odds(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(initial=-np.inf))
    chances: NDArray[np.float64] = odds / odds.sum()
    return chances


def _groups(categories: NDArray[np.integer], cap: int) -> list[list[int]]:
    """What counts together; what is never held back counts alone."""
    if not cap:
        return [[index] for index in range(len(categories))]
    groups: list[list[int]] = []
    of_category: dict[int, list[int]] = {}
    for index, category in enumerate(categories.tolist()):
        if category in of_category:
            of_category[category].append(index)
            continue
        groups.append([index])
        if category != NO_CATEGORY:
            of_category[category] = groups[-1]
    return groups


def _arrivals(log_rates: NDArray[np.float64], num_places: int, *, is_capped: bool) -> _Arrivals:
    latest = _LATEST - float(log_rates.min())
    if not is_capped:
        latest = _full_at(log_rates, num_places, latest)
    waits_NG = _waits(log_rates[:, None] + np.arange(_EARLIEST, latest, _STEP))
    absent_NG = np.exp(-waits_NG)
    return _Arrivals(absent_NG, 1.0 - absent_NG, _STEP * waits_NG * absent_NG)


def _waits(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    # Who has waited so long has come for certain; more would not be a number.
    waits: NDArray[np.float64] = np.exp(np.minimum(logs, 300.0))
    return waits


def _full_at(log_rates: NDArray[np.float64], num_places: int, latest: float) -> float:
    """The log time at which the list is full for sure."""
    early, late = _EARLIEST, latest
    while late - early > 1.0:
        middle = (early + late) / 2
        expected = float(-np.expm1(-_waits(log_rates + middle)).sum())
        is_full = expected > num_places and (expected - num_places) ** 2 > _SURE * expected
        early, late = (early, middle) if is_full else (middle, late)
    return late


def _let_in(
    arrivals: _Arrivals, groups: Sequence[Sequence[int]], listed: NDArray[np.int64], cap: int
) -> NDArray[np.float64]:
    """Chances of what the cap lets in: of a group the first `cap` count."""
    counts_MCG = _counts(arrivals, groups, cap)
    alike_LCG = _counts(arrivals, _others(groups, listed), cap)[:, :cap]
    return _at_places(arrivals, groups, listed, counts_MCG, alike_LCG)


def _held(
    arrivals: _Arrivals, groups: Sequence[Sequence[int]], listed: NDArray[np.int64], cap: int
) -> NDArray[np.float64]:
    """Chances of what the cap holds back: of a group those after the first `cap` count."""
    most = cap + len(listed)
    counts_MCG = _counts(arrivals, groups, most)[:, cap:]
    counts_MCG[:, 0] = 1.0 - counts_MCG[:, 1:].sum(axis=1)
    alike_LCG = _counts(arrivals, _others(groups, listed), most)[:, cap:]
    return _at_places(arrivals, groups, listed, counts_MCG, alike_LCG)


def _others(groups: Sequence[Sequence[int]], listed: NDArray[np.int64]) -> list[list[int]]:
    group_of = {item: group for group in groups for item in group}
    return [[other for other in group_of[item] if other != item] for item in listed.tolist()]


def _at_places(
    arrivals: _Arrivals,
    groups: Sequence[Sequence[int]],
    listed: NDArray[np.int64],
    counts_MCG: NDArray[np.float64],
    alike_LCG: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Chance of the k-th of `listed` to be the k-th of all that count.

    Args:
        arrivals: Of all items.
        groups: Which count by themselves.
        listed: The items.
        counts_MCG: Chances of how many of a group count.
        alike_LCG: The same of those of its own group that have come before each of `listed`.
    """
    row_of = {item: row for row, group in enumerate(groups) for item in group}
    rows = [row_of[item] for item in listed.tolist()]
    asked = list(dict.fromkeys(rows))
    beside = np.ones(len(groups), np.bool_)
    beside[asked] = False
    before_KG = _total(counts_MCG[beside], len(listed))
    befores, afters = {}, {}
    for row in asked:
        befores[row] = before_KG
        before_KG = _sum_of(before_KG, counts_MCG[row])
    after_KG = np.zeros_like(before_KG)
    after_KG[0] = 1.0
    for row in reversed(asked):
        afters[row] = after_KG
        after_KG = _sum_of(after_KG, counts_MCG[row])
    chances = np.empty(len(listed))
    for place, (item, row) in enumerate(zip(listed.tolist(), rows, strict=True)):
        ahead_G = np.zeros_like(before_KG[0])
        for num, alike_G in enumerate(alike_LCG[place, : place + 1]):
            rest = place - num
            others_KG = befores[row][: rest + 1] * afters[row][rest::-1]
            ahead_G += alike_G * others_KG.sum(axis=0)
        chances[place] = arrivals.density_NG[item] @ ahead_G
    return chances


def _counts(arrivals: _Arrivals, groups: Sequence[Sequence[int]], most: int) -> NDArray[np.float64]:
    """Chance of how many of each group have come, float64[M, C]; the last says `most` or more."""
    counts_MCG = np.zeros((len(groups), most + 1, arrivals.absent_NG.shape[1]))
    counts_MCG[:, 0] = 1.0
    by_size = sorted(range(len(groups)), key=lambda row: -len(groups[row]))
    for place in range(len(groups[by_size[0]])):
        rows = [row for row in by_size if len(groups[row]) > place]
        items = [groups[row][place] for row in rows]
        counts = counts_MCG[rows]
        more = counts * arrivals.arrived_NG[items][:, None]
        counts *= arrivals.absent_NG[items][:, None]
        counts[:, 1:] += more[:, :-1]
        counts[:, -1] += more[:, -1]
        counts_MCG[rows] = counts
    return counts_MCG


def _total(counts_MCG: NDArray[np.float64], num: int) -> NDArray[np.float64]:
    """Chances of the sum of independent counts, as far as it is below `num`, float64[K, G]."""
    if not len(counts_MCG):
        counts_MCG = np.zeros((1, 1, counts_MCG.shape[2]))
        counts_MCG[0, 0] = 1.0
    while len(counts_MCG) > 1:
        if len(counts_MCG) % 2:
            nothing = np.zeros_like(counts_MCG[:1])
            nothing[:, 0] = 1.0
            counts_MCG = np.concatenate((counts_MCG, nothing))
        counts_MCG = _sums_of(counts_MCG[::2], counts_MCG[1::2], num)
    (total_CG,) = counts_MCG
    total_KG = np.zeros((num, total_CG.shape[1]))
    total_KG[: len(total_CG)] = total_CG[:num]
    return total_KG


def _sums_of(
    one_MCG: NDArray[np.float64], other_MCG: NDArray[np.float64], num: int
) -> NDArray[np.float64]:
    """The same of pairs of counts."""
    num_rows, size, num_points = one_MCG.shape
    sums_MKG = np.zeros((num_rows, min(2 * size - 1, num), num_points))
    for count in range(min(size, num)):
        part = one_MCG[:, : sums_MKG.shape[1] - count]
        sums_MKG[:, count : count + part.shape[1]] += part * other_MCG[:, count : count + 1]
    return sums_MKG


def _sum_of(total_KG: NDArray[np.float64], counts_CG: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of a total and one more count."""
    sum_KG: NDArray[np.float64] = total_KG * counts_CG[0]
    for count, chance_G in enumerate(counts_CG[1 : len(total_KG)], start=1):
        sum_KG[count:] += total_KG[:-count] * chance_G
    return sum_KG

"""What do runs look like? The figures with their intervals, their course, and their age.

Drawn as SVG, the same bytes for the same runs.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from streams.evaluation.comparison import Comparison, Contestant, Interval, held_back
from streams.evaluation.outcomes import LIST, float32, int16, int32
from streams.evaluation.result import Delayed, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_WINDOWS: Final = 24
_BARS: Final = {True: ("served HR@20", "served MRR@20"), False: ("NE", "MRR")}


def picture(runs: Mapping[str, Result], comparison: Comparison) -> bytes:
    """Return the picture of one run, or of several side by side, as SVG.

    Args:
        runs: By name.
        comparison: Of them.
    """
    rows = [(True, comparison.lists), (False, comparison.clicks)]
    rows = [(is_list, contestants) for is_list, contestants in rows if contestants]
    tallest = max(len(contestants) for _, contestants in rows)
    figure = Figure(figsize=(12, len(rows) * (2.2 + 0.28 * tallest)), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for (is_list, contestants), (left, middle, right) in zip(rows, axes, strict=True):
        for axis, metric in zip((left, middle), _BARS[is_list], strict=True):
            _bars(axis, metric, contestants, with_names=axis is left)
        _course(right, runs, is_list=is_list)
    return _svg(figure)


def _svg(figure: Figure) -> bytes:
    drawn = io.StringIO()
    # Without them, names within the file and its date would differ from run to run.
    with mpl.rc_context({"svg.hashsalt": "headrace"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue().encode()


def freshness_picture(result: Result) -> bytes:
    """Return what lists are worth by the age of each part of what is known, as SVG.

    Args:
        result: Of a run with `evaluation.delays_s`, and at least one evaluated action.
    """
    asked, *others = held_back(result)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    late = sorted(zip(result.delayed, others, strict=True), key=lambda one: _age_s(one[0]))
    ages = list(dict.fromkeys(known.delay_s for known, _ in late))
    for axis, metric in zip(figure.subplots(1, 2), ("HR@20", "MRR@20"), strict=True):
        for part in dict.fromkeys(known.part for known in result.delayed):
            found = [one.figures[metric] for known, one in late if known.part == part]
            _line(axis, part, [asked.figures[metric], *found])
        axis.set_xticks(range(len(ages) + 1), ["now", *map(_age, ages)])
        axis.set_title(f"asked {metric}", fontsize=10)
        axis.set_xlabel("what is known of this part is older by", fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return _svg(figure)


def _line(axis: Axes, label: str, found: Sequence[Interval]) -> None:
    values = np.array([one.value for one in found])
    errors = [values - [one.low for one in found], [one.high for one in found] - values]
    axis.errorbar(
        range(len(found)),
        values,
        yerr=np.maximum(errors, 0),
        marker="o",
        markersize=4,
        capsize=2,
        label=label,
    )


def _age_s(known: Delayed) -> float:
    return math.inf if known.delay_s is None else known.delay_s


def _age(delay_s: float | None) -> str:
    """Return how a delay is written on an axis.

    >>> _age(600.0), _age(5400.0), _age(45.0), _age(None)
    ('10 min', '1.5 h', '45 s', 'never renewed')
    """
    if delay_s is None:
        return "never renewed"
    scales = ((3600, "h"), (60, "min"), (1, "s"))
    size_s, unit = next(((size, unit) for size, unit in scales if delay_s >= size), (1, "s"))
    return f"{delay_s / size_s:g} {unit}"


def _bars(axis: Axes, metric: str, contestants: Sequence[Contestant], *, with_names: bool) -> None:
    """A dot with its interval for each, the first on top."""
    figures = [one.figures[metric] for one in contestants]
    values = np.array([one.value for one in figures])
    errors = [
        values - np.array([one.low for one in figures]),
        np.array([one.high for one in figures]) - values,
    ]
    places = np.arange(len(figures))[::-1]
    axis.errorbar(values, places, xerr=np.maximum(errors, 0), fmt="o", markersize=4, capsize=2)
    labels = [one.label for one in contestants] if with_names else [""] * len(figures)
    axis.set_yticks(places, labels)
    axis.set_ylim(-0.7, len(figures) - 0.3)
    axis.set_title(metric, fontsize=10)
    axis.grid(axis="x", alpha=0.3)


def _course(axis: Axes, runs: Mapping[str, Result], *, is_list: bool) -> None:
    """The headline figure over the log, in windows of as many events each."""
    for name, result in runs.items():
        if is_list:
            actions = result.outcomes.actions
            places = int16(actions.served[LIST])
            events, gains = int32(actions.event), ((places > 0) & (places <= 20)).astype(np.float64)
            weights = np.ones(len(gains))
        else:
            slates = result.outcomes.slates
            events, gains = int32(slates.event), float32(slates.logloss).astype(np.float64)
            weights = int32(slates.items).astype(np.float64)
        parts = np.array_split(np.argsort(events, kind="stable"), min(_NUM_WINDOWS, len(events)))
        axis.plot(
            [float(events[part].mean()) for part in parts],
            [float(gains[part].sum() / weights[part].sum()) for part in parts],
            marker=".",
            label=name,
        )
    figure = "served HR@20" if is_list else "log loss"
    axis.set_title(f"{figure} along the log", fontsize=10)
    axis.set_xlabel("event of the file", fontsize=9)
    axis.grid(alpha=0.3)
    if len(runs) > 1:
        axis.legend(fontsize=8)

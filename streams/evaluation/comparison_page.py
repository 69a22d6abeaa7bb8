"""How is a comparison read? As one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from streams.evaluation.comparison import (
    CLICK_METRICS,
    CONFIDENCE,
    LIST_METRICS,
    NUM_RESAMPLES,
    Comparison,
    Contestant,
    Interval,
)
from streams.evaluation.result import Result

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .2rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left }
tr:nth-child(even) { background: #f4f4f4 }
small { color: #666; white-space: nowrap }
.differs { font-weight: bold }
svg { max-width: 100%; height: auto }
"""


def page(runs: Mapping[str, Result], comparison: Comparison, svg: bytes) -> str:
    """Return the page.

    Args:
        runs: By name.
        comparison: Of them.
        svg: Their picture.
    """
    drawing = svg.decode()
    drawing = drawing[drawing.index("<svg") :]
    first = next(iter(runs.values()))
    parts = [
        f"<h1>{escape(', '.join(runs))}</h1>",
        _introduction(first.file, comparison),
        drawing,
    ]
    if comparison.lists:
        parts += ["<h2>Next item</h2>", *_tables(comparison.lists, LIST_METRICS)]
    if comparison.clicks:
        parts += ["<h2>p(click)</h2>", *_tables(comparison.clicks, CLICK_METRICS)]
    parts += ["<h2>Runs</h2>", _runs(runs)]
    title = escape(f"Headrace: {', '.join(runs)}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _introduction(file: str, comparison: Comparison) -> str:
    return (
        f"<p>Over {escape(file)}: {comparison.num_actions:,} actions and "
        f"{comparison.num_slates:,} slates that all runs evaluated. Below each figure its "
        f"{CONFIDENCE:.0%} interval, from {NUM_RESAMPLES:,} bootstrap samples of users. "
        "Differences are to the first line, on the same events; those whose interval does not "
        "hold 0 are bold.</p>"
    )


def _tables(contestants: Sequence[Contestant], metrics: Sequence[str]) -> list[str]:
    tables = [_table([(one.label, one.figures) for one in contestants], metrics, sign="")]
    if others := [(one.label, one.differences) for one in contestants if one.differences]:
        tables += ["<h3>Differences</h3>", _table(others, metrics, sign="+")]
    return tables


def _table(
    rows: Sequence[tuple[str, Mapping[str, Interval]]], metrics: Sequence[str], *, sign: str
) -> str:
    head = "".join(f"<th>{escape(metric)}</th>" for metric in metrics)
    body = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(_cell(figures[metric], sign) for metric in metrics)
        + "</tr>"
        for label, figures in rows
    )
    return f"<table><tr><th></th>{head}</tr>{body}</table>"


def _cell(figure: Interval, sign: str) -> str:
    differs = bool(sign) and not figure.low <= 0 <= figure.high
    shown = f"{figure.value:{sign}.4f}<br><small>{figure.low:{sign}.4f} … {figure.high:{sign}.4f}"
    return f"<td{' class=differs' if differs else ''}>{shown}</small></td>"


def _runs(runs: Mapping[str, Result]) -> str:
    names = ("", "configuration", "settings", "catalogue", "CPU s", "MB")
    head = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
    body = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(result.configuration)}</td>"
        f"<td>{escape(' '.join(result.overrides)) or 'none'}</td>"
        f"<td>{(result.items_digest or 'none')[:8]}</td><td>{result.cost.cpu_s:.0f}</td>"
        f"<td>{result.cost.peak_rss_mb:.0f}</td></tr>"
        for name, result in runs.items()
    )
    return f"<table>{head}{body}</table>"

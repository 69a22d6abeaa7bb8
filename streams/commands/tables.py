"""How do figures look in a terminal's tables?"""

from __future__ import annotations


def figure(value: float | None) -> str:
    """Return four decimals, or a dash for what a log cannot give.

    >>> figure(0.25), figure(None)
    ('0.2500', '-')
    """
    return "-" if value is None else f"{value:.4f}"

"""Does the simulated log look like a real one? Marginal figures of two logs, side by side.

Compared are opens (clicks on lists and views found otherwise). The real log keeps sessions of two
or more clicks only, so such sessions alone count for both.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.storefront.events import Action

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from deploy.storefront.events import Event

HOUR_MS = 3_600_000
QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.99)
# Far enough that it is another shopper's, near enough that the same items are in fashion.
_APART = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Opens:
    """Opens of a log in time order: N of each; ids are integer codes."""

    user_N: NDArray[np.int64]
    session_N: NDArray[np.int64]
    item_N: NDArray[np.int64]
    ts_ms_N: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Marginals of a log.

    Attributes:
        num_opens: opens in sessions of two or more.
        num_users: distinct users.
        num_items: distinct items.
        item_gini: Gini coefficient of opens over the items that were opened.
        top_10_share: share of the ten most opened items.
        opens_per_session: mean.
        session_quantiles: of the opens per session, at `QUANTILES`.
        repeat_share: opens of an item that the same user had opened before.
        gap_quantiles_s: seconds between successive opens of a session, at `QUANTILES`.
        pair_lift: how much more often other users open a session's successive items in the same
            succession than they would if the second were anybody's of that moment. It is 1
            where what was opened says nothing about what comes next, and it is what tastes and
            habits were fitted to.
    """

    num_opens: int
    num_users: int
    num_items: int
    item_gini: float
    top_10_share: float
    opens_per_session: float
    session_quantiles: tuple[float, ...]
    repeat_share: float
    gap_quantiles_s: tuple[float, ...]
    pair_lift: float


def opens_of(events: Iterable[Event]) -> Opens:
    """Collect the opens of simulated events."""
    actions = [
        event for event in events if isinstance(event, Action) and event.action in ("click", "view")
    ]
    return Opens(
        user_N=_codes([action.user_id for action in actions]),
        session_N=_codes([action.session_id for action in actions]),
        item_N=_codes([action.item_id for action in actions]),
        ts_ms_N=np.array([action.ts_ms for action in actions], dtype=np.int64),
    )


def read_globo(path: Path, *, from_hour: float = 36.0, num_hours: float = 6.0) -> Opens:
    """Read some hours of the Globo click log.

    Args:
        path: the parquet file.
        from_hour: hours after the log's first click; the default is a morning and a noon.
        num_hours: how many hours to read.

    Raises:
        FileNotFoundError: where the log is absent; it may not be redistributed.
    """
    import polars as pl  # noqa: PLC0415 - only this reader needs it

    names = ("user_id", "session_id", "click_article_id", "click_timestamp")
    table = pl.read_parquet(path, columns=list(names)).sort("click_timestamp", maintain_order=True)
    user, session, item, ts_ms = (table[name].cast(pl.Int64).to_numpy() for name in names)
    begins_ms = ts_ms[0] + from_hour * HOUR_MS
    kept = (ts_ms >= begins_ms) & (ts_ms < begins_ms + num_hours * HOUR_MS)
    return Opens(user_N=user[kept], session_N=session[kept], item_N=item[kept], ts_ms_N=ts_ms[kept])


def measure(opens: Opens) -> Figures:
    """Return the marginals of a log, over its sessions of two or more opens."""
    _, session_N, length_S = np.unique(opens.session_N, return_inverse=True, return_counts=True)
    kept = length_S[session_N] >= 2
    user_N, item_N = opens.user_N[kept], opens.item_N[kept]
    lengths = length_S[length_S >= 2]
    counts = np.sort(np.unique(item_N, return_counts=True)[1])[::-1]
    num_pairs = len(np.unique(np.stack([user_N, item_N]), axis=1).T)
    return Figures(
        num_opens=len(item_N),
        num_users=len(np.unique(user_N)),
        num_items=len(counts),
        item_gini=gini(counts),
        top_10_share=float(counts[:10].sum() / counts.sum()),
        opens_per_session=float(lengths.mean()),
        session_quantiles=_quantiles(lengths),
        repeat_share=1.0 - num_pairs / len(item_N),
        gap_quantiles_s=_quantiles(_gaps_s(session_N[kept], opens.ts_ms_N[kept])),
        pair_lift=pair_lift(user_N.tolist(), session_N[kept].tolist(), item_N.tolist()),
    )


def gini(counts: NDArray[np.int64]) -> float:
    """Return the Gini coefficient of counts: 0 where all are equal, near 1 where one has all.

    >>> gini(np.array([5, 5, 5]))
    0.0
    >>> gini(np.array([0, 0, 0, 9]))
    0.75
    """
    ascending = np.sort(counts)
    num = len(ascending)
    weights = 2 * np.arange(1, num + 1) - num - 1
    return float(weights @ ascending / (num * ascending.sum()))


def pair_lift(users: list[int], sessions: list[int], items: list[int]) -> float:
    """Return the lift of successive items of a session, as `Figures` defines it.

    Args:
        users: who opened, in time order.
        sessions: in which session.
        items: what was opened.

    Returns:
        The mean number of other users with the same succession, over the mean number with the
        succession in which the second item is replaced by one that somebody opened a little later
        (`_APART` opens on); nan where that never occurs.
    """
    last: dict[int, int] = {}
    pairs: list[tuple[int, int, int, int]] = []
    followers: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
    for user, session, item, anybodys in zip(users, sessions, items, items[_APART:], strict=False):
        before = last.get(session)
        if before is not None and before != item:
            pairs.append((user, before, item, anybodys))
            followers[before, item].add(user)
        last[session] = item
    same = [len(followers[before, item]) - 1 for _, before, item, _ in pairs]
    other = [
        len(followers.get((before, anybodys), set()) - {user})
        for user, before, _, anybodys in pairs
        if before != anybodys
    ]
    if not sum(other):
        return float("nan")
    return float(np.mean(same) / np.mean(other))


def find_globo() -> Path | None:
    """Return where the real log lies, `$HEADRACE_DATA` or ../shared/data, or None if absent."""
    folder = Path(os.environ.get("HEADRACE_DATA", "../shared/data"))
    path = folder / "globo_clicks_first4days.parquet"
    return path if path.exists() else None


def table(simulated: Figures, real: Figures | None) -> list[str]:
    """Return lines that show the figures side by side."""
    lines = [f"{'':28}{'simulated':>34}{'Globo, 6 hours':>34}"]
    lefts = _rows(simulated)
    rights = [right for _, right in _rows(real)] if real else ["log absent"] * len(lefts)
    for (name, left), right in zip(lefts, rights, strict=True):
        lines.append(f"{name:28}{left:>34}{right:>34}")
    return lines


def _rows(figures: Figures) -> list[tuple[str, str]]:
    quantiles = "/".join(f"{int(100 * quantile)}" for quantile in QUANTILES)
    return [
        ("opens, users, items", f"{figures.num_opens}, {figures.num_users}, {figures.num_items}"),
        ("Gini of item popularity", f"{figures.item_gini:.3f}"),
        ("share of the ten top items", f"{figures.top_10_share:.3f}"),
        ("opens per session, mean", f"{figures.opens_per_session:.2f}"),
        (f"  quantiles {quantiles}", " ".join(f"{x:.0f}" for x in figures.session_quantiles)),
        ("repeated opens", f"{figures.repeat_share:.3f}"),
        (f"gap s, {quantiles}", " ".join(f"{x:.0f}" for x in figures.gap_quantiles_s)),
        ("lift of successive items", f"{figures.pair_lift:.2f}"),
    ]


def _gaps_s(session_N: NDArray[np.int64], ts_ms_N: NDArray[np.int64]) -> NDArray[np.float64]:
    order = np.lexsort((ts_ms_N, session_N))
    gaps_ms = np.diff(ts_ms_N[order])
    same = np.diff(session_N[order]) == 0
    return np.asarray(gaps_ms[same] / 1_000.0)


def _quantiles(values: NDArray[np.float64] | NDArray[np.int64]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))


def _codes(ids: list[str]) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.array(ids), return_inverse=True)[1], dtype=np.int64)

"""How does the demo look on a terminal, while it runs and at its end?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.demo.reader import READER, Change

if TYPE_CHECKING:
    from deploy.storefront.simulate import Outcome, Progress
    from streams.role_figures import Figures

_SHOWN: Final = 8
_PHASES: Final = {
    "backfill": "replaying six hours, as fast as they are digested",
    "waiting": "waiting for the first transformer",
    "live": "live: half of the shoppers see Headrace's lists",
}


class Screen:
    """The live picture; rich renders it four times a second."""

    def __init__(self, console: Console) -> None:
        """Show on `console`."""
        self.console = console
        self._picture: Group | Text = Text("starting")

    def show(self, progress: Progress, now: Figures, since: Figures, change: Change | None) -> None:
        """Renew the picture.

        Args:
            progress: Of the storefront.
            now: The roles' metrics.
            since: What was counted in the last second.
            change: One reader's list around a click, once there is one.
        """
        table = Table.grid(padding=(0, 2))
        for name, value in [*_stream_rows(progress, now, since), *_ctr_rows(progress)]:
            table.add_row(name, value)
        bar = ProgressBar(total=1.0, completed=progress.fraction, width=40)
        parts: list[RenderableType] = [Text(_PHASES[progress.phase], style="bold"), bar, table]
        if change is not None:
            parts.append(change_table(change))
        self._picture = Group(*parts)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render what was last shown."""
        yield self._picture


def change_table(change: Change) -> Table:
    """Return one reader's list before and after a click, side by side."""
    table = Table(
        title=f"{READER}: the list before and after a click on {change.clicked}",
        caption=f"readable {change.waited_ms:.0f} ms after Kafka had acknowledged the click",
    )
    for name in ("#", "before", "after", "why"):
        table.add_column(name)
    old = {item.item_id: item.position for item in change.before.items}
    for before, after in list(zip(change.before.items, change.after.items, strict=False))[:_SHOWN]:
        why = after.source if after.reason is None else f"{after.source}: after {after.reason}"
        moved = "new" if after.item_id not in old else f"was {old[after.item_id]}"
        cells = (str(after.position), before.item_id, f"{after.item_id} ({moved})", why)
        table.add_row(*map(Text, cells))
    return table


def summary(outcome: Outcome, live: Figures, now: Figures, change: Change | None) -> Group:
    """Return what the run came to.

    Args:
        outcome: Of the storefront.
        live: What the roles counted while it was live.
        now: Their metrics at the end.
        change: One reader's list around a click.
    """
    table = Table.grid(padding=(0, 2))
    for name, value in _quality_rows(live, now):
        table.add_row(name, value)
    parts: list[RenderableType] = [Text("Summary of the live phase", style="bold"), table]
    if change is not None:
        parts.append(change_table(change))
    return Group(*parts, Text("\n".join(outcome.lines())))


def _stream_rows(progress: Progress, now: Figures, since: Figures) -> list[tuple[str, str]]:
    return [
        ("events sent", f"{progress.num_events:,}"),
        ("events/s", f"{since.total('recsys_events_total', topic='events'):,.0f}"),
        ("waiting", f"{now.total('recsys_consumer_lag_records', topic='events'):,.0f} events"),
        ("freshness", _freshness(since)),
        *_quality_rows(now, now)[1:],
    ]


def _quality_rows(counted: Figures, now: Figures) -> list[tuple[str, str]]:
    bundles = now.labels("recsys_model_info", "digest")
    return [
        ("freshness", _freshness(counted)),
        ("events", f"{counted.total('recsys_events_total', topic='events'):,.0f}"),
        ("lists", f"{counted.total('recsys_recommendations_total', outcome='ok'):,.0f}"),
        ("p(click)", _click_quality(counted)),
        ("transformer", ", ".join(digest[:8] for digest in bundles) or "none yet"),
    ]


def _freshness(counted: Figures) -> str:
    median_s, tail_s = (
        counted.quantile("recsys_freshness_seconds", share, path="user") for share in (0.5, 0.99)
    )
    if math.isnan(median_s):
        return "-"
    return f"p50 {median_s * 1000:.0f} ms, p99 {tail_s * 1000:.0f} ms"


def _click_quality(counted: Figures) -> str:
    shown = counted.total("recsys_ctr_predictions_total")
    clicked = counted.total("recsys_ctr_observed_clicks_total")
    if not 0 < clicked < shown:
        return "-"
    rate = clicked / shown
    entropy = -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))
    ne = counted.total("recsys_ctr_logloss_nats_total") / shown / entropy
    calibration = counted.total("recsys_ctr_predicted_clicks_total") / clicked
    return f"normalised entropy {ne:.3f}, calibration {calibration:.2f}"


def _ctr_rows(progress: Progress) -> list[tuple[str, str]]:
    if progress.report is None:
        return []
    report = progress.report
    return [
        ("CTR, popularity", str(report.control)),
        ("CTR, Headrace", str(report.treated)),
        ("gap closed", str(report.gap_closed_paired)),
    ]

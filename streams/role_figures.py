"""What do the roles' own metrics say right now? Read from their ports, without Prometheus."""

from __future__ import annotations

import math
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S: Final = 2.0

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading of one or more roles; series of the same name and labels are added up.

    Differences of two readings (`later - earlier`) turn counters into what happened in between.
    """

    series: Mapping[tuple[str, Labels], float]

    def __sub__(self, earlier: Figures) -> Figures:
        """Return what was counted between two readings; gauges make no sense in it."""
        return Figures(
            {key: value - earlier.series.get(key, 0.0) for key, value in self.series.items()}
        )

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series that carry all these labels; 0 for none."""
        return sum(value for _, value in self._of(name, labels))

    def labels(self, name: str, label: str) -> list[str]:
        """Return a label's values over the series of a metric that are above 0."""
        return sorted(
            {
                dict(own)[label]
                for own, value in self._of(name, {})
                if value > 0 and label in dict(own)
            }
        )

    def quantile(self, name: str, share: float, **labels: str) -> float:
        """Return a quantile of a histogram, interpolated in its bucket; nan without observations.

        >>> buckets = {0.1: 50.0, 0.2: 100.0, math.inf: 100.0}
        >>> series = {("h_bucket", frozenset({("le", str(le))})): n for le, n in buckets.items()}
        >>> round(Figures(series).quantile("h", 0.75), 3)
        0.15
        """
        counts: dict[float, float] = defaultdict(float)
        for own, value in self._of(f"{name}_bucket", labels):
            counts[float(dict(own)["le"])] += value
        return _interpolated(sorted(counts.items()), share)

    def _of(self, name: str, labels: Mapping[str, str]) -> Iterable[tuple[Labels, float]]:
        wanted = labels.items()
        return (
            (own, value)
            for (series, own), value in self.series.items()
            if series == name and wanted <= own
        )


def read_figures(addresses: Iterable[str]) -> Figures:
    """Read the metrics of roles; one that does not answer adds nothing.

    Args:
        addresses: `host:port` of each role's metrics.
    """
    series: dict[tuple[str, Labels], float] = defaultdict(float)
    for address in addresses:
        for family in text_string_to_metric_families(_page(address)):
            for sample in family.samples:
                series[sample.name, frozenset(sample.labels.items())] += sample.value
    return Figures(dict(series))


def _page(address: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=_TIMEOUT_S) as response:
            page: bytes = response.read()
    except (urllib.error.URLError, OSError):
        return ""
    return page.decode()


def _interpolated(buckets: list[tuple[float, float]], share: float) -> float:
    if not buckets or buckets[-1][1] <= 0:
        return math.nan
    wanted = share * buckets[-1][1]
    lower_edge, below = 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted:
            if math.isinf(edge):
                return lower_edge
            return lower_edge + (edge - lower_edge) * (wanted - below) / max(count - below, 1e-12)
        lower_edge, below = edge, count
    return lower_edge

"""How is a metric with labels used cheaply, and kept to labels that are closed enums?

Looking a child up in prometheus-client takes a lock and 1.7 µs; `Labelled` keeps the children in a
dictionary. A label value outside its domain is refused when its child is first asked for, so that
no user, item or exception text can ever become a series.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar, get_args

import numpy as np
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from featurestore.events import RefusalReason
from featurestore.fold import Outcome
from featurestore.lists import ListOrder
from models.online.sources import FACTORS
from models.online.tables import DeltaOutcome
from models.rankers.ranker_bundle import RANKER_PREFIX
from models.rankers.registry import SERVABLE_RANKERS
from models.recommender import KIND_PREFIX
from models.registry import SERVABLE
from streams.announcements import Decision, Role
from streams.join_outcome import JoinOutcome

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

PREFIX: Final = "recsys"

COUNTING_SOURCES: Final = ("covisitation", "trending", "fresh")
"""Recall sources of the seconds clock, as lists, configuration and metrics name them; beside them
stands `FACTORS`, where it is configured."""

EXTRA_SOURCES: Final = ("transformer", *SERVABLE)
"""Those that a bundle brings."""

MODEL_KINDS: Final = (
    "online",
    "transformer",
    *(KIND_PREFIX + name for name in SERVABLE),
    *(RANKER_PREFIX + name for name in SERVABLE_RANKERS),
)

CALIBRATION_EDGES: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Upper edges of the calibration bins; a bin's label is its upper edge."""

LABEL_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "topic": frozenset({"events", "items", "examples", "models", "dead_letters"}),
    "event_type": frozenset({"impression", "action", "visit", "item", "unknown"}),
    "outcome": frozenset(
        {"invalid", *map(str, Outcome)}
        | {"fallback", "empty", "error"}
        | {outcome.value for outcome in JoinOutcome}
        | {outcome.value for outcome in DeltaOutcome}
        | {"refused"}
        | {"promoted", "rejected", "failed", "skipped"}
    ),
    "reason": frozenset({*map(str, RefusalReason), "lost_quality", "operator"}),
    "stage": frozenset(
        {"decode", "load", "fold", "encode", "features", "recall", "rank", "list", "rows"}
        | {"log", "write", "challenge"}
    ),
    "path": frozenset({"user", "online", "deep"}),
    "agent": frozenset({"worker", "learner", "trainer", "replica", "items", "models"}),
    "error": frozenset({"redis", "kafka", "fenced", "checkpoint", "refused", "internal"}),
    "source": frozenset({*COUNTING_SOURCES, FACTORS, *EXTRA_SOURCES, "none"}),
    "command": frozenset(
        {"checkpoint", "load", "commit", "base", "delta", "deltas", "shared", "list"}
    ),
    "kind": frozenset(MODEL_KINDS),
    "metric": frozenset({"hr", "ndcg", "mrr", "logloss", "auc"}),
    "decision": frozenset({"promote", "keep", "undecided", *map(str, Decision)}),
    "order": frozenset(get_args(ListOrder)),
    "role": frozenset(map(str, Role)),
    "phase": frozenset({"read", "fit", "evaluate", "export"}),
    "bin": frozenset(map(str, CALIBRATION_EDGES)),
}
"""What each label may say; `partition` is a number, and an `_info` metric names its versions."""

_OPEN: Final = frozenset({"version", "digest"})

M = TypeVar("M", Counter, Gauge, Histogram)


class Labelled(Generic[M]):
    """A metric with labels, whose children are looked up once."""

    __slots__ = ("_children", "_metric", "_names")

    def __init__(self, metric: M, names: tuple[str, ...]) -> None:
        self._metric: M = metric
        self._names = names
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *values: str) -> M:
        """Return the child with these label values, in the order of the labels.

        Raises:
            ValueError: A value is outside its label's closed domain.
        """
        child = self._children.get(values)
        return self._new_child(values) if child is None else child

    def clear(self, *first: str) -> None:
        """Forget the children whose label values begin so; without values, all.

        For an `_info` metric, or partitions that were taken away.
        """
        for values in [one for one in self._children if one[: len(first)] == first]:
            del self._children[values]
            self._metric.remove(*values)

    def _new_child(self, values: tuple[str, ...]) -> M:
        for name, value in zip(self._names, values, strict=True):
            if not _may_be(name, value):
                expected = ", ".join(sorted(LABEL_VALUES.get(name, {"a number"})))
                raise ValueError(f"label {name}: found {value!r}, expected one of {expected}")
        child: M = self._metric.labels(*values)
        self._children[values] = child
        return child


def observe_many(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe all values at once: a tenth of the cost of `observe` for each.

    It reaches into prometheus-client, which has no such method; a test holds both ways equal.
    """
    if not values:
        return
    places = np.searchsorted(histogram._upper_bounds, values)  # noqa: SLF001
    for bucket, number in enumerate(np.bincount(places).tolist()):
        if number:
            histogram._buckets[bucket].inc(number)  # noqa: SLF001
    histogram._sum.inc(float(np.sum(values)))  # noqa: SLF001


class Families:
    """Makes metrics under our prefix on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, help_text: str) -> Counter:
        """A counter without labels; its name ends in `_total`."""
        return Counter(name, help_text, namespace=PREFIX, registry=self._registry)

    def gauge(self, name: str, help_text: str) -> Gauge:
        """A gauge without labels."""
        return Gauge(name, help_text, namespace=PREFIX, registry=self._registry)

    def histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        """A histogram without labels."""
        return Histogram(
            name, help_text, namespace=PREFIX, registry=self._registry, buckets=buckets
        )

    def counters(self, name: str, help_text: str, *labels: str) -> Labelled[Counter]:
        """A counter with labels."""
        made = Counter(name, help_text, labels, namespace=PREFIX, registry=self._registry)
        return Labelled(made, labels)

    def gauges(self, name: str, help_text: str, *labels: str) -> Labelled[Gauge]:
        """A gauge with labels."""
        made = Gauge(name, help_text, labels, namespace=PREFIX, registry=self._registry)
        return Labelled(made, labels)

    def histograms(
        self, name: str, help_text: str, *labels: str, buckets: tuple[float, ...]
    ) -> Labelled[Histogram]:
        """A histogram with labels."""
        made = Histogram(
            name, help_text, labels, namespace=PREFIX, registry=self._registry, buckets=buckets
        )
        return Labelled(made, labels)


def new_registry() -> CollectorRegistry:
    """Return an empty registry; `_created` series, which nobody queries, are switched off."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # theirs
    return CollectorRegistry(auto_describe=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsServer:
    """A running `/metrics` endpoint."""

    port: int
    _server: WSGIServer
    _thread: threading.Thread

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(
    registry: CollectorRegistry,
    port: int,
    address: str = "0.0.0.0",  # noqa: S104  # scraped from outside
) -> MetricsServer:
    """Serve `registry` from a thread of its own, so that a busy event loop cannot hide itself.

    Args:
        registry: What is served.
        port: Port to listen on; 0 takes a free one.
        address: Interface to listen on.

    Raises:
        OSError: The port is taken; the message names it.
    """
    try:
        server, thread = prometheus_client.start_http_server(port, address, registry)
    except OSError as error:
        raise OSError(
            error.errno, f"metrics port {port} is taken ({error.strerror}); configure another one"
        ) from error
    return MetricsServer(port=server.server_port, _server=server, _thread=thread)


def _may_be(name: str, value: str) -> bool:
    if name == "partition":
        return value.isdigit()
    return name in _OPEN or value in LABEL_VALUES[name]

"""Roles' metrics, read from their ports and added up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.stack.ports import LOOPBACK, free_port
from streams.metrics import WorkerMetrics, serve_metrics
from streams.role_figures import read_figures


@pytest.fixture
def workers() -> list[WorkerMetrics]:
    return [WorkerMetrics(), WorkerMetrics()]


@pytest.fixture
def addresses(workers: list[WorkerMetrics]) -> Iterator[list[str]]:
    with ExitStack() as stack:
        ports = []
        for metrics in workers:
            server = serve_metrics(metrics.registry, 0, LOOPBACK)
            stack.callback(server.close)
            ports.append(f"{LOOPBACK}:{server.port}")
        yield ports


def test_the_series_of_all_roles_are_added_up(
    workers: list[WorkerMetrics], addresses: list[str]
) -> None:
    for number, metrics in enumerate(workers, start=1):
        metrics.ingest.events.of("events", "action", "ok").inc(number)
        metrics.ingest.events.of("events", "visit", "ok").inc(10)
    figures = read_figures(addresses)

    assert figures.total("recsys_events_total", event_type="action") == 3
    assert figures.total("recsys_events_total", topic="events", outcome="ok") == 23
    assert figures.total("recsys_events_total", topic="items") == 0
    assert figures.total("no_such_metric") == 0


def test_a_role_that_does_not_answer_adds_nothing(
    workers: list[WorkerMetrics], addresses: list[str]
) -> None:
    workers[0].consumer.rebalances.inc()

    assert read_figures([f"{LOOPBACK}:{free_port()}"]).series == {}
    figures = read_figures([*addresses, f"{LOOPBACK}:{free_port()}"])
    assert figures.total("recsys_rebalances_total") == 1


def test_a_difference_is_what_happened_in_between(
    workers: list[WorkerMetrics], addresses: list[str]
) -> None:
    events = workers[0].ingest.events
    events.of("events", "action", "ok").inc(5)
    before = read_figures(addresses)
    events.of("events", "action", "ok").inc(2)
    events.of("events", "visit", "ok").inc(1)
    since = read_figures(addresses) - before

    assert since.total("recsys_events_total") == 3
    assert since.total("recsys_events_total", event_type="visit") == 1


def test_quantiles_of_a_histogram_come_from_the_buckets_of_all_roles(
    workers: list[WorkerMetrics], addresses: list[str]
) -> None:
    for _ in range(50):
        workers[0].freshness.freshness.of("user").observe(0.015)
        workers[1].freshness.freshness.of("user").observe(0.6)
    workers[0].freshness.freshness.of("online").observe(200)
    figures = read_figures(addresses)

    name = "recsys_freshness_seconds"
    assert figures.quantile(name, 0.25, path="user") == pytest.approx(0.015)
    assert figures.quantile(name, 0.75, path="user") == pytest.approx(0.75)
    assert figures.quantile(name, 0.5, path="online") == pytest.approx(180)
    assert math.isnan(figures.quantile(name, 0.5, path="deep"))


def test_a_quantile_beyond_the_last_bucket_is_its_edge(
    workers: list[WorkerMetrics], addresses: list[str]
) -> None:
    workers[0].freshness.freshness.of("user").observe(10_000)

    assert read_figures(addresses).quantile("recsys_freshness_seconds", 0.5, path="user") == 300


def test_labels_of_series_above_zero_are_listed(
    workers: list[WorkerMetrics], addresses: list[str]
) -> None:
    workers[0].models.info.of("transformer", "1", "aaaa").set(1)
    workers[1].models.info.of("transformer", "2", "bbbb").set(1)
    workers[1].models.info.of("transformer", "0", "cccc").set(0)
    figures = read_figures(addresses)

    assert figures.labels("recsys_model_info", "digest") == ["aaaa", "bbbb"]
    assert figures.labels("recsys_model_info", "no such label") == []

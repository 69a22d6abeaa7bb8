"""Metrics: the catalogue, closed labels, the endpoint."""

import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from featurestore.fold import Outcome
from models.online.tables import DeltaOutcome
from streams.join_outcome import JoinOutcome
from streams.metric_families import LABEL_VALUES, Labelled, observe_many
from streams.metrics import LearnerMetrics, TrainerMetrics, WorkerMetrics, serve_metrics
from streams.trainer.training_round import Trained

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.txt"
ROLES: dict[str, type[WorkerMetrics] | type[LearnerMetrics] | type[TrainerMetrics]] = {
    "worker": WorkerMetrics,
    "learner": LearnerMetrics,
    "trainer": TrainerMetrics,
}


def catalogue(registry: CollectorRegistry) -> list[str]:
    wrappers = set(registry._collector_to_names)
    lines = []
    for wrapper in wrappers:
        assert isinstance(wrapper, MetricWrapperBase)
        suffix = "_total" if wrapper._type == "counter" else ""
        labels = ",".join(wrapper._labelnames)
        lines.append(f"{wrapper._type} {wrapper._name}{suffix}{{{labels}}}")
    return sorted(lines)


def test_names_types_and_labels_are_the_published_ones() -> None:
    published = "".join(
        f"[{role}]\n" + "".join(f"{line}\n" for line in catalogue(metrics().registry))
        for role, metrics in ROLES.items()
    )

    assert published == GOLDEN.read_text()


@pytest.mark.parametrize("role", ROLES)
def test_every_label_has_a_closed_domain(role: str) -> None:
    for line in catalogue(ROLES[role]().registry):
        name, _, labels = line.partition("{")
        for label in filter(None, labels.rstrip("}").split(",")):
            is_open = label in {"version", "digest"} and name.endswith("_info")
            assert is_open or label == "partition" or label in LABEL_VALUES, line


def test_every_outcome_that_is_counted_is_in_its_domain() -> None:
    learner, worker = LearnerMetrics(), WorkerMetrics()

    for join in JoinOutcome:
        learner.join.joins.of(join.value)
    for folded in Outcome:
        worker.ingest.events.of("events", "action", folded)
    for delta in DeltaOutcome:
        worker.online.deltas.of(delta.value)
    for trained in Trained:
        TrainerMetrics().training.runs.of(trained.value)


def test_a_value_outside_its_domain_is_refused() -> None:
    metrics = WorkerMetrics()

    with pytest.raises(ValueError, match=r"label outcome: found 'u1'"):
        metrics.ingest.events.of("events", "action", "u1")
    with pytest.raises(ValueError, match=r"label partition: found 'x'"):
        metrics.consumer.lag.of("events", "x")
    assert metrics.registry.get_sample_value("recsys_events_total", {}) is None


def test_children_are_the_same_object_each_time_and_can_be_forgotten() -> None:
    lag = WorkerMetrics().consumer.lag
    assert isinstance(lag, Labelled)
    first = lag.of("events", "3")

    assert lag.of("events", "3") is first
    lag.clear()
    assert lag.of("events", "3") is not first


@pytest.mark.parametrize("threshold", ["0.03", "0.2", "1.0"])
def test_freshness_thresholds_are_bucket_edges(threshold: str) -> None:
    metrics = WorkerMetrics()
    metrics.freshness.freshness.of("user").observe(0.004)

    labels = {"path": "user", "le": threshold}
    name = "recsys_freshness_seconds_bucket"
    assert metrics.registry.get_sample_value(name, labels) == 1.0


def test_the_read_objective_is_a_bucket_edge() -> None:
    metrics = WorkerMetrics()
    metrics.redis.command_duration.of("load").observe(0.02)

    labels = {"command": "load", "le": "0.025"}
    name = "recsys_redis_command_duration_seconds_bucket"
    assert metrics.registry.get_sample_value(name, labels) == 1.0


def test_two_roles_in_one_process_do_not_share_series() -> None:
    first, second = WorkerMetrics(), WorkerMetrics()
    first.consumer.rebalances.inc()

    assert b"recsys_rebalances_total 1.0" in generate_latest(first.registry)
    assert b"recsys_rebalances_total 0.0" in generate_latest(second.registry)


def test_the_endpoint_serves_the_registry_without_created_series() -> None:
    metrics = WorkerMetrics()
    metrics.ingest.events.of("events", "action", "ok").inc(3)
    server = serve_metrics(metrics.registry, 0, "127.0.0.1")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as response:
            text = response.read().decode()
    finally:
        server.close()

    wanted = 'recsys_events_total{event_type="action",outcome="ok",topic="events"} 3.0'
    assert wanted in text
    assert "_created" not in text


def test_a_taken_port_is_named() -> None:
    server = serve_metrics(WorkerMetrics().registry, 0, "127.0.0.1")
    try:
        with pytest.raises(OSError, match=f"metrics port {server.port} is taken"):
            serve_metrics(WorkerMetrics().registry, server.port, "127.0.0.1")
    finally:
        server.close()


def test_observing_many_is_observing_each() -> None:
    one_by_one, at_once = WorkerMetrics(), WorkerMetrics()
    values = [0.0, 0.005, 0.0051, 0.2, 0.2000001, 1.0, 299.0, 300.0, 1e9]
    for value in values:
        one_by_one.freshness.freshness.of("user").observe(value)

    observe_many(at_once.freshness.freshness.of("user"), values)
    observe_many(at_once.freshness.freshness.of("user"), [])

    assert generate_latest(at_once.registry) == generate_latest(one_by_one.registry)

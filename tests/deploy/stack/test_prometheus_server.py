"""A real Prometheus scrapes what the stack tells it to."""

import json
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server

from deploy.stack.environment import StackEnvironment
from deploy.stack.ports import LOOPBACK, free_port
from deploy.stack.prometheus_server import PrometheusServer, find_prometheus
from tests.deploy.stack.test_stack import wait_until


def test_prometheus_off_the_path_is_simply_absent(tmp_path: Path) -> None:
    assert find_prometheus(str(tmp_path)) is None


@pytest.mark.integration
@pytest.mark.slow
def test_targets_are_scraped_under_their_roles(
    stack_environment: StackEnvironment, tmp_path: Path
) -> None:
    program = find_prometheus(stack_environment.path)
    if program is None:
        pytest.skip("no prometheus on PATH")
    registry = CollectorRegistry()
    Counter("events", "…", registry=registry).inc(3)
    port = free_port()
    exporter, thread = start_http_server(port, addr=LOOPBACK, registry=registry)
    prometheus = PrometheusServer(tmp_path, program)
    prometheus.start()
    try:
        prometheus.watch({"worker-1": f"{LOOPBACK}:{port}"})
        wait_until(lambda: samples(prometheus.url, 'events_total{role="worker-1"}') == ["3"])
    finally:
        prometheus.stop()
        exporter.shutdown()
        exporter.server_close()
        thread.join()


def samples(url: str, query: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/api/v1/query?query={quote(query)}") as response:
        found = json.load(response)["data"]["result"]
    return [series["value"][1] for series in found]

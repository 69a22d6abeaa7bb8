"""Do rules and dashboard ask for what is exported, and do the rules fire when they should?"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
from prometheus_client import generate_latest

from deploy.grafana.overview import PANELS
from streams.metric_families import LABEL_VALUES
from streams.metrics import WorkerMetrics

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules.yml"
GOLDEN = ROOT / "tests" / "golden" / "metrics.txt"
OF_PROMETHEUS = {"up": {"job", "instance", "role"}}
"""What Prometheus itself exports, and the labels that a target carries in the stack."""

_LINE = re.compile(r"(counter|gauge|histogram) (\w+)\{([\w,]*)\}")
# An expression is the rest of its line, or, after ">", the lines that are indented further.
_EXPR = re.compile(r"^( +)expr: (?:>\n((?:\1  +.*\n)+)|(.+)\n)", re.MULTILINE)


def catalogue() -> dict[str, set[str]]:
    """Each series that a role exports, with its labels."""
    series = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for kind, name, labels in _LINE.findall(GOLDEN.read_text(encoding="utf-8")):
        own = {label for label in labels.split(",") if label}
        if kind == "histogram":
            series |= {f"{name}_sum": own, f"{name}_count": own, f"{name}_bucket": own | {"le"}}
        else:
            series[name] = own
    return series


RULES_TEXT = RULES.read_text(encoding="utf-8")
RULE_EXPRESSIONS = [found[1] or found[2] for found in _EXPR.findall(RULES_TEXT)]
PANEL_EXPRESSIONS = [
    series.expression.replace("$__rate_interval", "1m")
    for panel in PANELS
    for series in panel.series
]
EXPRESSIONS = [*RULE_EXPRESSIONS, *PANEL_EXPRESSIONS]
RECORDED = set(re.findall(r"record: (\S+)", RULES_TEXT))
SERIES = catalogue()


def selectors(node: object) -> Iterator[promql_parser.VectorSelector]:
    """Every selector below a node of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)
    elif hasattr(node, "expr"):
        yield from selectors(node.expr)


def of_all() -> list[promql_parser.VectorSelector]:
    return [found for text in EXPRESSIONS for found in selectors(promql_parser.parse(text))]


def test_no_expression_was_overlooked() -> None:
    assert len(RULE_EXPRESSIONS) == RULES_TEXT.count("expr:") > 10
    named = set(re.findall(r"recsys_\w+", " ".join(EXPRESSIONS)))
    assert {found.name for found in of_all()} >= named
    assert len(named) > 12


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_series_and_label_that_is_asked_for_is_exported(expression: str) -> None:
    for found in selectors(promql_parser.parse(expression)):
        if found.name in RECORDED:
            continue
        assert found.name in SERIES, f"{found.name} is not in the catalogue"
        for matcher in found.matchers.matchers:
            assert matcher.name in SERIES[found.name], f"{found.name} has no label {matcher.name}"
            if matcher.name in LABEL_VALUES:
                assert matcher.value in LABEL_VALUES[matcher.name], expression


def test_labels_that_are_grouped_by_or_shown_exist() -> None:
    known = {label for labels in SERIES.values() for label in labels} | {"instance", "role"}
    text = " ".join(EXPRESSIONS)
    grouped = re.findall(r"\b(?:by|on|without|ignoring) ?\(([\w, ]*)\)", text)
    legends = [series.legend for panel in PANELS for series in panel.series]
    shown = re.findall(r"\$labels\.(\w+)", RULES_TEXT) + re.findall(
        r"\{\{(\w+)\}\}", " ".join(legends)
    )
    asked = {label.strip() for group in grouped for label in group.split(",") if label.strip()}

    assert asked | set(shown) <= known
    assert {"outcome", "instance", "topic", "partition"} <= asked | set(shown)


def test_every_recorded_series_that_is_used_is_recorded() -> None:
    used = set(re.findall(r"recsys:[\w:]+", " ".join(EXPRESSIONS)))

    assert used == RECORDED


def test_every_alert_has_a_severity_a_summary_and_a_runbook_that_exists() -> None:
    alerts = RULES_TEXT.split("- alert: ")[1:]
    assert len(alerts) > 5
    for alert in alerts:
        assert re.search(r"severity: (page|ticket)\b", alert), alert
        assert "summary: " in alert
        [runbook] = re.findall(r"runbook_url: (\S+)", alert)
        assert (ROOT / runbook).is_file(), runbook


def test_the_objectives_bucket_is_exported_as_the_rules_write_it() -> None:
    metrics = WorkerMetrics()
    metrics.freshness.freshness.of("user").observe(0.5)
    exported = generate_latest(metrics.registry).decode()
    asked = set(
        re.findall(r'recsys_freshness_seconds_bucket\{path="user",le="([^"]+)"\}', RULES_TEXT)
    )

    assert asked == {"1.0"}
    assert 'recsys_freshness_seconds_bucket{le="1.0",path="user"} 1.0' in exported


@pytest.fixture(scope="module")
def promtool() -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH")
    return program


def assert_content(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_the_rules(promtool: str) -> None:
    assert_content([promtool, "check", "rules", str(RULES)], PROMETHEUS)


def test_prometheus_accepts_the_configuration(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    for path in PROMETHEUS.glob("*.yml"):
        shutil.copy(path, tmp_path)

    assert_content([promtool, "check", "config", "prometheus.yml"], tmp_path)


def test_rules_fire_when_they_should_and_only_then(promtool: str, tmp_path: Path) -> None:
    cases = Path(__file__).with_name("rules.test.yml").read_text(encoding="utf-8")
    path = tmp_path / "rules.test.yml"
    path.write_text(cases.replace("RULES", str(RULES)), encoding="utf-8")

    assert_content([promtool, "test", "rules", str(path)], tmp_path)

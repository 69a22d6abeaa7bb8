"""`headrace off-policy`: a table, a RESULT that fits its schema, and faults in one message."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from streams.cli import _headrace
from streams.evaluation.off_policy_result import OffPolicyResult
from streams.evaluation.result_schemas import result_schema
from streams.event_file import write_events
from tests.streams.explored import explored_log


@pytest.fixture
def events(tmp_path: Path) -> Path:
    write_events(tmp_path / "events.jsonl", explored_log(120))
    return tmp_path / "events.jsonl"


def told(*arguments: str) -> Result:
    return CliRunner().invoke(_headrace, ["off-policy", *arguments], terminal_width=200)


def test_policies_are_told_in_a_table_and_a_result(events: Path, tmp_path: Path) -> None:
    out = tmp_path / "RESULT.json"
    done = told(
        *(str(events), "--policy", "uniform", "--policy", "slate", "--candidates", "all"),
        *("--draw", "temperature=0.5", "--clip", "1", "--out", str(out)),
    )
    assert done.exit_code == 0, (done.output, done.exception)
    value = json.loads(out.read_bytes())
    jsonschema.Draft202012Validator(result_schema(OffPolicyResult)).validate(value)
    assert set(value["policies"]) == {"uniform", "slate"}
    assert set(value["policies"]["slate"]["estimates"]) == {"ips", "snips", "dr"}
    assert value["drawing"] == {"epsilon": None, "temperature": 0.5}
    assert value["clip"] == 1
    assert value["policies"]["slate"]["weights"]["clipped"] > 0
    assert "as logged" in done.output
    for warning in value["policies"]["slate"]["warnings"]:
        assert f"warning: slate: {warning}" in " ".join(done.output.split())


def test_one_estimator_may_be_asked_for(events: Path, tmp_path: Path) -> None:
    out = tmp_path / "RESULT.json"
    done = told(str(events), "--policy", "uniform", "--estimator", "snips", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert list(json.loads(out.read_bytes())["policies"]["uniform"]["estimates"]) == ["snips"]
    assert "SNIPS" in done.output
    assert " IPS" not in done.output


@pytest.mark.parametrize(
    ("draw", "why"),
    [("worst", "expected best"), ("epsilon=2", "from 0 to 1"), ("temperature=0", "above 0")],
)
def test_a_way_of_drawing_that_is_none_is_a_matter_of_usage(
    events: Path, draw: str, why: str
) -> None:
    done = told(str(events), "--policy", "slate", "--draw", draw)
    assert done.exit_code == 2
    assert why in " ".join(done.output.split())


def test_a_log_that_cannot_tell_is_refused_in_one_message(events: Path) -> None:
    text = events.read_text()
    events.write_text(text.replace('"propensity":', '"chance":'))
    done = told(str(events), "--policy", "uniform")
    assert done.exit_code == 1
    assert "Error: found no propensity at item" in done.output


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = told(str(tmp_path / "none.jsonl"), "--policy", "uniform")
    assert done.exit_code == 1
    assert "none.jsonl" in done.output

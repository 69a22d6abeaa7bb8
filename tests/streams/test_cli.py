"""The command line as a whole: what it offers, what it loads, and how it tells a fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deploy.stack.ports import LOOPBACK, free_port
from streams.cli import _COMMANDS, _headrace, main

HEAVY = ("torch", "faust", "river", "polars", "onnxruntime", "kafka", "redis", "rich")


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str]:
    """The exit code of `headrace …`, and what it says on standard error."""
    monkeypatch.setattr(sys, "argv", ["headrace", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr().err


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom streams.cli import main\nsys.argv = ['headrace', '--help']\n"
        "try:\n    main()\nfinally:\n"
        f"    print('loaded:', *[name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    for name in _COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = CliRunner().invoke(_headrace, [name, "--help"])

    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: headrace {name} ")
    command = _headrace.get_command(click.Context(_headrace), name)
    if isinstance(command, click.Group):
        for inner in command.commands:
            assert CliRunner().invoke(_headrace, [name, inner, "-h"]).exit_code == 0


def test_roles_run_on_one_thread_of_blas_unless_a_deployment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    told(monkeypatch, capsys, "--version")
    assert os.environ["OMP_NUM_THREADS"] == "1"

    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    told(monkeypatch, capsys, "--version")
    assert os.environ["OMP_NUM_THREADS"] == "4"


def test_serving_roles_load_without_torch_and_xgboost() -> None:
    program = (
        "import sys\nimport streams.commands.roles\n"
        "import streams.worker.worker, streams.learner.learner\n"
        "print({'torch', 'xgboost'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"


def test_an_unknown_command_is_a_matter_of_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = told(monkeypatch, capsys, "recommend")

    assert code == 2
    assert "No such command 'recommend'" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["get", "u1", "--set", "nonsense"], "--set: found 'nonsense', expected KEY=VALUE"),
        (["get", "u1", "--set", "ranking.list_size=0"], "list_size from 1 to 100"),
        (["get", "u1", "--set", "ranking.no_such_key=1"], "ranking.no_such_key"),
        (["simulate", "--set", "no_such_setting=1"], "no_such_setting"),
        (["models", "list", "--set", "kafka.topics.models=events"], "five different topic names"),
    ],
)
def test_bad_settings_are_told_in_one_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    code, message = told(monkeypatch, capsys, *arguments)

    assert code == 1
    assert message.startswith("headrace: ")
    assert expected in message
    assert "Traceback" not in message


def test_every_bad_setting_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = ["--set", "ranking.list_size=0", "--set", "worker.chunk_users=0", "--set", "?"]
    _, message = told(monkeypatch, capsys, "get", "u1", *bad)

    assert "3 problem(s)" in message
    for name in ("list_size", "chunk_users", "--set"):
        assert name in message


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["get", "u1"], ["models", "list"]])
def test_servers_that_are_away_are_told_without_a_traceback(arguments: list[str]) -> None:
    address = f"{LOOPBACK}:{free_port()}"
    servers = {"HEADRACE_KAFKA": address, "HEADRACE_REDIS": f"redis://{address}"}
    # A process of its own: Kafka's client leaves sockets to the garbage collector.
    done = subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env={**os.environ, **servers},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "headrace: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("streams.commands.reading.config_from", fail)
    monkeypatch.setattr(sys, "argv", ["headrace", "get", "u1"])
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ZeroDivisionError):
        main()

"""The processes of a stack on one machine."""

import sys
from pathlib import Path

import pytest

from streams.config import ENVIRONMENT
from streams.local_roles import local_roles


def test_there_are_workers_one_learner_and_one_trainer(tmp_path: Path) -> None:
    roles = local_roles(tmp_path, num_workers=2)

    assert [role.name for role in roles] == ["worker-1", "worker-2", "learner", "trainer"]
    commands = [role.argv[3] for role in roles]
    assert commands == ["worker", "worker", "learner", "trainer"]
    assert {role.argv[:3] for role in roles} == {(sys.executable, "-m", "streams")}


def test_all_share_settings_and_the_folder_of_bundles(tmp_path: Path) -> None:
    config_file = tmp_path / "own.toml"
    roles = local_roles(tmp_path, config_file=config_file, overrides=("a.b=1", "c.d=2"))

    for role in roles:
        given = ("--set", "a.b=1", "--set", "c.d=2", "--config", str(config_file))
        assert tuple(role.argv[4:]) == given
        assert role.environment == {"HEADRACE_MODELS": str(tmp_path / "models")}


def test_relative_paths_hold_wherever_a_role_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [worker, *_] = local_roles(Path("here"), config_file=Path("own.toml"))

    assert worker.environment["HEADRACE_MODELS"] == str(tmp_path / "here" / "models")
    assert worker.argv[-1] == str(tmp_path / "own.toml")


def test_the_variables_are_those_that_the_configuration_reads(tmp_path: Path) -> None:
    for role in local_roles(tmp_path):
        assert role.metrics_port_variable in ENVIRONMENT
        assert set(role.environment) <= set(ENVIRONMENT)

"""Kafka's jars are exactly the expected ones, and never half of them."""

import dataclasses
from pathlib import Path

import pytest

from deploy.stack.broker import kafka_programs
from deploy.stack.environment import StackEnvironment
from deploy.stack.errors import ProgramMissing
from deploy.stack.jars import KAFKA_VERSION, check_jars, expected_digests, kafka_jars


@pytest.mark.integration
def test_fetched_jars_are_the_expected_ones(stack_environment: StackEnvironment) -> None:
    jars = sorted(kafka_jars(stack_environment.cache).iterdir())
    check_jars(jars)
    assert len(jars) == len(expected_digests()) == 46
    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in {jar.name for jar in jars}


def test_damaged_jar_is_refused(tmp_path: Path) -> None:
    name = min(expected_digests())
    damaged = tmp_path / name
    damaged.write_bytes(b"PK")
    with pytest.raises(ProgramMissing, match=f"{name}: found SHA-256 [0-9a-f]+, expected"):
        check_jars([damaged])


def test_unexpected_jar_is_refused(stack_environment: StackEnvironment, tmp_path: Path) -> None:
    stranger = tmp_path / "zz-stranger.jar"
    stranger.write_bytes(b"PK")
    jars = list(kafka_jars(stack_environment.cache).iterdir())
    with pytest.raises(ProgramMissing, match=r"zz-stranger\.jar: .*expected None"):
        check_jars([*jars, stranger])


def test_kafka_home_is_used_without_fetching(
    stack_environment: StackEnvironment, tmp_path: Path
) -> None:
    own = dataclasses.replace(
        stack_environment, kafka_home=tmp_path, java=Path("/own/java"), cache=tmp_path / "cache"
    )
    programs = kafka_programs(own)
    assert programs.jars == tmp_path / "libs"
    assert programs.java == Path("/own/java")
    assert not (tmp_path / "cache").exists()

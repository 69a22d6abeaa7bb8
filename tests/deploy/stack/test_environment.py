"""The environment is read at once, and every bad variable is told at once."""

from pathlib import Path

import pytest

from deploy.stack.environment import read_environment
from deploy.stack.errors import InvalidEnvironment


def test_empty_environment_has_defaults() -> None:
    read = read_environment({"PATH": "/bin"})
    assert read.kafka is None
    assert read.redis_url is None
    assert read.home == Path(".headrace")
    assert read.cache == Path.home() / ".cache" / "headrace"


def test_empty_variable_counts_as_absent() -> None:
    assert read_environment({"HEADRACE_KAFKA": "", "KAFKA_HOME": ""}) == read_environment({})


def test_good_values_are_taken(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    read = read_environment(
        {
            "HEADRACE_KAFKA": "a:9092,b:9093",
            "HEADRACE_REDIS": "rediss://:secret@store:6380/1",
            "HEADRACE_HOME": "/var/lib/headrace",
            "XDG_CACHE_HOME": "/var/cache",
            "KAFKA_HOME": str(tmp_path),
        }
    )
    assert read.kafka == "a:9092,b:9093"
    assert read.redis_url == "rediss://:secret@store:6380/1"
    assert read.home == Path("/var/lib/headrace")
    assert read.cache == Path("/var/cache/headrace")
    assert read.kafka_home == tmp_path


def test_all_bad_values_are_told_at_once_and_no_password() -> None:
    with pytest.raises(InvalidEnvironment) as caught:
        read_environment(
            {
                "HEADRACE_KAFKA": "broker",
                "HEADRACE_REDIS": "http://u:s3cret@store",
                "HEADRACE_JAVA": "/no/java",
                "KAFKA_HOME": "/no/kafka",
            }
        )
    message = str(caught.value)
    for found in ("'broker'", "'http://u:***@store'", "'/no/java'", "'/no/kafka'"):
        assert found in message
    assert "s3cret" not in message

from typing import Any

import pytest

from streams.engine.config import EngineConfig
from streams.engine.errors import EngineConfigError

VALID: dict[str, Any] = {"app_id": "worker", "brokers": ("localhost:9092",)}


def test_defaults_are_valid() -> None:
    assert EngineConfig(**VALID).max_slice_records == 1000


def test_session_timeout_that_kafka_refuses_for_ever_is_refused_here() -> None:
    with pytest.raises(EngineConfigError, match=r"session_timeout_s=5\.9, expected at least 6"):
        EngineConfig(**VALID, session_timeout_s=5.9, heartbeat_interval_s=1.0)


def test_start_timeout_must_end_before_faust_gives_up() -> None:
    with pytest.raises(EngineConfigError, match="start_timeout_s=90"):
        EngineConfig(**VALID, start_timeout_s=90.0, request_timeout_s=90.0)


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(EngineConfigError) as refused:
        EngineConfig(app_id="", brokers=(), max_slice_records=0, commit_interval_s=0.0)
    for name in ("app_id", "brokers", "max_slice_records", "commit_interval_s"):
        assert name in str(refused.value)

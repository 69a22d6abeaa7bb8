"""What does the environment say about the stack: addresses, programs, folders?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.stack.errors import InvalidEnvironment

_BOOTSTRAP = re.compile(r"[^\s,:]+:\d{1,5}(,[^\s,:]+:\d{1,5})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEnvironment:
    """The variables that the stack reads, all optional.

    Attributes:
        kafka: HEADRACE_KAFKA, `host:port[,host:port…]` of brokers that run already.
        redis_url: HEADRACE_REDIS, the URL of a server that runs already.
        home: HEADRACE_HOME, where logs, data and the record of what runs are kept;
            `.headrace` in the current folder by default.
        cache: Where downloaded programs are kept; HEADRACE_CACHE, else `headrace` in
            XDG_CACHE_HOME or ~/.cache.
        java: HEADRACE_JAVA, a `java` to use instead of the one from PyPI.
        kafka_home: KAFKA_HOME, an unpacked Apache Kafka to use instead of fetching one.
        path: PATH, searched for Redis and Prometheus.
    """

    kafka: str | None
    redis_url: str | None
    home: Path
    cache: Path
    java: Path | None
    kafka_home: Path | None
    path: str


def read_environment(variables: Mapping[str, str]) -> StackEnvironment:
    """Read and check all variables at once; an empty one counts as absent.

    Raises:
        InvalidEnvironment: Names every bad variable, what it holds and what was expected.
    """
    problems = [problem for check in _CHECKS if (problem := check(variables))]
    if problems:
        raise InvalidEnvironment("; ".join(problems))
    cache = variables.get("HEADRACE_CACHE")
    user_cache = Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return StackEnvironment(
        kafka=variables.get("HEADRACE_KAFKA") or None,
        redis_url=variables.get("HEADRACE_REDIS") or None,
        home=Path(variables.get("HEADRACE_HOME") or ".headrace"),
        cache=Path(cache) if cache else user_cache / "headrace",
        java=_path(variables, "HEADRACE_JAVA"),
        kafka_home=_path(variables, "KAFKA_HOME"),
        path=variables.get("PATH", ""),
    )


def without_password(url: str) -> str:
    """Return a URL that can be shown.

    >>> without_password("redis://reader:secret@store:6379/0")
    'redis://reader:***@store:6379/0'
    """
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@", 1) if password else url


def _path(variables: Mapping[str, str], name: str) -> Path | None:
    return Path(variables[name]) if variables.get(name) else None


def _check_kafka(variables: Mapping[str, str]) -> str | None:
    value = variables.get("HEADRACE_KAFKA")
    if not value or _BOOTSTRAP.fullmatch(value):
        return None
    return f"HEADRACE_KAFKA: found {value!r}, expected host:port[,host:port…]"


def _check_redis(variables: Mapping[str, str]) -> str | None:
    value = variables.get("HEADRACE_REDIS")
    if not value or urlsplit(value).scheme in {"redis", "rediss", "unix"}:
        return None
    return (
        f"HEADRACE_REDIS: found {without_password(value)!r},"
        " expected redis://, rediss:// or unix:// and an address"
    )


def _check_java(variables: Mapping[str, str]) -> str | None:
    value = variables.get("HEADRACE_JAVA")
    if not value or Path(value).is_file():
        return None
    return f"HEADRACE_JAVA: found {value!r}, expected the path of a java program (17 or later)"


def _check_kafka_home(variables: Mapping[str, str]) -> str | None:
    value = variables.get("KAFKA_HOME")
    if not value or (Path(value) / "libs").is_dir():
        return None
    return f"KAFKA_HOME: found {value!r}, expected the folder of an Apache Kafka, with libs/ in it"


_CHECKS = (_check_kafka, _check_redis, _check_java, _check_kafka_home)

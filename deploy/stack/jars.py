"""Where are Apache Kafka's jars? Fetched once from Maven Central, checked against known digests."""

import contextlib
import fcntl
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from deploy.stack.errors import ProgramMissing

KAFKA_VERSION = "4.1.1"

# slf4j-simple: without a binding Kafka logs nothing, not even why it could not start.
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_FOLDER = f"kafka-{KAFKA_VERSION}"
_ATTEMPTS = 3
# What the resolver raises: the network's errors, and its own for what it cannot find or parse.
_FETCH_ERRORS = (OSError, RuntimeError, ValueError)

_log = logging.getLogger(__name__)


def kafka_jars(cache: Path) -> Path:
    """Return the folder with exactly the jars that a broker needs, fetching them if need be.

    Fetching takes some 15 s and 45 MB, once. The folder appears complete or not at all, also if
    several processes ask at the same time, or one is interrupted.

    Raises:
        ProgramMissing: They cannot be fetched, or are not the ones that are expected.
    """
    folder = cache / _FOLDER
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{_FOLDER}.lock"):
        if not folder.is_dir():
            _log.info("fetching Apache Kafka %s, 45 MB, once, into %s", KAFKA_VERSION, cache)
            with tempfile.TemporaryDirectory(prefix=f".{_FOLDER}-", dir=cache) as scratch:
                _fetch(Path(scratch)).rename(folder)
    return folder


def expected_digests() -> dict[str, str]:
    """Return each jar's name and its SHA-256."""
    text = files("deploy.stack").joinpath("kafka-jars.sha256").read_text("ascii")
    pairs = (line.split() for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def check_jars(jars: list[Path]) -> None:
    """Check names and contents against `expected_digests`.

    Raises:
        ProgramMissing: Names the first jar that differs.
    """
    expected = expected_digests()
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars}
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            message = (
                f"Apache Kafka {KAFKA_VERSION}: {name}: found SHA-256 {found.get(name)},"
                f" expected {expected.get(name)}; try again, or set KAFKA_HOME to an unpacked Kafka"
            )
            raise ProgramMissing(message)


def _fetch(scratch: Path) -> Path:
    jars = _resolve(scratch)
    check_jars(jars)
    complete = scratch / _FOLDER
    complete.mkdir()
    for jar in jars:
        shutil.copyfile(jar, complete / jar.name)
    return complete


def _resolve(scratch: Path) -> list[Path]:
    # Half a second to import, and needed once per machine.
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    builder = EnvironmentBuilder(
        context=MavenContext(repo_cache=scratch / "maven"),
        cache_dir=scratch / "jgo",
        link_strategy=LinkStrategy.HARD,
    )
    for attempt in range(1, _ATTEMPTS):
        try:
            return builder.from_endpoint(_ENDPOINT).all_jars
        except _FETCH_ERRORS as error:
            # What this attempt has fetched is not fetched again.
            _log.warning("fetching Apache Kafka, attempt %d of %d: %s", attempt, _ATTEMPTS, error)
    try:
        return builder.from_endpoint(_ENDPOINT).all_jars
    except _FETCH_ERRORS as error:
        message = (
            f"Apache Kafka {KAFKA_VERSION} cannot be fetched: found {error}; expected to reach"
            " Maven Central; connect once, or set KAFKA_HOME to an unpacked Kafka"
        )
        raise ProgramMissing(message) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

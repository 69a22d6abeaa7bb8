"""Commands of many arguments are packed as redis-py packs them, whatever the connection."""

from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from featurestore.redis_connection import connection_pool

URLS = ("redis://localhost:1/0", "rediss://localhost:1/0", "unix:///no.sock")


def connection_to(pool: ConnectionPool) -> AbstractConnection:
    """Return a connection that nobody has opened."""
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("num", [0, 1, 12, 13, 14, 2000])
def test_a_command_is_packed_as_by_redis_py(url: str, num: int) -> None:
    arguments: list[Any] = [b"", b"\r\n$3\r\n", b"x" * 2000, -7, "ü", 2.5][: num + 3] * num
    command = ("EVALSHA", "digest", num, *arguments[:num])

    packed = connection_to(connection_pool(url)).pack_command(*command)

    theirs = connection_to(ConnectionPool.from_url(url)).pack_command(*command)
    assert b"".join(packed) == b"".join(theirs)


@pytest.mark.parametrize("url", URLS)
def test_each_scheme_keeps_its_kind_of_connection_and_packs_in_one_piece(url: str) -> None:
    connection = connection_to(connection_pool(url))

    assert isinstance(connection, type(connection_to(ConnectionPool.from_url(url))))
    assert len(connection.pack_command("MGET", *[b"x" * 7000] * 20)) == 1

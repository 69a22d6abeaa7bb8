"""How do a commit's thousands of arguments become one message to Redis? By being joined once.

redis-py's asynchronous client joins each argument to what it has so far, and copies a state several
times. hiredis' own packing in C, which the synchronous client uses, takes longer still for
arguments of this size. The bytes on the wire are the same.
"""

from collections.abc import Callable
from typing import Any, Final

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from typing_extensions import override

_FEW: Final = 16
"""Arguments up to which a command is left to redis-py."""


class _JoinedOnce(AbstractConnection):
    """How a connection packs a command; to be named before it among the bases."""

    @override
    def pack_command(self, *args: Any) -> list[bytes]:
        if len(args) <= _FEW:
            packed: list[bytes] = super().pack_command(*args)
            return packed
        encode: Callable[[Any], bytes] = self.encoder.encode
        parts = [b"*%d" % len(args)]
        for arg in args:
            encoded = arg if isinstance(arg, bytes) else encode(arg)
            parts.append(b"\r\n$%d\r\n" % len(encoded))
            parts.append(encoded)
        parts.append(b"\r\n")
        return [b"".join(parts)]


class _Tcp(_JoinedOnce, Connection):
    """For redis://."""


class _Tls(_JoinedOnce, SSLConnection):
    """For rediss://."""


class _Unix(_JoinedOnce, UnixDomainSocketConnection):
    """For unix://."""


_OURS: Final[dict[type[AbstractConnection], type[AbstractConnection]]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


def connection_pool(url: str, **options: Any) -> ConnectionPool:  # noqa: ANN401  (redis-py's)
    """Return connections to the server at `url`; none is made yet.

    Args:
        url: redis://, rediss:// or unix://.
        options: as `redis.asyncio.Redis.from_url` takes them.
    """
    pool = ConnectionPool.from_url(url, **options)
    pool.connection_class = _OURS[pool.connection_class]
    return pool

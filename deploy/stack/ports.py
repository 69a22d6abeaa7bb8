"""Which local port is free, and where does somebody listen?"""

import secrets
import socket

LOOPBACK = "127.0.0.1"

# Below Linux's and macOS's ephemeral ranges. A port inside them can be taken while its server is
# restarting: by any outgoing connection, even by a client that dials this very port and is
# connected to itself.
_FIRST = 15_000
_LAST = 32_000
_ATTEMPTS = 200


def free_port(preferred: int | None = None) -> int:
    """Return a port of the loopback interface on which nothing listens.

    Nothing reserves it: another process may take it before the caller does, which is why the
    choice is random rather than the lowest free one.

    Args:
        preferred: Returned if it is free.

    Raises:
        OSError: No free port was found.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(_ATTEMPTS):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if is_free(port):
            return port
    message = f"found no free port in {_ATTEMPTS} attempts between {_FIRST} and {_LAST}"
    raise OSError(message)


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the previous server that still lingers does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def somebody_listens(addresses: str, *, timeout_s: float = 1.0) -> bool:
    """Return whether a connection to one of `host:port[,host:port…]` is accepted now."""
    return any(_accepts(address, timeout_s) for address in addresses.split(","))


def _accepts(address: str, timeout_s: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except OSError:
        return False
    return True

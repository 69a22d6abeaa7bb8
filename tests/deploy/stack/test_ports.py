"""A free port is one that a server can take."""

import socket

from deploy.stack.ports import LOOPBACK, free_port, is_free, somebody_listens


def test_preferred_port_is_taken_only_if_free() -> None:
    taken = free_port()
    with socket.create_server((LOOPBACK, taken)):
        assert not is_free(taken)
        assert somebody_listens(f"{LOOPBACK}:1,{LOOPBACK}:{taken}")
        assert free_port(taken) != taken
    assert free_port(taken) == taken


def test_nobody_listens_on_a_free_port() -> None:
    assert not somebody_listens(f"{LOOPBACK}:{free_port()}")

"""The Redis server of the store's own tests is that of the contract suite."""

from tests.contracts.conftest import redis_server

__all__ = ["redis_server"]

"""Waiting for a service that is away."""

import asyncio

import pytest

from streams.retrying import until_answered


class Away(Exception):
    pass


class Service:
    def __init__(self, faults: list[Exception]) -> None:
        self.faults = faults
        self.num_calls = 0

    async def call(self) -> str:
        self.num_calls += 1
        if self.faults:
            raise self.faults.pop(0)
        return "answer"


def ask(service: Service, counted: list[int]) -> str:
    return asyncio.run(
        until_answered(
            service.call,
            transient=Away,
            max_pause_s=0.001,
            on_fault=lambda: counted.append(1),
        )
    )


def test_a_transient_fault_is_counted_and_the_call_repeated() -> None:
    service = Service([Away("one"), Away("two")])
    counted: list[int] = []

    assert ask(service, counted) == "answer"
    assert (service.num_calls, len(counted)) == (3, 2)


def test_any_other_fault_goes_through_at_once() -> None:
    service = Service([ValueError("ours")])
    counted: list[int] = []

    with pytest.raises(ValueError, match="ours"):
        ask(service, counted)
    assert (service.num_calls, counted) == (1, [])

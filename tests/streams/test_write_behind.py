"""Writes on their way: one a partition, waited for, and heard when they fail."""

import asyncio

import pytest

from streams.write_behind import WritesInFlight


class Gate:
    """A write that ends when it is let through."""

    def __init__(self, error: Exception | None = None) -> None:
        self.opened = asyncio.Event()
        self.is_done = False
        self._error = error

    async def write(self) -> None:
        await self.opened.wait()
        if self._error is not None:
            raise self._error
        self.is_done = True


def test_other_partitions_need_not_wait() -> None:
    async def story() -> None:
        writes, slow = WritesInFlight(), Gate()
        writes.start(0, slow.write())

        await writes.settled(1)
        assert writes.is_busy(0)
        assert not slow.is_done

        slow.opened.set()
        await writes.settled(0)
        assert slow.is_done
        assert not writes.is_busy(0)

    asyncio.run(story())


def test_a_second_write_of_a_partition_must_wait_for_the_first() -> None:
    async def story() -> None:
        writes, first, second = WritesInFlight(), Gate(), Gate()
        writes.start(0, first.write())
        too_early = second.write()
        with pytest.raises(AssertionError, match="has a write on its way"):
            writes.start(0, too_early)
        too_early.close()

        first.opened.set()
        await writes.settled(0)
        second.opened.set()
        writes.start(0, second.write())
        await writes.all_settled()
        assert second.is_done

    asyncio.run(story())


def test_who_waits_for_a_write_hears_that_it_failed() -> None:
    async def story() -> None:
        writes, bad = WritesInFlight(), Gate(ValueError("lost"))
        writes.start(0, bad.write())
        bad.opened.set()

        with pytest.raises(ValueError, match="lost"):
            await writes.settled(0)
        await writes.settled(0)

    asyncio.run(story())


def test_whoever_waits_second_waits_as_long() -> None:
    async def story() -> None:
        writes, slow = WritesInFlight(), Gate()
        writes.start(0, slow.write())
        waiting = [asyncio.create_task(writes.settled(0)) for _ in range(2)]
        await asyncio.sleep(0)

        assert not any(one.done() for one in waiting)
        waiting[0].cancel()
        slow.opened.set()
        await waiting[1]
        assert slow.is_done

    asyncio.run(story())


def test_an_assignment_waits_for_all_however_they_end() -> None:
    async def story() -> None:
        writes, good, bad = WritesInFlight(), Gate(), Gate(ValueError("lost"))
        writes.start(0, good.write())
        writes.start(1, bad.write())
        good.opened.set()
        bad.opened.set()

        assert await writes.all_settled()

        assert good.is_done
        assert not writes.is_busy(1)

    asyncio.run(story())


def test_a_write_that_is_not_waited_for_any_longer_goes_on() -> None:
    async def story() -> None:
        writes, slow = WritesInFlight(), Gate()
        writes.start(0, slow.write())

        assert not await writes.all_settled(timeout_s=0.01)
        assert writes.is_busy(0)

        slow.opened.set()
        assert await writes.all_settled(timeout_s=10)
        assert slow.is_done

    asyncio.run(story())

"""Work in flight: one a partition, waited for, and heard when they fail."""

import asyncio

import pytest

from streams.worker.in_flight import WorkInFlight


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
        work, slow = WorkInFlight(), Gate()
        work.start(0, slow.write())

        await work.settled(1)
        assert work.is_busy(0)
        assert not slow.is_done

        slow.opened.set()
        await work.settled(0)
        assert slow.is_done
        assert not work.is_busy(0)

    asyncio.run(story())


def test_a_second_write_of_a_partition_must_wait_for_the_first() -> None:
    async def story() -> None:
        work, first, second = WorkInFlight(), Gate(), Gate()
        work.start(0, first.write())
        with pytest.raises(AssertionError, match="is being worked on"):
            work.start(0, second.write())

        first.opened.set()
        await work.settled(0)
        second.opened.set()
        work.start(0, second.write())
        await work.all_settled()
        assert second.is_done

    asyncio.run(story())


def test_who_waits_for_a_write_hears_that_it_failed() -> None:
    async def story() -> None:
        work, bad = WorkInFlight(), Gate(ValueError("lost"))
        work.start(0, bad.write())
        bad.opened.set()

        with pytest.raises(ValueError, match="lost"):
            await work.settled(0)
        await work.settled(0)

    asyncio.run(story())


def test_whoever_waits_second_waits_as_long() -> None:
    async def story() -> None:
        work, slow = WorkInFlight(), Gate()
        work.start(0, slow.write())
        waiting = [asyncio.create_task(work.settled(0)) for _ in range(2)]
        await asyncio.sleep(0)

        assert not any(one.done() for one in waiting)
        waiting[0].cancel()
        slow.opened.set()
        await waiting[1]
        assert slow.is_done

    asyncio.run(story())


def test_an_assignment_waits_for_all_however_they_end() -> None:
    async def story() -> None:
        work, good, bad = WorkInFlight(), Gate(), Gate(ValueError("lost"))
        work.start(0, good.write())
        work.start(1, bad.write())
        good.opened.set()
        bad.opened.set()

        assert await work.all_settled()

        assert good.is_done
        assert not work.is_busy(1)

    asyncio.run(story())


def test_a_write_that_is_not_waited_for_any_longer_goes_on() -> None:
    async def story() -> None:
        work, slow = WorkInFlight(), Gate()
        work.start(0, slow.write())

        assert not await work.all_settled(timeout_s=0.01)
        assert work.is_busy(0)

        slow.opened.set()
        assert await work.all_settled(timeout_s=10)
        assert slow.is_done

    asyncio.run(story())

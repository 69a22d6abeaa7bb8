from __future__ import annotations

from dataclasses import dataclass
from weakref import ref

from hypothesis import given
from hypothesis import strategies as st

from streams.learner.open_slates import OpenSlates, PartitionKey, SlateCaps

P0, P1 = ("t", 0), ("t", 1)


@dataclass(eq=False)
class Slate:
    partition: PartitionKey
    record_offset: int
    deadline_ms: int
    is_open: bool = True


def test_expires_by_the_clock_of_its_own_partition_only() -> None:
    slates: OpenSlates[Slate] = OpenSlates(SlateCaps())
    first, second = Slate(P0, 0, 10), Slate(P1, 1, 10)
    slates.add(first)
    slates.add(second)

    assert slates.expire(P0, 10) == []
    assert slates.expire(P0, 11) == [first]
    assert slates.oldest() is second


def test_the_oldest_of_a_full_partition_goes() -> None:
    slates: OpenSlates[Slate] = OpenSlates(SlateCaps(max_per_partition=1))
    other, old, new = Slate(P1, 0, 10), Slate(P0, 1, 10), Slate(P0, 2, 10)
    slates.add(other)
    slates.add(old)

    assert slates.add(new) == [old]
    assert [slate.is_open for slate in (other, old, new)] == [True, False, True]


def test_the_oldest_of_all_goes_when_the_total_is_reached() -> None:
    slates: OpenSlates[Slate] = OpenSlates(SlateCaps(max_total=2))
    first, second, third = Slate(P1, 0, 10), Slate(P0, 1, 10), Slate(P0, 2, 10)
    slates.add(first)
    slates.add(second)

    assert slates.add(third) == [first]
    assert list(slates.drain()) == [second, third]
    assert len(slates) == 0


def test_gives_up_what_lies_too_many_records_back() -> None:
    slates: OpenSlates[Slate] = OpenSlates(SlateCaps(max_records=5))
    slate = Slate(P0, 10, 10)
    slates.add(slate)

    assert slates.give_up(14) == []
    assert slates.give_up(15) == [slate]
    assert slates.give_up(99) == []


steps = st.lists(
    st.tuples(st.sampled_from(["add", "expire", "close"]), st.integers(0, 1), st.integers(0, 5)),
    min_size=1,
    max_size=60,
)


@given(steps, st.integers(0, 59))
def test_a_refill_from_any_step_holds_what_was_opened_since(
    steps: list[tuple[str, int, int]], start: int
) -> None:
    caps = SlateCaps(max_per_partition=3, max_total=4, max_records=20)

    def open_slates(first_step: int) -> set[int]:
        slates: OpenSlates[Slate] = OpenSlates(caps)
        by_step: dict[int, Slate] = {}
        for step, (verb, partition, number) in enumerate(steps):
            if step < first_step:
                continue
            if verb == "add":
                by_step[step] = Slate(("t", partition), step, step + 8)
                slates.add(by_step[step])
            elif verb == "expire":
                slates.expire(("t", partition), step)
            elif (slate := by_step.get(step - number)) and slate.is_open:
                slates.close(slate)
            slates.give_up(step)
        return {slate.record_offset for slate in slates.drain()}

    assert open_slates(start) == {step for step in open_slates(0) if step >= start}


def test_answered_slates_are_not_kept_behind_one_that_waits() -> None:
    slates: OpenSlates[Slate] = OpenSlates(SlateCaps())
    slates.add(Slate(P0, 0, 10))

    def answered_at(offset: int) -> ref[Slate]:
        slate = Slate(P0, offset, 10)
        slates.add(slate)
        slates.close(slate)
        return ref(slate)

    answered = [answered_at(offset) for offset in range(1, 5_000)]
    assert sum(one() is not None for one in answered) < 1_100
    assert [slate.record_offset for slate in slates.expire(P0, 11)] == [0]
    assert len(slates) == 0

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.ledger import Ledger, PartitionProgress
from streams.engine.slices import Record, Slice, SliceMessage

EVENTS_0 = TP("events", 0)
EVENTS_1 = TP("events", 1)


def message(base_offset: int, next_offset: int, tp: TP = EVENTS_0) -> SliceMessage:
    slice_ = Slice(
        topic=tp.topic,
        partition=tp.partition,
        base_offset=base_offset,
        next_offset=next_offset,
        records=(Record(base_offset, None, b"", 0),),
    )
    return SliceMessage(slice_, generation=1, epoch=1, epochs={tp: 1})


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.start(EVENTS_0, 10)
    return ledger


def test_partition_begins_at_its_start(ledger: Ledger) -> None:
    assert ledger.next_offset(EVENTS_0) == 10
    assert ledger.num_unfinished(EVENTS_0) == 0
    assert ledger.next_offset(EVENTS_1) is None


def test_finished_slice_moves_the_offset_to_its_end(ledger: Ledger) -> None:
    first = message(10, 15)
    ledger.deliver(first)
    assert ledger.next_offset(EVENTS_0) == 10
    first.acked = True
    assert ledger.next_offset(EVENTS_0) == 15


def test_slice_that_is_finished_early_waits_for_its_predecessor(ledger: Ledger) -> None:
    first, second, third = message(10, 15), message(15, 20), message(20, 30)
    for delivered in (first, second, third):
        ledger.deliver(delivered)
    second.acked = True
    assert ledger.next_offset(EVENTS_0) == 10
    assert ledger.num_unfinished(EVENTS_0) == 3
    first.acked = True
    assert ledger.next_offset(EVENTS_0) == 20
    assert ledger.num_unfinished(EVENTS_0) == 1


def test_slice_of_a_former_start_is_no_longer_expected(ledger: Ledger) -> None:
    former = message(10, 15)
    ledger.deliver(former)
    ledger.start(EVENTS_0, 0)
    former.acked = True
    assert ledger.next_offset(EVENTS_0) == 0
    assert ledger.num_unfinished(EVENTS_0) == 0


def test_hole_at_the_end_of_the_log_is_no_lag(ledger: Ledger) -> None:
    ledger.note_log_end(EVENTS_0, 11)
    assert ledger.progress()[EVENTS_0].lag == 1
    ledger.pass_hole(EVENTS_0, 11)
    assert ledger.progress()[EVENTS_0] == PartitionProgress(11, 11)


def test_hole_behind_an_unfinished_slice_is_not_passed(ledger: Ledger) -> None:
    ledger.deliver(message(10, 15))
    ledger.pass_hole(EVENTS_0, 16)
    assert ledger.next_offset(EVENTS_0) == 10


def test_late_answer_takes_nothing_back(ledger: Ledger) -> None:
    ledger.note_log_end(EVENTS_0, 50)
    ledger.note_log_end(EVENTS_0, 40)
    assert ledger.progress()[EVENTS_0].log_end == 50


def test_forgotten_partition_has_no_progress(ledger: Ledger) -> None:
    ledger.start(EVENTS_1, 3)
    ledger.forget([EVENTS_0])
    ledger.note_log_end(EVENTS_0, 99)
    ledger.pass_hole(EVENTS_0, 99)
    assert ledger.progress() == {EVENTS_1: PartitionProgress(3, 3)}
    assert ledger.partitions == [EVENTS_1]


@given(order=st.permutations(range(6)))
def test_whatever_the_order_of_endings_the_offset_is_the_end_of_the_finished_head(
    order: list[int],
) -> None:
    ledger = Ledger()
    ledger.start(EVENTS_0, 0)
    messages = [message(number, number + 1) for number in range(6)]
    for delivered in messages:
        ledger.deliver(delivered)
    finished: set[int] = set()
    for number in order:
        messages[number].acked = True
        finished.add(number)
        head = next((n for n in range(6) if n not in finished), 6)
        assert ledger.next_offset(EVENTS_0) == head
        assert ledger.num_unfinished(EVENTS_0) == 6 - head

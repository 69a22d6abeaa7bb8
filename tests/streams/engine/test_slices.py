import pytest
from faust.types import TP

from streams.engine.slices import Record, Slice, SliceMessage

EVENTS_3 = TP("events", 3)


@pytest.fixture
def slice_() -> Slice:
    records = tuple(Record(offset, b"u1", b"{}", 1_700_000_000_000) for offset in (40, 42))
    return Slice(topic="events", partition=3, base_offset=40, next_offset=45, records=records)


def test_message_carries_the_slice_at_its_base_offset(slice_: Slice) -> None:
    message = SliceMessage(slice_, generation=7, epoch=1, epochs={EVENTS_3: 1})
    assert (message.tp, message.offset, message.next_offset) == (EVENTS_3, 40, 45)
    assert id(message.value) == id(slice_)
    assert message.generation_id == 7


def test_message_leaves_its_generation_once_the_partition_is_positioned_anew(
    slice_: Slice,
) -> None:
    epochs = {EVENTS_3: 1}
    message = SliceMessage(slice_, generation=7, epoch=1, epochs=epochs)
    epochs[EVENTS_3] = 2
    assert message.is_stale
    assert message.generation_id != 7


def test_message_leaves_its_generation_once_the_partition_is_lost(slice_: Slice) -> None:
    epochs = {EVENTS_3: 1}
    message = SliceMessage(slice_, generation=7, epoch=1, epochs=epochs)
    del epochs[EVENTS_3]
    assert message.generation_id != 7


def test_records_are_immutable() -> None:
    record = Record(1, b"k", b"v", 5)
    with pytest.raises(AttributeError):
        record.offset = 2  # type: ignore[misc]

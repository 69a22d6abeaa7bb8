"""Which event moves which metric."""

from featurestore.events import Event, EventRefused, RefusalReason
from streams.dead_letters import REDRIVEN
from streams.engine import TP, PartitionProgress, Record, Slice
from streams.metrics import WorkerMetrics
from streams.pipeline.chunks import Chunk
from streams.pipeline.decoding import RefusedRecord
from streams.worker.accounting import WorkerAccounts
from streams.worker.ownership import OwnedPartition
from tests.streams.stream_events import START_MS, click, records_of, visit
from tests.streams.taught import Line, chunk_of, config, live_models


def accounts() -> WorkerAccounts:
    return WorkerAccounts(WorkerMetrics())


def sample(moved: WorkerAccounts, name: str, **labels: str) -> float:
    return moved.metrics.registry.get_sample_value(f"recsys_{name}", labels) or 0.0


def test_consumed_is_ok_and_late_and_duplicate_and_invalid() -> None:
    settings = config()
    line = Line(settings, live_models(settings, [["a", "b"]]))
    events: list[Event] = [
        visit("u1", START_MS + 10),
        click("u1", "a", START_MS),
        click("u1", "a", START_MS),
    ]
    chunk = chunk_of(*events)
    refused = RefusedRecord(
        Record(offset=3, key=None, value=b"{", append_ms=START_MS),
        EventRefused(RefusalReason.NOT_JSON, ""),
    )
    whole = Chunk(partition=0, from_offset=0, to_offset=4, events=chunk.events, refused=[refused])
    moved = accounts()

    moved.committed(whole, line.process(whole, {}), now_s=START_MS / 1000 + 0.02)

    def outcome(kind: str, name: str) -> float:
        return sample(moved, "events_total", topic="events", event_type=kind, outcome=name)

    assert outcome("visit", "ok") == 1
    assert outcome("action", "late") == 1
    assert outcome("action", "duplicate") == 1
    assert outcome("unknown", "invalid") == 1
    assert sample(moved, "dead_letters_total", topic="events", reason="not_json") == 1
    assert sample(moved, "freshness_seconds_count", path="user") == 3
    assert sample(moved, "freshness_seconds_bucket", path="user", le="0.03") == 3
    assert sample(moved, "recommendations_total", outcome="ok") == 1
    assert sample(moved, "recommended_items_total", source="covisitation") == 1
    assert sample(moved, "candidates_total", source="trending") == 1
    assert sample(moved, "recommended_places_total", order="ranked") == 1


def test_a_slice_counts_its_bytes_and_what_was_sent_back() -> None:
    (plain,) = records_of(visit("u1"))
    returned = Record(offset=1, key=None, value=b"xy", append_ms=0, headers=((REDRIVEN, b"0-1"),))
    slice_ = Slice(
        topic="events", partition=0, base_offset=0, next_offset=2, records=(plain, returned)
    )
    moved = accounts()

    moved.received(slice_)

    assert sample(moved, "slice_events_count") == 1
    assert sample(moved, "event_bytes_sum") == len(plain.value or b"") + 2
    assert sample(moved, "redriven_total") == 1


def test_lag_and_what_is_held_are_of_the_partitions_that_are_ours() -> None:
    moved = accounts()
    moved.assigned([0, 3])
    owned = [OwnedPartition(number=0, checkpoint=None), OwnedPartition(number=3, checkpoint=None)]

    moved.progress({TP("events", 3): PartitionProgress(40, 90)}, owned)
    moved.lost(TP("events", 3), 7)

    assert sample(moved, "partitions_assigned") == 2
    assert sample(moved, "rebalances_total") == 1
    assert sample(moved, "consumer_lag_records", topic="events", partition="3") == 50
    assert sample(moved, "events_lost_to_retention_total", topic="events", partition="3") == 7
    moved.assigned([1])
    assert sample(moved, "consumer_lag_records", topic="events", partition="3") == 0

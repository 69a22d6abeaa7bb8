"""Are states, examples and tables what the log says, whatever happened on the way?"""

from __future__ import annotations

from featurestore.events import EventRefused, UserId, decode_event
from featurestore.fold import Outcome, fold
from featurestore.state import EMPTY_STATE, UserState
from streams.examples import decode_record
from tests.chaos.pipelines import Pipeline
from tests.integration.conftest import NUM_PARTITIONS
from tests.integration.learners import learned_offline, replica_of, same_tables
from tests.integration.stream_checks import (
    RULES,
    assert_states_equal,
    folded_log,
    taken_once,
    values_of,
)


def assert_equal_to_the_log(pipeline: Pipeline) -> None:
    """Everything that the pipeline has written is what a fold of its logs gives.

    Every user's state, byte for byte; every source offset in the examples once, without a gap; the
    tables that base and deltas make, byte for byte.
    """
    expected = folded_log(pipeline.kafka, pipeline.events)
    assert_states_equal(pipeline.redis_url, pipeline.events, NUM_PARTITIONS, expected)
    assert_examples_are_complete(pipeline)
    offline = learned_offline(pipeline.kafka, pipeline.examples)
    assert offline.popularity.largest(1).size == 1
    assert same_tables(replica_of(pipeline.redis_url), offline)


def assert_examples_are_complete(pipeline: Pipeline) -> None:
    """After the learner's dedupe, the examples cover the source and hold each event that counts."""
    (values,) = values_of(pipeline.kafka, pipeline.examples).values()
    records = [decode_record(value or b"") for value in values]
    assert len({record.topic_id for record in records}) == 1
    kept = taken_once(records)
    for partition, source in values_of(pipeline.kafka, pipeline.events).items():
        of_partition = kept.get(partition, [])
        covered = [(record.from_offset, record.to_offset) for record in of_partition]
        starts, ends = [start for start, _ in covered], [end for _, end in covered]
        assert [*starts, len(source)] == [0, *ends]
        # A sampled list's candidates are a second row of the event that caused it.
        rows = [row.offset for record in of_partition for row in record.rows]
        assert list(dict.fromkeys(rows)) == _counting(source)


def _counting(source: list[bytes | None]) -> list[int]:
    """The offsets of the events that are no repetitions."""
    states: dict[UserId, UserState] = {}
    offsets = []
    for offset, value in enumerate(source):
        try:
            event = decode_event(value)
        except EventRefused:
            continue
        folded = fold(states.get(event.user_id, EMPTY_STATE), event, RULES)
        states[event.user_id] = folded.state
        if folded.outcome is not Outcome.DUPLICATE:
            offsets.append(offset)
    return offsets

"""When a model is trained in an evaluation, and from when it counts."""

import math

from streams.evaluation_schedule import MIN_TRAINING_MS, TrainingSchedule
from streams.examples import EXAMPLES_VERSION, ExamplesRecord, Row, VisitRow
from tests.streams.stream_events import START_MS


def record(*ts_ms: int) -> ExamplesRecord:
    rows: list[Row] = [
        VisitRow(offset=n, ts_ms=one, user_id=f"u{n}") for n, one in enumerate(ts_ms)
    ]
    return ExamplesRecord(
        version=EXAMPLES_VERSION,
        topic_id="log",
        partition=0,
        from_offset=0,
        to_offset=len(rows),
        lost_from=-1,
        replica_offset=0,
        layout="",
        bundle="",
        config="",
        items=[],
        rows=rows,
    )


def test_a_training_is_due_an_interval_after_the_logs_begin_and_after_each_training() -> None:
    schedule = TrainingSchedule(1_000)
    due = []
    for passed_ms in (0, 999, 1_000, 1_500, 2_000, 2_500):
        schedule.advance(record(START_MS + passed_ms))
        if schedule.is_due:
            due.append(passed_ms)
            schedule.begin()

    assert due == [1_000, 2_000]


def test_what_cannot_be_done_stays_due() -> None:
    schedule = TrainingSchedule(1_000)
    schedule.advance(record(START_MS))
    schedule.advance(record(START_MS + 1_000))
    schedule.advance(record())

    assert schedule.is_due


def test_an_infinite_interval_is_never_over() -> None:
    schedule = TrainingSchedule(math.inf)
    for passed_ms in (0, 10_000, 3_600_000):
        schedule.advance(record(START_MS + passed_ms))
        assert not schedule.is_due


def test_a_training_counts_when_it_could_have_ended_and_not_within_minutes() -> None:
    schedule = TrainingSchedule(1_000)
    schedule.advance(record(START_MS))

    assert schedule.usable_from_ms(1.5) == START_MS + MIN_TRAINING_MS
    assert schedule.usable_from_ms(900.5) == START_MS + 900_500

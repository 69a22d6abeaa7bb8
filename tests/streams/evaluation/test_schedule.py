"""When a model is trained in an evaluation, and from when it counts."""

import math

from streams.evaluation.schedule import InTraining, TrainingSchedule
from streams.evaluation_config import MIN_TRAINING_MS
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


def test_a_training_over_a_quiet_gap_counts_after_the_rows_that_it_learned() -> None:
    schedule = TrainingSchedule(1_000)
    schedule.advance(record(START_MS))
    schedule.advance(record(START_MS + 1_000))
    night_ms = 8 * 3_600_000
    schedule.advance(record(START_MS + night_ms, START_MS + night_ms - 1))

    assert schedule.is_due
    assert schedule.now_ms == START_MS + 1_000, "two rows alone move no clock so far"
    assert schedule.usable_from_ms(0) == START_MS + night_ms + MIN_TRAINING_MS


def test_a_clock_far_ahead_that_nobody_shares_puts_no_training_off() -> None:
    schedule = TrainingSchedule(1_000)
    schedule.advance(record(START_MS))
    schedule.advance(record(10 * START_MS))
    schedule.advance(record(START_MS + 1_000))

    assert schedule.usable_from_ms(0) == START_MS + 1_000 + MIN_TRAINING_MS


def test_of_all_that_is_ready_the_newest_is_used_and_what_is_not_goes_on_waiting() -> None:
    models = InTraining[str]()
    for usable_from_ms, model in ((10, "first"), (40, "slow"), (20, "third"), (50, "last")):
        models.add(usable_from_ms, model)

    assert models.newest == "last"
    assert [models.take_ready(now_ms) for now_ms in (9, 30, 45, 50)] == [
        None,
        "third",
        None,
        "last",
    ]
    assert models.newest is None

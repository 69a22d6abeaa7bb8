from faust.types import TP

from streams.engine.ledger import PartitionProgress
from streams.engine.liveness import StallDetector

EVENTS_0 = TP("events", 0)
EVENTS_1 = TP("events", 1)


def test_standing_still_with_lag_for_the_whole_timeout_is_a_stall() -> None:
    detector = StallDetector(timeout_s=60)
    assert detector.observe({EVENTS_0: PartitionProgress(10, 90)}, now_s=0) == []
    assert detector.observe({EVENTS_0: PartitionProgress(10, 90)}, now_s=59) == []
    assert detector.observe({EVENTS_0: PartitionProgress(10, 95)}, now_s=60) == [EVENTS_0]


def test_having_nothing_to_do_is_no_stall() -> None:
    detector = StallDetector(timeout_s=60)
    for now_s in range(0, 600, 30):
        assert detector.observe({EVENTS_0: PartitionProgress(90, 90)}, now_s=now_s) == []


def test_timeout_counts_from_the_moment_that_something_waits() -> None:
    detector = StallDetector(timeout_s=60)
    detector.observe({EVENTS_0: PartitionProgress(90, 90)}, now_s=0)
    detector.observe({EVENTS_0: PartitionProgress(90, 90)}, now_s=300)
    assert detector.observe({EVENTS_0: PartitionProgress(90, 91)}, now_s=310) == []
    assert detector.observe({EVENTS_0: PartitionProgress(90, 91)}, now_s=359) == []
    assert detector.observe({EVENTS_0: PartitionProgress(90, 91)}, now_s=360) == [EVENTS_0]


def test_slow_progress_is_no_stall() -> None:
    detector = StallDetector(timeout_s=60)
    for now_s in range(0, 600, 50):
        assert detector.observe({EVENTS_0: PartitionProgress(now_s, 9000)}, now_s=now_s) == []


def test_one_partition_may_stall_while_another_goes_on() -> None:
    detector = StallDetector(timeout_s=60)
    detector.observe(
        {EVENTS_0: PartitionProgress(1, 9), EVENTS_1: PartitionProgress(1, 9)}, now_s=0
    )
    later = {EVENTS_0: PartitionProgress(1, 9), EVENTS_1: PartitionProgress(2, 9)}
    assert detector.observe(later, now_s=70) == [EVENTS_0]


def test_partition_that_comes_back_starts_anew() -> None:
    detector = StallDetector(timeout_s=60)
    detector.observe({EVENTS_0: PartitionProgress(1, 9)}, now_s=0)
    detector.observe({}, now_s=30)
    assert detector.observe({EVENTS_0: PartitionProgress(1, 9)}, now_s=70) == []


def test_time_without_the_broker_does_not_count() -> None:
    detector = StallDetector(timeout_s=60)
    detector.observe({EVENTS_0: PartitionProgress(1, 9)}, now_s=0)
    detector.excuse(50)
    assert detector.observe({EVENTS_0: PartitionProgress(1, 9)}, now_s=100) == []
    assert detector.observe({EVENTS_0: PartitionProgress(1, 9)}, now_s=110) == [EVENTS_0]


def test_lag_is_never_negative() -> None:
    assert PartitionProgress(next_offset=10, log_end=9).lag == 0
    assert PartitionProgress(next_offset=10, log_end=15).lag == 5

"""Laps: each stage gets the time since the one before."""

from streams.metrics import WorkerMetrics
from streams.pipeline.stopwatch import NoLaps, Stopwatch


def test_each_stage_gets_the_time_since_the_last_lap_and_waiting_between_none() -> None:
    metrics, now_s = WorkerMetrics(), [0.0]
    watch = Stopwatch(metrics.processing.stage_duration, lambda: now_s[0])

    now_s[0] = 2.0
    watch.lap("decode")
    now_s[0] = 50.0
    watch.start()
    now_s[0] = 53.0
    watch.lap("fold")

    def total(stage: str) -> float | None:
        return metrics.registry.get_sample_value(
            "recsys_stage_duration_seconds_sum", {"stage": stage}
        )

    assert (total("decode"), total("fold")) == (2.0, 3.0)


def test_no_laps_take_no_time() -> None:
    NoLaps().lap("fold")

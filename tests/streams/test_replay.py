from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.events import UserId, Visit
from streams.event_file import EventFileError, write_events
from streams.replay import BATCH_EVENTS, Pace, _events, _keep, _num_done, _paced


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(round(seconds, 3))
        self.now_s += seconds


def write(path: Path, times_ms: list[int]) -> Path:
    write_events(
        path,
        [
            Visit(event_id=f"e{n}", user_id=UserId("u"), ts_ms=ts_ms)
            for n, ts_ms in enumerate(times_ms)
        ],
    )
    return path


def batches(path: Path, pace: Pace, clock: Clock | None = None) -> Iterator[tuple[int, int | None]]:
    clock = clock or Clock()
    for batch in _paced(_events(path), pace, clock, clock.sleep):
        yield len(batch.events), batch.barrier_ms


def test_flat_out_waits_for_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1, 10**9, 2 * 10**9])
    clock = Clock()

    assert [size for size, _ in batches(path, Pace(), clock)] == [3]
    assert clock.slept_s == []


def test_batches_are_bounded(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1] * (BATCH_EVENTS + 1))

    assert [size for size, _ in batches(path, Pace())] == [BATCH_EVENTS, 1]


def test_log_speed_times_n_sends_what_is_due_before_it_waits(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1_000, 1_000, 11_000, 31_000])
    clock = Clock()

    assert [size for size, _ in batches(path, Pace(speed=10), clock)] == [2, 1, 1]
    assert clock.slept_s == [1.0, 2.0]


def test_barrier_comes_at_its_interval_of_event_time_and_at_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1_000, 1_500, 2_000, 2_500, 3_100, 3_200])
    pace = Pace(barrier=lambda _: None, barrier_interval_ms=1_000)

    assert list(batches(path, pace)) == [(2, 2_000), (2, 3_100), (2, 3_200)]


def test_event_without_user_is_refused_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1])
    path.write_bytes(path.read_bytes() + b'{"ts_ms": 3}\n')

    with pytest.raises(EventFileError, match="event 2 has no readable user_id"):
        list(_events(path))


def test_progress_is_kept_for_the_file_and_topic_that_it_belongs_to(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1, 2, 3])
    resume = tmp_path / "e.resume"

    assert _num_done(resume, path, "events") == 0
    _keep(resume, path, "events", 2)
    assert _num_done(resume, path, "events") == 2
    with pytest.raises(EventFileError, match="other"):
        _num_done(resume, path, "other")
    write(path, [1, 2, 3, 4])
    with pytest.raises(EventFileError, match="remove it to begin anew"):
        _num_done(resume, path, "events")


def test_damaged_resume_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", [1])
    (tmp_path / "e.resume").write_bytes(b"{")

    with pytest.raises(EventFileError, match=r"e\.resume"):
        _num_done(tmp_path / "e.resume", path, "events")

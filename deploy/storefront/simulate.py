"""What is the whole run of a simulated shop? A past, a wait until it is digested, then live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from deploy.storefront import calibration
from deploy.storefront.backfill import backfill
from deploy.storefront.calibration import Figures
from deploy.storefront.events import Action, Event
from deploy.storefront.live import run_live
from deploy.storefront.publisher import Publisher
from deploy.storefront.reader import RecommendationReader
from deploy.storefront.report import Report, for_settings
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from deploy.storefront.world import HOUR_MS, MINUTE_MS

Phase = Literal["backfill", "waiting", "live"]
_REPORT_EVERY_S = 5.0
_ASK_EVERY_S = 0.5
# Enough for a figure on a screen; the shop shares its two cores with what it measures.
_QUICK_RESAMPLES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        phase: `backfill`, `waiting` (live, everybody served the logging policy, until `is_ready`)
            or `live` (halves are served and counted).
        fraction: share of the phase that is done; 0 where its end is unknown.
        num_events: events sent since the run began.
        report: in `live`, the CTR of the halves so far; renewed every five seconds.
    """

    phase: Phase
    fraction: float
    num_events: int
    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    Attributes:
        settings: the shop.
        report: CTRs over the live phase.
        figures: marginals of the backfilled log.
        num_events: events sent.
        num_personal: lists read under the shopper's own key.
        num_popular: times `rec:popular` stood in.
        num_missing: times the application's own popularity stood in.
    """

    settings: Settings
    report: Report
    figures: Figures
    num_events: int
    num_personal: int
    num_popular: int
    num_missing: int

    def lines(self) -> list[str]:
        """Return the outcome as text: the report, the reads, and the log beside a real one."""
        path = calibration.find_globo()
        real = calibration.measure(calibration.read_globo(path)) if path else None
        return [
            *self.report.lines(),
            (
                f"lists read: {self.num_personal} of the shopper, {self.num_popular} popular, "
                f"{self.num_missing} missing"
            ),
            "",
            *calibration.table(self.figures, real),
        ]


def simulate(
    settings: Settings,
    kafka_bootstrap: str,
    redis_url: str,
    seconds: float | None,
    on_progress: Callable[[Progress], None],
    *,
    is_ready: Callable[[], bool] = lambda: True,
    is_stopped: Callable[[], bool] = lambda: False,
    barrier: Callable[[], None] = lambda: None,
    topic_prefix: str = "",
) -> Outcome:
    """Run a simulated shop against a real Kafka and a real Redis.

    Args:
        settings: the shop.
        kafka_bootstrap: `host:port` of the broker; topics `events` and `items` must exist.
        redis_url: where the recommender writes its lists.
        seconds: live time that is counted; None goes on until `is_stopped`.
        on_progress: is called every few thousand events or quarter of a second.
        is_ready: asked twice a second after the backfill; the count begins when it says so.
        is_stopped: asked four times a second; ends the run early, with what was counted so far.
        barrier: called during the backfill after every five simulated minutes, when Kafka has
            acknowledged everything before: a place to wait until the recommender has digested it.
        topic_prefix: stands before the names of the two topics.

    Raises:
        PublishError: Kafka refused an event.
    """
    # On a whole minute, so that a seed's run does not depend on the second it began in.
    start_ms = (_now_ms() - round(settings.backfill_hours * HOUR_MS)) // MINUTE_MS * MINUTE_MS
    reader = RecommendationReader(redis_url)
    storefront = Storefront(settings, start_ms, read=reader.read)
    with closing(reader), Publisher(kafka_bootstrap, topic_prefix=topic_prefix) as publisher:
        figures = _send_past(storefront, publisher, on_progress, barrier)
        storefront.set_pace(settings.live_sessions_per_s, hurry=settings.hurry, from_ms=_now_ms())
        _wait(storefront, publisher, on_progress, is_ready=is_ready, is_stopped=is_stopped)
        storefront.serve_halves()
        _go_live(storefront, publisher, on_progress, seconds=seconds, is_stopped=is_stopped)
        num_events = publisher.num_events
    return Outcome(
        settings=settings,
        report=for_settings(settings, storefront.tally.sums_UM),
        figures=figures,
        num_events=num_events,
        num_personal=reader.num_personal,
        num_popular=reader.num_popular,
        num_missing=reader.num_absent + reader.num_errors,
    )


def _send_past(
    storefront: Storefront,
    publisher: Publisher,
    on_progress: Callable[[Progress], None],
    barrier: Callable[[], None],
) -> Figures:
    actions: list[Event] = []

    def send(event: Event) -> None:
        publisher.send(event)
        if isinstance(event, Action):
            actions.append(event)

    def tell(fraction: float, num_events: int) -> None:
        on_progress(Progress(phase="backfill", fraction=fraction, num_events=num_events))

    def pause() -> None:
        publisher.flush()
        barrier()

    backfill(storefront, send, _now_ms, tell, pause)
    publisher.flush()
    return calibration.measure(calibration.opens_of(actions))


def _wait(
    storefront: Storefront,
    publisher: Publisher,
    on_progress: Callable[[Progress], None],
    *,
    is_ready: Callable[[], bool],
    is_stopped: Callable[[], bool],
) -> None:
    def is_over() -> bool:
        on_progress(Progress(phase="waiting", fraction=0.0, num_events=publisher.num_events))
        return is_stopped() or is_ready()

    run_live(
        storefront,
        publisher.send,
        _now_ms,
        time.sleep,
        is_over=is_over,
        tick_ms=round(1_000 * _ASK_EVERY_S),
    )


def _go_live(
    storefront: Storefront,
    publisher: Publisher,
    on_progress: Callable[[Progress], None],
    *,
    seconds: float | None,
    is_stopped: Callable[[], bool],
) -> None:
    begins_s = time.monotonic()
    report: Report | None = None
    reported_s = begins_s

    def is_over() -> bool:
        nonlocal report, reported_s
        now_s = time.monotonic()
        if now_s - reported_s >= _REPORT_EVERY_S:
            report = for_settings(
                storefront.settings, storefront.tally.sums_UM, num_resamples=_QUICK_RESAMPLES
            )
            reported_s = now_s
        fraction = min(1.0, (now_s - begins_s) / seconds) if seconds else 0.0
        on_progress(
            Progress(
                phase="live", fraction=fraction, num_events=publisher.num_events, report=report
            )
        )
        return is_stopped() or fraction >= 1.0

    run_live(storefront, publisher.send, _now_ms, time.sleep, is_over=is_over)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

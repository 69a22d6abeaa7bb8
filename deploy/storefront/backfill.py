"""How does a shop get a past? Simulated hours that end now, sent as fast as Kafka takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.storefront.events import Event
    from deploy.storefront.storefront import Storefront

# Simulated time between two barriers: counters half an hour old would teach the wrong lesson.
BARRIER_MS = 5 * 60_000
_EVENTS_PER_REPORT = 500
# Sending takes time, in which the present moves on: catch up until it is this near.
_NEAR_MS = 1_000


def backfill(
    storefront: Storefront,
    send: Callable[[Event], None],
    now_ms: Callable[[], int],
    on_progress: Callable[[float, int], None],
    barrier: Callable[[], None] = lambda: None,
) -> int:
    """Send everything from the storefront's start until the present.

    Args:
        storefront: a shop that began in the past.
        send: takes each event, in event-time order.
        now_ms: the wall clock.
        on_progress: is told the share of the way that is done, and the events so far.
        barrier: is called after every `BARRIER_MS` of simulated time and at the end; a recommender
            may be waited for there, so that it is never further behind than that.

    Returns:
        The number of events sent.
    """
    num_events = 0
    begins_ms = storefront.next_due_ms()
    barrier_ms = begins_ms + BARRIER_MS
    until_ms = now_ms()
    while until_ms - storefront.next_due_ms() > _NEAR_MS:
        for event in storefront.events(min(until_ms, barrier_ms)):
            send(event)
            num_events += 1
            if num_events % _EVENTS_PER_REPORT == 0:
                done_ms = storefront.next_due_ms() - begins_ms
                on_progress(min(1.0, done_ms / (until_ms - begins_ms)), num_events)
        barrier()
        barrier_ms += BARRIER_MS
        until_ms = now_ms()
    on_progress(1.0, num_events)
    return num_events

"""How does the shop run in real time? Each step waits for its moment on the wall clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.storefront.events import Event
    from deploy.storefront.storefront import Storefront


def run_live(
    storefront: Storefront,
    send: Callable[[Event], None],
    now_ms: Callable[[], int],
    sleep_s: Callable[[float], None],
    *,
    is_over: Callable[[], bool],
    tick_ms: int = 250,
) -> None:
    """Let the shop's steps happen when they are due, until `is_over`.

    A step that is late (a slow machine, a slow Redis) happens at once and keeps its own time in
    its events; nothing is skipped. A list is read in the step that shows it, 80 to 200 ms after
    the page was opened and its visit was sent.

    Args:
        storefront: a shop whose simulated time is Unix time.
        send: takes each event.
        now_ms: the wall clock.
        sleep_s: waits.
        is_over: asked every `tick_ms`.
        tick_ms: how long at most it waits before asking again.
    """
    next_tick_ms = now_ms()
    while True:
        present_ms = now_ms()
        if present_ms >= next_tick_ms:
            if is_over():
                return
            next_tick_ms = present_ms + tick_ms
        due_ms = min(storefront.next_due_ms(), next_tick_ms)
        if due_ms > present_ms:
            sleep_s((due_ms - present_ms) / 1_000)
            continue
        for event in storefront.step():
            send(event)

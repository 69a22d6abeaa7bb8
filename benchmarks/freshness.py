"""How long after its append is an event's list readable, with everything on one machine?

    python -m benchmarks.freshness --events-per-s 500 --seconds 60

Kafka, Redis, worker, learner and trainer run here, and this process sends 500 events a second: 60 %
impressions, 30 % actions, 10 % visits, of 3,000 users and 1,500 items. Freshness is taken twice:
from the worker's own histogram, and by an outside client that reads `rec:<user>` every 2 ms until
it holds the list that the event caused. Both count from the broker's append time.
The application's producer lingers 5 ms, as Kafka's own clients do since 4.0, and does not send a
request an event; nor does it keep figures about itself. Either would take processor time from
everybody else here.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from kafka import KafkaProducer
from redis import Redis

from deploy.stack.environment import read_environment
from deploy.stack.stack import Stack, StackConfig
from deploy.stack.topics import TopicLayout
from featurestore.events import (
    Action,
    Event,
    Impression,
    ItemId,
    ShownItem,
    UserId,
    Visit,
    encode_event,
)
from featurestore.keys import recommendations_key
from streams.local_roles import local_roles
from streams.role_figures import Figures, read_figures

_IMPRESSIONS: Final = 0.6
_ACTIONS: Final = 0.3
_SLATE: Final = 20
_OVERRIDES: Final = (
    "attribution.window_ms=60000",
    "trainer.min_actions=2000",
    "trainer.interval_s=15",
    "ranking.slate_sample_rate=0.05",
)


class _Written(msgspec.Struct):
    list_id: str


_lists: Final = msgspec.json.Decoder(_Written)


@dataclass(slots=True)
class Load:
    """Users who see slates, click, and open pages, at random."""

    num_users: int
    num_items: int
    generator: np.random.Generator
    shown: dict[int, tuple[str, list[str]]] = field(default_factory=dict)
    number: int = 0

    def event(self, now_ms: int) -> Event:
        """Return the next event."""
        self.number += 1
        user = int(self.generator.integers(self.num_users))
        event_id, user_id = f"e{self.number}", UserId(f"user-{user:011d}")
        share = self.generator.random()
        if share < _IMPRESSIONS:
            items = self._items(_SLATE)
            self.shown[user] = (event_id, items)
            return Impression(
                event_id=event_id,
                user_id=user_id,
                ts_ms=now_ms,
                request_id=event_id,
                items=tuple(
                    ShownItem(item_id=ItemId(item), position=place)
                    for place, item in enumerate(dict.fromkeys(items), start=1)
                ),
            )
        if share < _IMPRESSIONS + _ACTIONS:
            request_id, items = self.shown.get(user) or ("", self._items(1))
            return Action(
                event_id=event_id,
                user_id=user_id,
                ts_ms=now_ms,
                action="click",
                item_id=ItemId(items[int(self.generator.integers(len(items)))]),
                request_id=request_id or None,
            )
        return Visit(event_id=event_id, user_id=user_id, ts_ms=now_ms)

    def _items(self, num: int) -> list[str]:
        places = (self.num_items * self.generator.random(num) ** 3).astype(int)
        return [f"item-{place:011d}" for place in places.tolist()]


@dataclass(slots=True)
class Outside:
    """A client that waits for the lists of some events; one look at Redis every 2 ms."""

    redis: Redis
    waiting: deque[tuple[bytes, str, int]] = field(default_factory=deque)
    waits_ms: list[float] = field(default_factory=list)
    num_overtaken: int = 0

    def look(self) -> None:
        """Read the oldest awaited lists once."""
        batch = [self.waiting.popleft() for _ in range(min(8, len(self.waiting)))]
        if not batch:
            return
        values = self.redis.mget([key for key, _, _ in batch])
        now_ms = time.time() * 1000
        for (key, list_id, append_ms), value in zip(batch, values, strict=True):
            written = None if value is None else _lists.decode(value).list_id
            if written == list_id:
                self.waits_ms.append(now_ms - append_ms)
            elif written is not None and _is_later(written, list_id):
                self.num_overtaken += 1
            else:
                self.waiting.append((key, list_id, append_ms))


def _is_later(written: str, awaited: str) -> bool:
    (partition, offset), (other, awaited_offset) = written.split("-"), awaited.split("-")
    return partition == other and int(offset) > int(awaited_offset)


def drive(
    stack: Stack, events_per_s: float, warm_up_s: float, seconds: float, seed: int
) -> tuple[Outside, Figures]:
    """Send the load; return what the client saw and what the roles counted after the warm-up."""
    load = Load(3_000, 1_500, np.random.default_rng(seed))
    roles = [process.address for process in stack.roles.processes.values()]
    before = Figures({})
    with (
        closing(
            KafkaProducer(
                bootstrap_servers=stack.addresses.kafka, linger_ms=5, metrics_enabled=False
            )
        ) as producer,
        closing(Redis.from_url(stack.addresses.redis_url)) as client,
    ):
        outside = Outside(client)
        pending: list[tuple[int, object, bytes]] = []
        start_s = time.monotonic()
        begun = False
        while (now_s := time.monotonic() - start_s) < warm_up_s + seconds:
            if not begun and now_s >= warm_up_s:
                begun, before = True, read_figures(roles)
            while load.number < now_s * events_per_s:
                event = load.event(int(time.time() * 1000))
                sent = producer.send(
                    "events", key=event.user_id.encode(), value=encode_event(event)
                )
                if begun and not isinstance(event, Impression):
                    heapq.heappush(pending, (load.number, sent, recommendations_key(event.user_id)))
            while pending and pending[0][1].is_done:  # type: ignore[attr-defined]
                _, sent, key = heapq.heappop(pending)
                place = sent.get()  # type: ignore[attr-defined]
                outside.waiting.append((key, f"{place.partition}-{place.offset}", place.timestamp))
            outside.look()
            time.sleep(0.002)
        return outside, read_figures(roles) - before


def main() -> None:
    """Print freshness as both saw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--events-per-s", type=float, default=500.0)
    parser.add_argument("--warm-up", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        stack = Stack(
            StackConfig(directory=directory, topics=TopicLayout(num_partitions=4)),
            read_environment(os.environ),
            roles=local_roles(directory, overrides=_OVERRIDES),
        )
        with stack:
            outside, figures = drive(
                stack, arguments.events_per_s, arguments.warm_up, arguments.seconds, arguments.seed
            )
    median, tail = (
        1000 * figures.quantile("recsys_freshness_seconds", share, path="user")
        for share in (0.5, 0.99)
    )
    seen_median, seen_tail = np.quantile(outside.waits_ms, [0.5, 0.99])
    events = figures.total("recsys_events_total", topic="events")
    print(  # noqa: T201  # a benchmark prints
        f"{events / arguments.seconds:.0f} events/s; histogram p50 {median:.0f} ms, p99 {tail:.0f} "
        f"ms; outside p50 {seen_median:.0f} ms, p99 {seen_tail:.0f} ms over "
        f"{len(outside.waits_ms)} lists ({outside.num_overtaken} overtaken by a later one, "
        f"{len(outside.waiting)} not seen); trainings "
        f"{figures.total('recsys_trainer_runs_total'):.0f}"
    )


if __name__ == "__main__":
    main()

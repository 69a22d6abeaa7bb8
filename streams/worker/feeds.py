"""How does a worker come to its models before its first event, and keep them up to date?

Three readers run beside the agent for as long as the process: of the catalogue, of the
announcements of bundles, and of the learner's deltas. `start` returns when each has read what
there is now. Should one of them fail, the process ends: a worker that silently serves old models
is worse than one that starts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from featurestore.store import Store
from streams.config import Config
from streams.engine import SliceApp, fail_stop
from streams.metrics import WorkerMetrics
from streams.pipeline.live import LiveModels
from streams.worker.control import ItemsFeed, ModelsFeed
from streams.worker.replica import Replica


class Feeds:
    """The readers beside a worker's agent."""

    def __init__(
        self, config: Config, live: LiveModels, store: Store, metrics: WorkerMetrics
    ) -> None:
        self._kafka = config.kafka
        self._items = ItemsFeed(live, metrics)
        self._models = ModelsFeed(
            live,
            metrics,
            ranker=config.ranker_head(),
            repeats=not config.ranking.skip_acted,
        )
        self._replica = Replica(live.online, store, metrics, max_pause_s=config.redis.retry_s)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, app: SliceApp) -> None:
        """Read what there is, and go on reading; does nothing the second time.

        Args:
            app: Whose process ends should a reader fail.
        """
        if self._tasks:
            return
        await asyncio.gather(
            self._started(app, "reading the catalogue", self._read_items),
            self._started(app, "reading the announcements", self._read_models),
            self._started(app, "following the learner", self._follow_learner),
        )

    async def _started(
        self,
        app: SliceApp,
        what: str,
        read: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    ) -> None:
        """Run a reader in a task of its own; return when it is up to date, or has failed."""
        is_up_to_date = asyncio.Event()

        async def run() -> None:
            with fail_stop(app, what):
                await read(is_up_to_date)

        task = asyncio.create_task(run(), name=what)
        self._tasks.append(task)
        waiting = asyncio.create_task(is_up_to_date.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()

    async def _read_items(self, is_up_to_date: asyncio.Event) -> None:
        reader = self._items.reader(self._kafka.brokers, self._kafka.topics.items)
        async with reader:
            await reader.read_to_end()
            is_up_to_date.set()
            await reader.follow()

    async def _read_models(self, is_up_to_date: asyncio.Event) -> None:
        reader = self._models.reader(self._kafka.brokers, self._kafka.topics.models)
        async with reader, asyncio.TaskGroup() as group:
            await reader.read_to_end()
            await self._models.swap()
            is_up_to_date.set()
            group.create_task(self._models.follow())
            group.create_task(reader.follow())

    async def _follow_learner(self, is_up_to_date: asyncio.Event) -> None:
        await self._replica.load()
        is_up_to_date.set()
        await self._replica.follow()

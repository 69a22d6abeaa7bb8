"""Every ranker of `headrace train` is trained, promoted, orders lists and is rolled back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from deploy.stack.broker import KafkaBroker
from featurestore.lists import RecommendationList, decode_list
from models.rankers.registry import SERVABLE_RANKERS
from streams.event_file import write_events
from streams.heads import RERANKER
from tests.integration.roles import running_learner, running_worker, until
from tests.integration.stream_checks import produce, produce_items
from tests.integration.test_live_models import Desk
from tests.streams.priced_slates import ITEMS, answered_events, catalogue
from tests.streams.stream_events import START_MS, visit

NUM_SLATES = 300
NOW_MS = START_MS + 10**8


@pytest.mark.parametrize("name", SERVABLE_RANKERS)
def test_a_trained_ranker_orders_lists_once_promoted_until_rolled_back(
    name: str, kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    cheap = answered_events(NUM_SLATES, wants_cheap=True)
    dear = tmp_path / "dear.jsonl"
    write_events(dear, answered_events(NUM_SLATES, wants_cheap=False))
    events_topic = f"{topics}events"
    settings: dict[str, Any] = {
        "kafka": kafka.bootstrap,
        "redis_url": redis_url,
        "prefix": topics,
        "ranking__head": name,
        "ranking__skip_acted": "false",
    }
    produce_items(kafka.bootstrap, f"{topics}items", catalogue())
    desk = Desk(kafka.bootstrap, topics, tmp_path / "models")
    with (
        running_learner(tmp_path, **settings),
        running_worker(tmp_path, **settings) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        produce(kafka.bootstrap, events_topic, cheap)
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") >= len(cheap),
            what="everything folded",
        )
        written = worker.metric('recsys_stage_duration_seconds_count{stage="log"')
        until(lambda: worker.metric("recsys_replica_offset") >= written, what="everything learned")

        def list_of(user_id: str) -> RecommendationList:
            produce(kafka.bootstrap, events_topic, [visit(user_id, NOW_MS)])
            until(lambda: bool(client.exists(f"rec:{user_id}")), what=f"a list of {user_id}")
            value = client.get(f"rec:{user_id}")
            assert isinstance(value, bytes)
            return decode_list(value)

        def swapped(num: int) -> None:
            swaps = f'recsys_model_swaps_total{{kind="ranker-{name}"'
            until(lambda: worker.metric(swaps) == num, what=f"swap {num}")

        def is_ordered_by(user_id: str, digest: str, best: str) -> None:
            made = list_of(user_id)
            assert made.models.head == name
            assert made.models.bundles == {name: digest[:8]}
            assert made.items[0].item_id == best
            assert {item.item_id for item in made.items} == set(ITEMS)
            scores = [item.score for item in made.items]
            assert scores == sorted(scores, reverse=True)
            assert len(set(scores)) > 1

        first = desk.run("train", name, "--from", "kafka").splitlines()[-1][:12]
        second = desk.run("train", name, "--from", str(dear)).splitlines()[-1][:12]
        before = list_of("before")
        assert (before.models.head, before.models.bundles) == (RERANKER, {})
        assert before.items
        desk.run("models", "promote", first, "--model", name)
        swapped(1)
        is_ordered_by("with-first", first, ITEMS[0])
        desk.run("models", "promote", second, "--model", name)
        swapped(2)
        is_ordered_by("with-second", second, ITEMS[-1])
        assert second in desk.run("models", "list", "--model", name)
        desk.run("models", "rollback", "--model", name)
        swapped(3)
        is_ordered_by("back", first, ITEMS[0])

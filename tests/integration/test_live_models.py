"""Every model of `headrace train` is trained, promoted, asked and rolled back under a worker."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis
from click.testing import CliRunner

from deploy.stack.broker import KafkaBroker
from featurestore.events import CatalogueItem, Context, Event, ItemId, encode_event
from featurestore.lists import RecommendationList, decode_list
from models.bundle import load_bundle
from models.recommender import Recommender
from models.registry import SERVABLE, load_recommender, new_recommender
from streams.cli import _headrace
from streams.config import load_config
from streams.finished_log import read_log
from tests.integration.roles import RoleProcess, running_learner, running_worker, until
from tests.integration.stream_checks import produce, produce_items
from tests.streams.stream_events import START_MS, click, visit

NUM_PAIRS = 8
NUM_LISTED = 4
WITH_CONTEXT = ("autoencoder", "two_tower", "youtube")
WITH_ATTRIBUTES = ("two_tower",)
NOW_MS = START_MS + 10**8


def habits(shift: int, *, num_users: int = 160) -> list[Event]:
    """Users who take three pairs, each an item and what belongs to it: `b3` to `a3`, shifted."""
    generator = np.random.default_rng(5)
    events: list[Event] = []
    for number in range(num_users):
        for pair in generator.permutation(NUM_PAIRS)[:3].tolist():
            for item_id in (f"a{pair}", f"b{(pair + shift) % NUM_PAIRS}"):
                events.append(click(f"u{number}", item_id, START_MS + 60_000 * len(events)))
    return events


def best_of(scores: dict[str, float]) -> list[str]:
    """The items of a list in the order of these scores."""
    return sorted(scores, key=scores.__getitem__, reverse=True)[:NUM_LISTED]


class Desk:
    """The command line, on topics with this prefix."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self._prefix = prefix
        self._servers = {"HEADRACE_KAFKA": kafka, "HEADRACE_MODELS": str(folder)}

    def run(self, *arguments: str) -> str:
        names = ("events", "examples", "items", "models")
        settings = [f"--set=kafka.topics.{name}={self._prefix}{name}" for name in names]
        done = CliRunner().invoke(_headrace, [*arguments, *settings], env=self._servers)
        assert done.exit_code == 0, done.output
        return done.output

    def trained(self, name: str, source: str) -> tuple[str, dict[str, float]]:
        """Train a model; returns the short digest of its bundle, and what it scores after `a3`."""
        told = self.run("train", name, "--from", source).splitlines()[-1]
        folder = Path(told.split(" in ")[1].split(": ")[0])
        model = load_recommender(load_bundle(folder))
        sequence = model.sequence("anybody", ["a3"], times_s=[NOW_MS // 1000], now_s=NOW_MS // 1000)
        scores = dict(zip(model.item_ids, model.scores([sequence])[0].tolist(), strict=True))
        del scores["a3"]
        return told[:12], scores

    def well_trained(self, name: str) -> tuple[str, Recommender]:
        """Train a model on Kafka in small steps, as few events need them; its short digest, too."""
        topics = [f"kafka.topics.{one}={self._prefix}{one}" for one in ("events", "items")]
        log = read_log("kafka", load_config(None, self._servers, topics))
        training = {"batch_size": 32, "warm_up_steps": 10, "max_epochs": 12}
        model = new_recommender(name, training=training)
        for _ in model.fit(log.history):
            pass
        bundle = model.save(Path(self._servers["HEADRACE_MODELS"]) / f"offline-{name}-1")
        return bundle.digest[:12], model


@contextmanager
def only_source(
    name: str, limit: int, tmp_path: Path, *, kafka: str, redis_url: str, prefix: str
) -> Iterator[RoleProcess]:
    """Run a learner and a worker whose lists are what one model says; yield the worker."""
    sources: dict[str, object] = {
        "online__extra_sources": ["transformer", name],
        "online__initial_weights": f"{{{name} = 1.0, covisitation = 0.0}}",
        "online__reranker__min_slates": 10**9,
    }
    limits = f"{{{name} = {limit}, trending = 0, covisitation = 0, fresh = 0}}"
    with (
        running_learner(tmp_path, kafka=kafka, redis_url=redis_url, prefix=prefix, **sources),
        running_worker(
            tmp_path,
            kafka=kafka,
            redis_url=redis_url,
            prefix=prefix,
            number=0,
            retrieval__limits=limits,
            **sources,
        ) as worker,
    ):
        yield worker


@pytest.mark.parametrize("name", SERVABLE)
def test_a_trained_model_makes_lists_once_promoted_until_rolled_back(
    name: str, kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    events_topic, file = f"{topics}events", tmp_path / "shifted.jsonl"
    file.write_bytes(b"".join(encode_event(event) + b"\n" for event in habits(4)))
    produce(kafka.bootstrap, events_topic, habits(0))
    desk = Desk(kafka.bootstrap, topics, tmp_path / "models")
    first, first_scores = desk.trained(name, "kafka")
    second, second_scores = desk.trained(name, str(file))
    assert best_of(first_scores) != best_of(second_scores)
    with (
        only_source(
            name, 5, tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
        ) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") >= 6 * 160,
            what="everything folded",
        )
        written = worker.metric('recsys_stage_duration_seconds_count{stage="log"')
        until(lambda: worker.metric("recsys_replica_offset") >= written, what="everything learned")

        def list_of(user_id: str) -> RecommendationList | None:
            produce(kafka.bootstrap, events_topic, [click(user_id, "a3", NOW_MS)])
            until(lambda: bool(client.exists(f"rec:{user_id}")), what=f"a list of {user_id}")
            value = client.get(f"rec:{user_id}")
            return decode_list(value) if isinstance(value, bytes) else None

        def swapped(num: int) -> None:
            swaps = f'recsys_model_swaps_total{{kind="offline-{name}"'
            until(lambda: worker.metric(swaps) == num, what=f"swap {num}")

        def is_listed(user_id: str, digest: str, scores: dict[str, float]) -> None:
            made = list_of(user_id)
            assert made is not None
            assert made.models.bundles == {name: digest[:8]}
            # Items that the model holds for equal may come in either order.
            listed = [scores[item.item_id] for item in made.items[:NUM_LISTED]]
            expected = [scores[item_id] for item_id in best_of(scores)]
            np.testing.assert_allclose(listed, expected, atol=1e-5)
            assert {item.source for item in made.items} == {name}

        before = list_of("before")
        assert before is not None
        assert before.items == ()
        desk.run("models", "promote", first, "--model", name)
        swapped(1)
        is_listed("with-first", first, first_scores)
        desk.run("models", "promote", second, "--model", name)
        swapped(2)
        is_listed("with-second", second, second_scores)
        assert second in desk.run("models", "list", "--model", name)
        desk.run("models", "rollback", "--model", name)
        swapped(3)
        is_listed("back", first, first_scores)


def choices_by_device(*, num_users: int = 160) -> list[Event]:
    """Users who open pages on either device, and take items that begin with its first letter."""
    generator = np.random.default_rng(5)
    events: list[Event] = []
    for number in range(num_users):
        for _ in range(4):
            device = str(generator.choice(["mobile", "tv"]))
            at_ms = START_MS + 60_000 * len(events)
            item_id = f"{device[0]}{generator.integers(NUM_PAIRS)}"
            events.append(visit(f"u{number}", at_ms, context={"device": device}))
            events.append(click(f"u{number}", item_id, at_ms + 1000))
    return events


@pytest.mark.parametrize("name", WITH_CONTEXT)
def test_a_live_list_follows_the_device_and_the_catalogue_as_the_trained_model_does(
    name: str, kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    produce(kafka.bootstrap, f"{topics}events", choices_by_device())
    items = [f"{letter}{number}" for letter in "mt" for number in range(NUM_PAIRS)]
    produce_items(
        kafka.bootstrap,
        f"{topics}items",
        [CatalogueItem(item_id=ItemId(item), categories=(item[0],)) for item in [*items, "m-new"]],
    )
    desk = Desk(kafka.bootstrap, topics, tmp_path / "models")
    digest, model = desk.well_trained(name)
    assert "m-new" in model.item_ids
    with (
        only_source(
            name, 20, tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
        ) as worker,
        redis.Redis.from_url(redis_url) as client,
    ):
        swaps = f'recsys_model_swaps_total{{kind="offline-{name}"'
        desk.run("models", "promote", digest, "--model", name)
        until(lambda: worker.metric(swaps) == 1, what="the model")
        until(
            lambda: worker.metric("recsys_freshness_seconds_count") >= 2 * 4 * 160,
            what="everything folded",
        )
        written = worker.metric('recsys_stage_duration_seconds_count{stage="log"')
        until(lambda: worker.metric("recsys_replica_offset") >= written, what="everything learned")

        lists: list[list[ItemId]] = []
        for device in ("mobile", "tv"):
            context: Context = {"device": device}
            key = f"rec:on-{device}"
            opened = click(f"on-{device}", "m1", NOW_MS, context=context)
            produce(kafka.bootstrap, f"{topics}events", [opened])
            until(lambda key=key: bool(client.exists(key)), what=key)  # type: ignore[misc]
            value = client.get(key)
            assert isinstance(value, bytes)
            listed = [item.item_id for item in decode_list(value).items[:NUM_LISTED]]
            sequence = model.sequence(key, ["m1"], now_s=NOW_MS // 1000, context=context)
            (own,) = model.scores([sequence])
            scores = dict(zip(model.item_ids, own.tolist(), strict=True))
            # What the user has acted upon, and what nobody has met.
            for item_id in ("m1", "m-new"):
                scores.pop(item_id, None)
            np.testing.assert_allclose(
                [scores[item_id] for item_id in listed],
                [scores[item_id] for item_id in best_of(scores)],
                atol=1e-5,
            )
            lists.append(listed)
        assert lists[0] != lists[1]
        if name in WITH_ATTRIBUTES:
            late = CatalogueItem(item_id=ItemId("m-late"), categories=("m",))
            produce_items(kafka.bootstrap, f"{topics}items", [late])
            produce(kafka.bootstrap, f"{topics}events", [click("other", "m-late", NOW_MS)])

            asked = itertools.count()

            def sources_of_late() -> set[str]:
                user_id = f"late-{next(asked)}"
                produce(kafka.bootstrap, f"{topics}events", [click(user_id, "m1", NOW_MS)])
                until(lambda: bool(client.exists(f"rec:{user_id}")), what=user_id)
                value = client.get(f"rec:{user_id}")
                assert isinstance(value, bytes)
                return {one.source for one in decode_list(value).items if one.item_id == "m-late"}

            until(lambda: sources_of_late() == {name}, what="an item that came after training")

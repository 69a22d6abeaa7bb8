"""The minutes clock: examples in, a bundle out, and a running worker that takes it up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import redis

from deploy.stack.broker import KafkaBroker
from featurestore.events import CatalogueItem, ItemId
from featurestore.lists import decode_list
from models.bundle import OPTIMIZER, WEIGHTS, load_bundle
from models.encoder import BUNDLE_KIND
from models.side_features import SideFeatures
from models.transformer.network import CONTEXTS
from streams.announcements import Decision
from streams.model_registry import ModelRegistry
from tests.integration.learners import produce_records
from tests.integration.roles import running_trainer, running_worker, until
from tests.integration.stream_checks import produce, produce_items
from tests.streams.bundles import small_bundle
from tests.streams.example_logs import START_MS, action, record_of, told
from tests.streams.stream_events import click

TRAINER_S = 120.0
NUM_ITEMS = 20
PHONE = SideFeatures(context=("device",)).context_codes({"device": "phone"}, 0)
SWAPS = 'recsys_model_swaps_total{kind="transformer"}'
REFUSALS = 'recsys_model_refusals_total{kind="transformer"}'
PROGRESS = "recsys_consumer_last_progress_timestamp_seconds"
PROMOTED = 'recsys_trainer_runs_total{outcome="promoted"}'


def produce_walks(kafka: str, topic: str, num_users: int) -> None:
    """Users with a phone who walk one fixed permutation of the items, 20 actions a record."""
    generator = np.random.default_rng(1)
    sources = []
    for user in range(num_users):
        first = int(generator.integers(NUM_ITEMS))
        for step in range(5):
            at_ms = START_MS + 20_000 * user + 1_000 * step
            acted = action(f"u{user}", f"i{(first + 7 * step) % NUM_ITEMS}", at_ms)
            sources.append(told(acted, device="phone"))
    records = [record_of(sources[n : n + 20], n) for n in range(0, len(sources), 20)]
    produce_records(kafka, topic, records)


@pytest.mark.slow
def test_a_trained_bundle_is_taken_up_and_a_damaged_one_is_not(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    registry = ModelRegistry(folder, [kafka.bootstrap], f"{topics}models")
    produce_walks(kafka.bootstrap, f"{topics}examples", 80)
    even = [CatalogueItem(item_id=ItemId(f"i{n}"), categories=("even",)) for n in (0, 2, 4)]
    produce_items(kafka.bootstrap, f"{topics}items", even)
    with running_trainer(
        tmp_path,
        kafka=kafka.bootstrap,
        redis_url=redis_url,
        prefix=topics,
        trainer__reads_attributes="true",
    ) as trainer:
        until(
            lambda: trainer.metric(PROMOTED) == 1,
            what=f"a bundle announced\n{trainer.log()}",
            deadline_s=TRAINER_S,
        )
        assert trainer.stop() == 0
    announced = registry.current(BUNDLE_KIND)
    assert announced is not None
    assert announced.decision is Decision.GATE
    assert announced.cutoff_offset == 20
    bundle = load_bundle(Path(announced.uri), expected_digest=announced.digest)
    assert len(bundle.item_ids) == NUM_ITEMS
    assert bundle.arrays(OPTIMIZER)["attributes.codes"].any(1).sum() == len(even)
    learned = bundle.arrays(WEIGHTS)[f"network.{CONTEXTS}"].any(1)
    assert np.flatnonzero(learned).tolist() == list(PHONE)

    with running_worker(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as worker:
        until(lambda: worker.metric(SWAPS) == 1, what=f"the bundle in use\n{worker.log()}")

        spoilt = small_bundle(folder / "transformer-2", ["i1", "i2"])
        content = bytearray((spoilt.folder / WEIGHTS).read_bytes())
        content[-1] ^= 1
        (spoilt.folder / WEIGHTS).write_bytes(content)
        registry.announce(spoilt, decision=Decision.PROMOTE, reason="a test")
        until(lambda: worker.metric(REFUSALS) == 1, what=f"a refusal\n{worker.log()}")

        produce(kafka.bootstrap, f"{topics}events", [click("new", "i3", START_MS)])
        with redis.Redis.from_url(redis_url) as client:
            until(lambda: client.get("rec:new"), what=f"a list\n{worker.log()}")
            value = client.get("rec:new")
        assert isinstance(value, bytes)
        made = decode_list(value)
        assert made.models.bundles == {"transformer": bundle.digest[:8]}

        sound = small_bundle(folder / "transformer-3", ["i1", "i2"], seed=3)
        registry.promote(BUNDLE_KIND, sound.digest, reason="by hand")
        until(lambda: worker.metric(SWAPS) == 2, what=f"the next bundle\n{worker.log()}")


@pytest.mark.slow
def test_a_restarted_trainer_goes_on_and_trains_nothing_twice(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    produce_walks(kafka.bootstrap, f"{topics}examples", 80)
    with running_trainer(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics
    ) as trainer:
        until(
            lambda: trainer.metric(PROMOTED) == 1,
            what=f"a bundle announced\n{trainer.log()}",
            deadline_s=TRAINER_S,
        )
        assert trainer.stop() == 0
    with running_trainer(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics, number=1
    ) as again:
        until(lambda: again.metric(PROGRESS) > 0, what=f"the trainer's first look\n{again.log()}")
        looked_s = again.metric(PROGRESS)
        until(
            lambda: again.metric(PROGRESS) > looked_s + 3,
            what=f"several more looks at the log\n{again.log()}",
        )
        assert again.metric("recsys_trainer_runs_total") == 0
        assert again.stop() == 0

    folders = sorted(path.name for path in (tmp_path / "models").iterdir())
    assert folders[0] == "history"
    assert len(folders) == 2

"""A list in the store is what anyone computes from the versions that it names."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import redis
from kafka import KafkaProducer

from deploy.stack.broker import KafkaBroker
from featurestore.catalogue import Catalogue
from featurestore.events import (
    CatalogueItem,
    Impression,
    ItemId,
    UserId,
    decode_event,
    decode_item,
)
from featurestore.fold import Outcome, fold
from featurestore.keys import item_key
from featurestore.lists import (
    ModelVersions,
    RecommendationList,
    RecommendedItem,
    decode_list,
)
from featurestore.state import EMPTY_STATE, UserState
from models.bundle import Bundle
from models.encoder import BUNDLE_KIND, SequenceEncoder
from streams.announcements import DIGEST_CHARS, encode_announcement
from streams.config import Config, config_of
from streams.examples import decode_record
from streams.learner.fold import LearnerFold
from streams.pipeline.composition import build_pipeline
from streams.pipeline.list_requests import Listing, Trigger
from streams.pipeline.live import LiveModels
from streams.pipeline.stopwatch import NoLaps
from tests.chaos.event_log import shop_log
from tests.chaos.pipelines import Pipeline, running_pipeline
from tests.chaos.scale import scaled
from tests.integration.learners import EXTRA_SOURCES
from tests.integration.roles import until
from tests.integration.stream_checks import produce, produce_items, values_of
from tests.streams.bundles import announcement_of, small_bundle
from tests.streams.stream_events import START_MS

pytestmark = pytest.mark.slow

NUM_EVENTS: Final = scaled(4_000)
NUM_PORTIONS: Final = 50
NUM_LISTS: Final = 1_000
NUM_ITEMS: Final = 200
EQUAL_SCORES: Final = 1e-5
"""Neighbours whose scores are closer may change places: sums differ with the size of a batch."""
SETTINGS: Final[dict[str, Any]] = {
    "online__extra_sources": EXTRA_SOURCES,
    "retrieval__limits__factors": 20,
    "ranking__category_cap": 5,
    "online__heads": '["choice"]',
    "exploration__share": 0.3,
}


def test_lists_that_the_live_pipeline_wrote_are_those_of_a_replay_to_what_they_name(
    kafka: KafkaBroker, redis_url: str, topics: str, tmp_path: Path
) -> None:
    bundle = small_bundle(tmp_path / "bundle", [f"i{n}" for n in range(NUM_ITEMS - 50)])
    with running_pipeline(
        tmp_path, kafka=kafka.bootstrap, redis_url=redis_url, prefix=topics, **SETTINGS
    ) as pipeline:
        written = written_lists(pipeline, bundle)
    config = config_of({}, {}, [f"{k.replace('__', '.')}={v}" for k, v in SETTINGS.items()])
    assert len({made.models.online for made in written}) > NUM_PORTIONS // 4
    assert {made.models.bundles.get("transformer") for made in written} == {
        None,
        bundle.digest[:DIGEST_CHARS],
    }
    assert len({made.models.items for made in written}) > 1
    assert {made.order for made in written} == {"ranked", "explored"}

    sample = random.Random(1).sample(written, min(NUM_LISTS, len(written)))
    replay = Replay(config, pipeline, bundle)
    wrong = [f"{made}\n{again}" for made, again, is_same in replay.compared(sample) if not is_same]
    assert not wrong, f"{len(wrong)} of {len(sample)} lists, of which the first:\n{wrong[0]}"
    assert len(sample) >= min(NUM_LISTS, NUM_EVENTS // 10)


def written_lists(pipeline: Pipeline, bundle: Bundle) -> list[RecommendationList]:
    """Let a shop's events come portion by portion, and keep every list that is then in the store.

    In mid-stream a bundle is announced and a part of the catalogue is withdrawn.
    """
    events, items = shop_log(NUM_EVENTS, seed=5, num_items=NUM_ITEMS), catalogue()
    produce_items(pipeline.kafka, f"{pipeline.prefix}items", items)
    found: dict[bytes, None] = {}
    for number in range(NUM_PORTIONS):
        if number == NUM_PORTIONS // 3:
            announce(pipeline, bundle)
        if number == NUM_PORTIONS // 2:
            withdrawn = [CatalogueItem(item_id=ItemId(f"i{n}"), available=False) for n in range(9)]
            produce_items(pipeline.kafka, f"{pipeline.prefix}items", withdrawn)
        start, end = (NUM_EVENTS * part // NUM_PORTIONS for part in (number, number + 1))
        produce(pipeline.kafka, pipeline.events, events[start:end])
        until(
            partial(is_checkpointed, pipeline, end),
            what=f"{end} events in the store\n{pipeline.logs()}",
            deadline_s=120,
        )
        with redis.Redis.from_url(pipeline.redis_url) as client:
            found |= dict.fromkeys(client.mget(client.keys("rec:u*")))
    pipeline.until_done()
    return [decode_list(value) for value in found]


def is_checkpointed(pipeline: Pipeline, num_events: int) -> bool:
    return pipeline.num_checkpointed() == num_events


def catalogue() -> list[CatalogueItem]:
    """Every item of the shop, and some that nobody has met."""
    return [
        CatalogueItem(
            item_id=ItemId(f"i{number}"),
            categories=(f"c{number % 7}",),
            attributes={"price": number % 9},
            published_at_ms=START_MS - number * 1_000,
        )
        for number in range(NUM_ITEMS + 50)
    ]


def announce(pipeline: Pipeline, bundle: Bundle) -> None:
    """Make a bundle the current one, and wait until both workers serve it."""
    producer = KafkaProducer(bootstrap_servers=pipeline.kafka, acks="all")
    value = encode_announcement(announcement_of(bundle))
    producer.send(f"{pipeline.prefix}models", key=BUNDLE_KIND.encode(), value=value)
    producer.flush()
    producer.close()
    swaps = 'recsys_model_swaps_total{kind="transformer"}'
    until(
        lambda: all(pipeline.metric(name, swaps) == 1 for name in ("worker-1", "worker-2")),
        what=f"the bundle in use\n{pipeline.logs()}",
        deadline_s=120,
    )


class Moment(NamedTuple):
    """A user after the event at an offset, with the last that asked for a list."""

    offset: int
    state: UserState
    trigger: Trigger


class Replay:
    """Everything that lists name, from the logs alone."""

    def __init__(self, config: Config, pipeline: Pipeline, bundle: Bundle) -> None:
        self._config = config
        self._online = config.online_models()
        layout = config.layout_digest(self._online)
        self._fold = LearnerFold(self._online, config.attribution, layout=layout, topic_id="any")
        (self._examples,) = values_of(pipeline.kafka, pipeline.examples).values()
        (self._items,) = values_of(pipeline.kafka, f"{pipeline.prefix}items").values()
        self._moments = moments_of(values_of(pipeline.kafka, pipeline.events), config)
        self._bundle = bundle
        self._live: dict[tuple[str, ...], LiveModels] = {}

    def compared(
        self, written: Iterable[RecommendationList]
    ) -> Iterator[tuple[RecommendationList, RecommendationList, bool]]:
        """Yield each list with the same one computed anew, and whether they are the same."""
        for made in sorted(written, key=lambda made: made.models.online):
            self._learn_until(made.models.online)
            live = self._live_at(made.models)
            listing = self._computed(made, live)
            yield made, listing.lists[0], is_same(made, listing, live)

    def _learn_until(self, offset: int) -> None:
        while self._online.offset < offset:
            at = self._online.offset
            self._fold.fold(decode_record(self._examples[at] or b""), at)

    def _live_at(self, versions: ModelVersions) -> LiveModels:
        """The models around the learner's, with the catalogue and the bundle of these versions."""
        name = versions.items, *versions.bundles.values()
        if name not in self._live:
            live = LiveModels(self._online, Catalogue(numeric=self._config.features.numeric))
            for value in self._items:
                if live.catalogue.digest == versions.items:
                    break
                live.put_item(decode_item(value))
            if versions.bundles:
                live.use(SequenceEncoder.load(self._bundle.folder, key_of=item_key))
            self._live[name] = live
        return self._live[name]

    def _computed(self, made: RecommendationList, live: LiveModels) -> Listing:
        moments = self._moments[made.user_id, made.as_of.partition]
        place = bisect_right(moments, made.as_of.offset, key=lambda moment: moment.offset)
        moment = moments[place - 1]
        return build_pipeline(self._config, live).lists_at(
            made.as_of.offset,
            made.as_of.partition,
            {made.user_id: (moment.state, moment.trigger)},
            live,
            computed_at_ms=made.computed_at_ms,
            laps=NoLaps(),
        )


def moments_of(
    log: dict[int, list[bytes | None]], config: Config
) -> dict[tuple[UserId, int], list[Moment]]:
    """The states of every user after each of the user's events."""
    moments: defaultdict[tuple[UserId, int], list[Moment]] = defaultdict(list)
    rules = config.fold_rules()
    for partition, values in log.items():
        for offset, value in enumerate(values):
            event = decode_event(value)
            of_user = moments[event.user_id, partition]
            _, before, trigger = of_user[-1] if of_user else (-1, EMPTY_STATE, Trigger("", None))
            folded = fold(before, event, rules)
            if folded.outcome is not Outcome.DUPLICATE and not isinstance(event, Impression):
                trigger = Trigger(event.event_id, event.context)
            of_user.append(Moment(offset, folded.state, trigger))
    return moments


def is_same(made: RecommendationList, listing: Listing, live: LiveModels) -> bool:
    """Whether two lists agree in everything but the order of items with equal scores."""
    (again,), (ranked,) = listing.lists, listing.ranked
    item_ids = map(live.online.vocabulary.item_id, ranked.candidates.codes.tolist())
    scores = dict(zip(map(ItemId, item_ids), ranked.scores.tolist(), strict=True))
    return (
        (made.list_id, made.now_ms, made.models) == (again.list_id, again.now_ms, again.models)
        and len(made.items) == len(again.items)
        and all(
            (one.item_id == other.item_id and is_as_likely(one, other))
            or is_tie(scores, one.item_id, other.item_id)
            for one, other in zip(made.items, again.items, strict=True)
        )
    )


def is_as_likely(one: RecommendedItem, other: RecommendedItem) -> bool:
    return one.propensity == pytest.approx(other.propensity, rel=1e-3)


def is_tie(scores: dict[ItemId, float], one: ItemId, other: ItemId) -> bool:
    return abs(scores.get(one, float("inf")) - scores.get(other, 0.0)) < EQUAL_SCORES

"""Lists that a bundle's ranker orders: what they name, and what stands in for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from featurestore.events import UserId
from featurestore.keys import item_key
from featurestore.lists import RecommendationList
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from models.rankers.ranker_bundle import RankerHead, ServedRanker
from models.rankers.registry import SERVABLE_RANKERS
from streams.announcements import Announcement, Role, records_of
from streams.config import Config
from streams.engine import Record
from streams.event_file import write_events
from streams.heads import RERANKER, Head
from streams.metrics import WorkerMetrics
from streams.pipeline.composition import build_featurer, build_scorer
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import Effects
from streams.pipeline.queries import Asked
from streams.trainer.answered_slates import AnsweredSlate
from streams.trainer.ranker_training import save_trained, slates_of, train_ranker
from streams.worker.control import ModelsFeed
from tests.streams.bundles import announcement_of, small_bundle
from tests.streams.priced_slates import ITEMS, answered_events, catalogue
from tests.streams.stream_events import START_MS, visit
from tests.streams.taught import Line, config, live_models, put_items

RANKER_HEAD = RankerHead(name="pairwise", shape=config().slate_shape())
VISITS = [[one, other] for one in ITEMS for other in ITEMS if one != other]
USERS = [UserId(f"u{number}") for number in range(5)]


def settings_of(name: str, **overrides: object) -> Config:
    return config(ranking__head=name, ranking__skip_acted=False, **overrides)


def line(settings: Config) -> Line:
    made = Line(settings, live_models(settings, VISITS))
    put_items(made.live, *catalogue())
    return made


@pytest.fixture(scope="module")
def slates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[bool, list[AnsweredSlate]]:
    """Of users who want what is cheap, and of others."""
    found = {}
    for wants_cheap in (True, False):
        path = tmp_path_factory.mktemp("log") / "priced.jsonl"
        write_events(path, answered_events(120, wants_cheap=wants_cheap))
        found[wants_cheap] = slates_of(str(path), config()).newest()
    return found


def trained(
    name: str, slates: list[AnsweredSlate], folder: Path, settings: Config | None = None
) -> Bundle:
    head = RankerHead(name=name, shape=(settings or config()).slate_shape())
    return save_trained(train_ranker(head, slates), folder, created_ms=1)


class Worker:
    """A line that hears of bundles."""

    def __init__(self, settings: Config) -> None:
        self.line, self.metrics = line(settings), WorkerMetrics()
        self._feed = ModelsFeed(self.live, self.metrics, ranker=settings.ranker_head())

    @property
    def live(self) -> LiveModels:
        return self.line.live

    def hear(self, announcement: Announcement, role: Role = Role.CURRENT) -> None:
        async def swapped() -> None:
            for key, value in records_of(announcement, role):
                self._feed.take(0, [Record(offset=0, key=key, value=value, append_ms=0)])
            await self._feed.swap()

        asyncio.run(swapped())

    def visited(self, *users: UserId) -> Effects:
        at_ms = START_MS + self.line.next_offset
        return self.line.take(*(visit(user, at_ms) for user in users))

    def list_of(self, user: UserId) -> RecommendationList:
        return self.visited(user).lists[user]

    def counted(self, metric: str, kind: str) -> float:
        name = f"recsys_model_{metric}_total"
        return self.metrics.registry.get_sample_value(name, {"kind": kind}) or 0.0


def test_every_ranker_that_can_be_served_can_be_configured_and_nothing_else() -> None:
    assert set(get_args(Head)) == {"reranker", "click", "choice", *SERVABLE_RANKERS}
    for name in get_args(Head):
        assert (config(ranking__head=name).ranker_head() is None) == (name not in SERVABLE_RANKERS)


@pytest.mark.parametrize("name", SERVABLE_RANKERS)
def test_lists_are_ordered_by_the_announced_bundle_and_before_by_the_re_ranker(
    name: str, slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    settings, kind = settings_of(name), f"ranker-{name}"
    worker = Worker(settings)
    before, plain = worker.list_of(USERS[0]), Worker(settings_of(RERANKER)).list_of(USERS[0])
    assert (before.models.head, before.models.bundles) == (RERANKER, {})
    assert before.items == plain.items

    for number, wants_cheap in enumerate((True, False), start=1):
        bundle = trained(name, slates[wants_cheap], tmp_path / f"{number}")
        worker.hear(announcement_of(bundle))
        effects = worker.visited(USERS[0])
        made, (ranked,) = effects.lists[USERS[0]], effects.listing.ranked
        assert (made.models.head, made.models.bundles) == (name, {name: bundle.digest[:8]})
        assert made.items[0].item_id == ITEMS[0 if wants_cheap else -1]
        assert {item.source for item in made.items} == {"trending"}
        # By the bundle alone, from what serving knows of the candidates.
        state, candidates = effects.states[USERS[0]], ranked.candidates
        featurer = build_featurer(settings, worker.live)
        relevance = featurer.features(
            [Asked(USERS[0], state, state.clock_ms, None)],
            featurer.candidates(candidates.asked, worker.live),
            candidates.scores,
            worker.live,
        ).relevance
        alone = RankerHead(name=name, shape=settings.slate_shape()).load(bundle).scores(relevance)
        expected = np.exp(alone) if name == "watch_time" else alone
        assert ranked.scores.tolist() == expected.tolist()
        scores = [item.score for item in made.items]
        assert scores == sorted(scores, reverse=True)
    assert worker.counted("swaps", kind) == 2
    assert not worker.counted("refusals", kind)


@pytest.mark.parametrize("name", SERVABLE_RANKERS)
def test_lists_do_not_depend_on_who_else_is_in_the_chunk(
    name: str, slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    bundle = trained(name, slates[True], tmp_path / "bundle")
    together, alone = Worker(settings_of(name)), Worker(settings_of(name))
    for worker in (together, alone):
        worker.hear(announcement_of(bundle))
    lists = together.visited(*USERS).lists
    for place, user in enumerate(USERS):
        made = alone.line.take(visit(user, START_MS)).lists[user]
        assert made.items == lists[user].items
        assert made.list_id == f"0-{place}"


def test_a_refused_bundle_leaves_the_ranker_in_use(
    slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    name, kind = "pairwise", "ranker-pairwise"
    worker = Worker(settings_of(name))
    good, other = (trained(name, slates[cheap], tmp_path / f"{cheap}") for cheap in (True, False))
    layout = config(features__context_buckets=32)
    refused = [
        msgspec.structs.replace(announcement_of(other), digest="0" * 64),
        announcement_of(trained(name, slates[False], tmp_path / "layout", layout)),
        # A bundle of another kind under this kind's key.
        msgspec.structs.replace(
            announcement_of(trained("wide_deep", slates[False], tmp_path / "kind")), kind=kind
        ),
    ]
    worker.hear(announcement_of(good))
    served = worker.list_of(USERS[0])
    for number, announcement in enumerate(refused, start=1):
        worker.hear(announcement)
        assert worker.counted("refusals", kind) == number
        made = worker.list_of(USERS[0])
        assert made.models.bundles == {name: good.digest[:8]}
        assert [item.item_id for item in made.items] == [item.item_id for item in served.items]
    worker.hear(announcement_of(other))
    assert worker.list_of(USERS[0]).models.bundles == {name: other.digest[:8]}


def test_without_a_bundle_a_refused_one_leaves_the_re_ranker(
    slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    worker = Worker(settings_of("pairwise"))
    bundle = trained("pairwise", slates[True], tmp_path / "bundle")
    worker.hear(msgspec.structs.replace(announcement_of(bundle), digest="0" * 64))
    made = worker.list_of(USERS[0])
    assert (made.models.head, made.models.bundles) == (RERANKER, {})
    assert made.items


def test_another_rankers_bundle_is_not_taken_up(
    slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    worker = Worker(settings_of("xgboost_slate"))
    worker.hear(announcement_of(trained("pairwise", slates[True], tmp_path / "bundle")))
    assert worker.live.ranker is None


def test_a_challengers_lists_are_ordered_by_the_same_ranker(
    slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    worker = Worker(settings_of("pairwise"))
    first, second = (
        trained("pairwise", slates[cheap], tmp_path / f"{cheap}") for cheap in (True, False)
    )
    worker.hear(announcement_of(first))
    encoder = SequenceEncoder(small_bundle(tmp_path / "encoder", ITEMS), key_of=item_key)
    worker.live.challenge(encoder)
    challenger = worker.live.challenger
    assert challenger is not None
    assert challenger.digest_of("pairwise") == first.digest
    worker.live.rank_by(ServedRanker(RANKER_HEAD, second))
    assert challenger.digest_of("pairwise") == second.digest


def test_an_expected_watch_time_adds_up_with_noise_by_its_logarithm(
    slates: Mapping[bool, list[AnsweredSlate]], tmp_path: Path
) -> None:
    worker = Worker(settings_of("watch_time"))
    worker.hear(announcement_of(trained("watch_time", slates[True], tmp_path / "bundle")))
    scores = np.array([60.0, 30.0])
    found = build_scorer(settings_of("watch_time"), worker.live).logits(scores, worker.live)
    assert found[0] - found[1] == pytest.approx(np.log(2))

"""What changes a running worker's catalogue and deep model, and what does not."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec

from featurestore.events import CatalogueItem, ItemId, UserId, encode_event
from models.bundle import WEIGHTS, Bundle
from models.recommenders.ease import LinearAutoencoder
from models.recommenders.vsknn import NeighbourRecommender
from streams.announcements import Announcement, Decision, Role, encode_announcement, records_of
from streams.engine import Record
from streams.metrics import WorkerMetrics
from streams.pipeline.live import LiveModels
from streams.worker.control import ItemsFeed, ModelsFeed
from tests.models.histories import history_of
from tests.streams.bundles import announcement_of, small_bundle
from tests.streams.stream_events import START_MS, click, visit
from tests.streams.taught import Line, config, item, live_models

ITEMS = ["a", "b", "c", "d"]
U1 = UserId("u1")


def records(*values: bytes | None, key: bytes | None = b"transformer") -> list[Record]:
    return [
        Record(offset=offset, key=key, value=value, append_ms=0)
        for offset, value in enumerate(values)
    ]


def sample(metrics: WorkerMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def named_in_info(metrics: WorkerMetrics) -> set[tuple[str, str]]:
    """Kind and digest of what metrics say is in use."""
    return {
        (series.labels["kind"], series.labels["digest"])
        for family in metrics.registry.collect()
        if family.name == "recsys_model_info"
        for series in family.samples
    }


def live() -> LiveModels:
    return live_models(config(), [["a", "b", "c"], ["b", "d"]])


def test_records_of_items_fold_into_the_catalogue_and_others_are_counted() -> None:
    models, metrics = live(), WorkerMetrics()
    values = [
        encode_event(item("a", categories=("shoes",))),
        b"{broken",
        None,
        encode_event(CatalogueItem(item_id=ItemId("a"), available=False)),
    ]

    ItemsFeed(models, metrics).take(0, records(*values, key=b"a"))

    taken = models.catalogue.get(ItemId("a"))
    assert taken is not None
    assert not taken.available
    labels = {"topic": "items", "event_type": "item"}
    assert sample(metrics, "recsys_events_total", outcome="ok", **labels) == 2
    assert sample(metrics, "recsys_events_total", outcome="invalid", **labels) == 2


def swapped(models: LiveModels, metrics: WorkerMetrics, *values: bytes) -> None:
    feed = ModelsFeed(models, metrics)

    async def take() -> None:
        feed.take(0, records(*values))
        await feed.swap()

    asyncio.run(take())


def announced(bundle: Bundle) -> bytes:
    return encode_announcement(announcement_of(bundle))


def test_the_last_announced_bundle_is_served_and_named_in_lists(tmp_path: Path) -> None:
    models, metrics = live(), WorkerMetrics()
    old, new = (small_bundle(tmp_path / f"b{n}", ITEMS, seed=n) for n in range(2))

    swapped(models, metrics, announced(old), announced(new))

    assert models.encoder is not None
    assert models.encoder.bundle.digest == new.digest
    made = Line(config(), models).take(click("u1", "a")).lists[U1]
    assert made.models.bundles == {"transformer": new.digest[:8]}
    assert sample(metrics, "recsys_model_swaps_total", kind="transformer") == 1
    info = {"kind": "transformer", "version": "1", "digest": new.digest[:8]}
    assert sample(metrics, "recsys_model_info", **info) == 1


def test_a_challenger_is_loaded_beside_and_let_go_when_it_is_decided_on(tmp_path: Path) -> None:
    models, metrics = live(), WorkerMetrics()
    current, other = (small_bundle(tmp_path / f"b{n}", ITEMS, seed=n) for n in range(2))
    feed = ModelsFeed(models, metrics)

    async def hear(role: Role, bundle: Bundle, decision: Decision) -> None:
        announcement = announcement_of(bundle).decided(decision, "a test")
        for key, value in records_of(announcement, role):
            feed.take(0, records(value, key=key))
        await feed.swap()

    async def follow() -> None:
        await hear(Role.CURRENT, current, Decision.GATE)
        assert models.challenger is None
        await hear(Role.CHALLENGER, other, Decision.CANDIDATE)
        assert models.challenger is not None
        assert models.challenger.bundle == other.digest[:8]
        assert models.bundle == current.digest[:8]
        await hear(Role.CURRENT, other, Decision.GATE)
        assert models.challenger is None
        await hear(Role.CHALLENGER, current, Decision.STANDBY)
        assert models.challenger is not None
        assert models.challenger.bundle == current.digest[:8]
        await hear(Role.CURRENT, current, Decision.LIVE_ROLLBACK)
        await hear(Role.CHALLENGER, other, Decision.REFUSED)
        assert models.challenger is None

    asyncio.run(follow())
    assert sample(metrics, "recsys_model_rollbacks_total", reason="lost_quality") == 1


def saved(folder: Path, rows: Sequence[tuple[str, str]]) -> Bundle:
    """A bundle of a model that learned who acted on what, each twenty times."""
    model = LinearAutoencoder(l2=1.0)
    times_twenty = [(f"{user}{number}", item_id) for number in range(20) for user, item_id in rows]
    for _ in model.fit(history_of(times_twenty)):
        pass
    return model.save(folder)


def test_a_model_of_a_finished_log_is_asked_swapped_and_kept_when_another_is_refused(
    tmp_path: Path,
) -> None:
    settings = config(
        online__extra_sources=["transformer", "ease"],
        retrieval__limits__ease=5,
        online__initial_weights="{ease = 1.0, covisitation = 0.0}",
    )
    models, metrics = live_models(settings, [["a", "b", "c"], ["b", "d"]]), WorkerMetrics()
    line, kind = Line(settings, models), "offline-ease"
    feed = ModelsFeed(models, metrics)

    def best_after_a(announcement: Announcement) -> str:
        async def hear() -> None:
            for key, value in records_of(announcement, Role.CURRENT):
                feed.take(0, records(value, key=key))
            await feed.swap()

        asyncio.run(hear())
        made = line.take(click("u1", "a", START_MS + line.next_offset)).lists[U1]
        assert made.models.bundles == {"ease": models.loaded["ease"].digest[:8]}
        best = made.items[0]
        return best.item_id

    first, second = (
        saved(tmp_path / item_id, [("u", "a"), ("u", item_id), ("v", "d")]) for item_id in "bc"
    )
    assert best_after_a(announcement_of(first)) == "b"
    assert best_after_a(announcement_of(second)) == "c"
    damaged = msgspec.structs.replace(announcement_of(first), digest="0" * 64)
    assert best_after_a(damaged) == "c"
    assert best_after_a(announcement_of(first)) == "b"
    assert sample(metrics, "recsys_model_swaps_total", kind=kind) == 3
    assert sample(metrics, "recsys_model_refusals_total", kind=kind) == 1
    assert named_in_info(metrics) == {(kind, first.digest[:8])}
    assert not sample(metrics, "recsys_model_swaps_total", kind="transformer")

    transformer = small_bundle(tmp_path / "transformer", ITEMS)
    swapped(models, metrics, announced(transformer))
    assert named_in_info(metrics) == {
        (kind, first.digest[:8]),
        ("transformer", transformer.digest[:8]),
    }


def test_a_bundle_under_another_kinds_key_is_refused(tmp_path: Path) -> None:
    settings = config(online__extra_sources=["transformer", "ease"])
    models, metrics = live_models(settings, [["a", "b"]]), WorkerMetrics()
    feed = ModelsFeed(models, metrics)
    vsknn = NeighbourRecommender()
    for _ in vsknn.fit(history_of([("u", "a"), ("u", "b")])):
        pass
    value = announced(vsknn.save(tmp_path / "b"))

    async def hear() -> None:
        feed.take(0, records(value, key=b"offline-ease"))
        await feed.swap()

    asyncio.run(hear())
    assert "ease" not in models.loaded
    assert sample(metrics, "recsys_model_refusals_total", kind="offline-ease") == 1


def test_a_damaged_bundle_is_refused_and_the_one_in_use_stays(tmp_path: Path) -> None:
    models, metrics = live(), WorkerMetrics()
    good, bad = (small_bundle(tmp_path / f"b{n}", ITEMS, seed=n) for n in range(2))
    swapped(models, metrics, announced(good))
    weights = bad.folder / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    swapped(models, metrics, announced(bad))

    assert models.encoder is not None
    assert models.encoder.bundle.digest == good.digest
    assert sample(metrics, "recsys_model_refusals_total", kind="transformer") == 1


def test_another_bundle_than_the_announced_one_and_a_missing_one_are_refused(
    tmp_path: Path,
) -> None:
    models, metrics = live(), WorkerMetrics()
    bundle = small_bundle(tmp_path / "b", ITEMS)
    announcement = announcement_of(bundle)
    swapped(
        models,
        metrics,
        encode_announcement(msgspec.structs.replace(announcement, digest="0" * 64)),
    )
    swapped(
        models,
        metrics,
        encode_announcement(msgspec.structs.replace(announcement, uri=str(tmp_path / "gone"))),
    )

    assert models.encoder is None
    assert sample(metrics, "recsys_model_refusals_total", kind="transformer") == 2


def test_what_is_no_announcement_or_of_another_kind_changes_nothing(tmp_path: Path) -> None:
    models, metrics = live(), WorkerMetrics()
    bundle = small_bundle(tmp_path / "b", ITEMS)
    feed = ModelsFeed(models, metrics)

    async def take() -> None:
        feed.take(0, records(b"{}"))
        feed.take(0, records(announced(bundle), key=b"another kind"))
        await feed.swap()

    asyncio.run(take())

    assert models.encoder is None
    assert sample(metrics, "recsys_model_refusals_total", kind="transformer") == 1


def test_the_transformer_proposes_scores_and_reaches_impressions(tmp_path: Path) -> None:
    settings = config(retrieval__limits="{trending = 0, covisitation = 0, fresh = 0}")
    models = live_models(settings, [["a", "b", "c"], ["b", "d"]])
    line = Line(settings, models)
    assert line.take(visit("u1")).lists[U1].items == ()

    swapped(models, WorkerMetrics(), announced(small_bundle(tmp_path / "b", ITEMS)))
    made = line.take(click("u1", "a")).lists[U1]

    assert {one.item_id for one in made.items} == {"b", "c", "d"}
    assert {one.source for one in made.items} == {"transformer"}
    assert {one.reason for one in made.items} == {"a"}

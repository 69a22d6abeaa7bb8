"""What is logged of the lists that a challenger would have made."""

from pathlib import Path

import numpy as np
import pytest

from featurestore.events import Event, UserId
from featurestore.keys import item_key
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from streams.examples import ExamplesRecord, RivalRow, SlateRow, unpack_float32
from streams.pipeline.live import LiveModels
from tests.streams.bundles import small_bundle
from tests.streams.stream_events import click, visit
from tests.streams.taught import Line, config, live_models

ITEMS = [f"i{number}" for number in range(30)]
SEQUENCES = [[one, other] for one in ITEMS[:10] for other in ITEMS[5:20]]
SETTINGS = config(
    gate__compare_rate=1.0, ranking__slate_sample_rate=1.0, online__heads=[], ranking__num_new=0
)


def encoder_of(bundle: Bundle) -> SequenceEncoder:
    return SequenceEncoder(bundle, key_of=item_key)


def line(folder: Path, *seeds: int) -> tuple[Line, list[SequenceEncoder]]:
    bundles = [small_bundle(folder / f"b{n}", ITEMS, seed=seed) for n, seed in enumerate(seeds)]
    return Line(SETTINGS, live_models(SETTINGS, SEQUENCES)), [encoder_of(one) for one in bundles]


def rivals(record: ExamplesRecord) -> list[RivalRow]:
    return [row for row in record.rows if isinstance(row, RivalRow)]


def slates(record: ExamplesRecord) -> list[SlateRow]:
    return [row for row in record.rows if isinstance(row, SlateRow)]


def named(record: ExamplesRecord, indices: list[int]) -> list[str]:
    return [record.items[index] for index in indices]


def trusting(live: LiveModels) -> None:
    """Let the re-ranker follow the transformer, so that bundles make a difference."""
    weights = live.online.reranker.table.columns["moved"]
    weights.put(live.online.rerank_feature_names.index("transformer"), 5.0)
    live.online.reranker.progress.columns["num_slates"].put(0, 1000.0)
    live.online.reranker.progress.columns["memory"].put(0, 1.0)
    live.online.reranker.progress.columns["tuned_loss"].put(0, 1.0)


def test_both_lists_are_logged_and_the_one_in_use_is_served(tmp_path: Path) -> None:
    one, (current, other) = line(tmp_path, 1, 2)
    trusting(one.live)
    one.live.use(current)
    one.live.challenge(other)

    effects = one.take(click("u1", "i3"), click("u2", "i4"))

    rows = rivals(effects.record)
    assert [row.challenger for row in rows] == [other.bundle.digest[:8]] * 2
    for row in rows:
        served = effects.lists[UserId(row.user_id)]
        assert named(effects.record, row.listed) == [item.item_id for item in served.items]
        assert served.models.bundles == {"transformer": current.bundle.digest[:8]}

    alone, (same_other,) = line(tmp_path / "alone", 2)
    trusting(alone.live)
    alone.live.use(same_other)
    expected = alone.take(click("u1", "i3"), click("u2", "i4")).lists
    for row in rows:
        theirs = [item.item_id for item in expected[UserId(row.user_id)].items]
        assert named(effects.record, row.challenger_listed) == theirs
        assert row.challenger_listed != row.listed


def test_a_challenger_changes_no_list_and_nothing_else_that_is_logged(tmp_path: Path) -> None:
    events: list[Event] = [click("u1", "i3"), visit("u2"), click("u2", "i4")]
    with_one, (current, other) = line(tmp_path / "a", 1, 2)
    without, (same, _) = line(tmp_path / "b", 1, 2)
    with_one.live.use(current)
    with_one.live.challenge(other)
    without.live.use(same)

    mine, theirs = with_one.take(*events), without.take(*events)

    assert mine.lists == theirs.lists
    assert mine.states == theirs.states
    for row, other_row in zip(slates(mine.record), slates(theirs.record), strict=True):
        assert row.features == other_row.features
        assert named(mine.record, row.items) == named(theirs.record, other_row.items)
    assert len(rivals(mine.record)) == len(events) - 1
    assert not rivals(theirs.record)


def test_nothing_is_compared_while_the_challenger_is_the_bundle_in_use_no_more(
    tmp_path: Path,
) -> None:
    one, (current, other) = line(tmp_path, 1, 2)
    one.live.use(current)
    one.live.challenge(other)
    one.live.challenge(None)

    assert not rivals(one.take(click("u1", "i3")).record)


def test_the_log_chances_are_those_of_both_orders(tmp_path: Path) -> None:
    one, (current, other) = line(tmp_path, 1, 2)
    trusting(one.live)
    one.live.use(current)
    one.live.challenge(other)

    record = one.take(click("u1", "i3")).record

    (row,), (slate,) = rivals(record), slates(record)
    log_chances_N2 = unpack_float32(row.log_chances, len(row.items))
    assert np.exp(log_chances_N2).sum(axis=0) == pytest.approx([1, 1], abs=1e-5)
    utilities = one.live.online.reranker.utilities(unpack_float32(slate.features, len(slate.items)))
    mine = dict(zip(row.items, log_chances_N2[:, 0].tolist(), strict=True))
    expected = utilities - np.log(np.exp(utilities).sum())
    assert [mine[item] for item in slate.items] == pytest.approx(expected.tolist(), abs=1e-5)
    for column, listed in enumerate((row.listed, row.challenger_listed)):
        best = np.argsort(-log_chances_N2[:, column], kind="stable")[: len(listed)]
        assert {row.items[place] for place in best.tolist()} == set(listed)


def test_what_is_compared_is_drawn_apart_from_what_is_learned(tmp_path: Path) -> None:
    settings = config(gate__compare_rate=1.0, ranking__slate_sample_rate=0.0, online__heads=[])
    one = Line(settings, live_models(settings, SEQUENCES))
    bundles = [small_bundle(tmp_path / f"b{seed}", ITEMS, seed=seed) for seed in (1, 2)]
    one.live.use(encoder_of(bundles[0]))
    one.live.challenge(encoder_of(bundles[1]))

    record = one.take(click("u1", "i3")).record

    assert (len(rivals(record)), len(slates(record))) == (1, 0)

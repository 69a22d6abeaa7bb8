"""What is logged of the lists that a challenger would have made."""

from pathlib import Path

from featurestore.events import Event, UserId
from featurestore.keys import item_key
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from streams.examples import ExamplesRecord, SlateRow
from streams.live import LiveModels
from tests.streams.bundles import small_bundle
from tests.streams.stream_events import click, visit
from tests.streams.taught import Line, config, live_models

ITEMS = [f"i{number}" for number in range(30)]
SEQUENCES = [[one, other] for one in ITEMS[:10] for other in ITEMS[5:20]]
SETTINGS = config(ranking__slate_sample_rate=1.0, online__heads=[], ranking__num_new=0)


def encoder_of(bundle: Bundle) -> SequenceEncoder:
    return SequenceEncoder(bundle, key_of=item_key)


def line(folder: Path, *seeds: int) -> tuple[Line, list[SequenceEncoder]]:
    bundles = [small_bundle(folder / f"b{n}", ITEMS, seed=seed) for n, seed in enumerate(seeds)]
    return Line(SETTINGS, live_models(SETTINGS, SEQUENCES)), [encoder_of(one) for one in bundles]


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

    rows = slates(effects.record)
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
        assert (other_row.challenger, other_row.listed) == ("", [])


def test_nothing_is_compared_while_the_challenger_is_the_bundle_in_use_no_more(
    tmp_path: Path,
) -> None:
    one, (current, other) = line(tmp_path, 1, 2)
    one.live.use(current)
    one.live.challenge(other)
    one.live.challenge(None)

    (row,) = slates(one.take(click("u1", "i3")).record)

    assert (row.challenger, row.listed, row.challenger_listed) == ("", [], [])

"""The trainer's fold of `examples`: once, causal, and gone on from exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from models.online.covisitation import CovisitationConfig
from models.online.online_models import OnlineConfig
from models.side_features import SideFeatures
from streams.examples import ExamplesRecord
from streams.source_partitions import GapInExamples
from streams.trainer.training_data import TrainingData
from tests.streams.example_logs import (
    START_MS,
    Chunker,
    Source,
    action,
    impression,
    logs,
    record_of,
    told,
    visit,
)

SIDE = SideFeatures(context=("device", "hour"))
FILES = ("history.safetensors", "counters.bin", "moments", "position")


def new_data(
    topic_id: str = "topic", capacity: int = 1000, side: SideFeatures = SIDE
) -> TrainingData:
    return TrainingData(
        OnlineConfig(), topic_id=topic_id, side=side, capacity=capacity, counter_rows=1000
    )


def data_of(records: Iterable[ExamplesRecord]) -> TrainingData:
    data = new_data()
    for offset, record in enumerate(records):
        data.append(record, offset)
    return data


def one_by_one(sources: Sequence[Source]) -> list[ExamplesRecord]:
    return [record_of([source], offset) for offset, source in enumerate(sources)]


def shop(num_users: int = 40, seed: int = 3) -> list[Source]:
    """Users who open a page, are shown something, and act three times, over several minutes."""
    generator = np.random.default_rng(seed)
    sources: list[Source] = []
    for user in range(num_users):
        now_ms, items = START_MS + user * 20_000, generator.integers(12, size=3)
        names = [f"i{number}" for number in items]
        sources.append(visit(f"u{user}", now_ms))
        sources.append(impression(f"u{user}", ["i1", "i2"], now_ms + 10))
        for place, name in enumerate(names):
            previous = names[max(0, place - 3) : place][::-1]
            sources.append(action(f"u{user}", name, now_ms + 100 * place, previous=previous))
    return sources


def columns(data: TrainingData) -> list[list[int]]:
    history = data.history
    kept = (history.users, history.items, history.actions, history.times_s, history.visits_s)
    return [column.tolist() for column in (*kept, history.asked_s, history.contexts)]


def kept(folder: Path) -> tuple[str | bytes, ...]:
    """All that was saved; of the history its digest, since the header's order is not fixed."""
    with safe_open(folder / FILES[0], framework="numpy") as file:
        return (file.metadata()["sha256"], *((folder / name).read_bytes() for name in FILES[1:]))


def lists_before(data: TrainingData, *rows: int) -> list[set[str]]:
    """The items that co-visitation listed before each row."""
    inputs = data.counters.inputs(np.array(rows), len(data.history.item_ids))
    names = data.history.item_ids
    return [{names[code] for code in listed if code >= 0} for listed in inputs.item_PK.tolist()]


def test_actions_and_visits_are_kept_in_order_and_nothing_else() -> None:
    data = data_of(
        one_by_one(
            [
                visit("ann", START_MS),
                impression("ann", ["i1", "i2"], START_MS + 5),
                action("ann", "i2", START_MS + 2_000),
                action("bob", None, START_MS + 3_000),
            ]
        )
    )

    start_s = START_MS // 1000
    assert data.history.item_ids == ["i2"]
    assert data.history.items.tolist() == [0, -1]
    assert data.history.times_s.tolist() == [start_s + 2, start_s + 3]
    assert data.history.visits_s.tolist() == [start_s, 0]
    assert data.history.offset == 4
    assert data.newest_ms == START_MS + 3_000


@st.composite
def chunked_logs(draw: st.DrawFn) -> tuple[list[Source], list[ExamplesRecord]]:
    """A partition's events, and the records that a worker with crashes made of them."""
    log = draw(logs())
    return log, list(Chunker(draw, [log]).records())


@given(chunked_logs())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_repeated_and_overlapping_chunks_count_once(
    drawn: tuple[list[Source], list[ExamplesRecord]],
) -> None:
    log, records = drawn
    chunked = data_of(records)
    whole = data_of([record_of(log, 0)])

    assert columns(chunked) == columns(whole)
    assert chunked._online.snapshot() == whole._online.snapshot()


def test_an_offset_that_was_read_changes_nothing() -> None:
    records = one_by_one(shop(5))
    data = data_of(records)
    before = columns(data)

    data.append(records[3], 3)

    assert columns(data) == before
    assert data.history.offset == len(records)


def test_a_hole_in_a_partition_is_refused() -> None:
    data = data_of([record_of([visit("ann", START_MS)], 0)])

    with pytest.raises(GapInExamples):
        data.append(record_of([visit("ann", START_MS)], 5), 1)


def test_a_row_sees_what_was_counted_before_it_and_not_itself() -> None:
    data = data_of(
        one_by_one(
            [
                action("ann", "a", START_MS),
                action("ann", "b", START_MS + 1, previous=["a"]),
                action("bob", "a", START_MS + 2),
                action("bob", "b", START_MS + 3, previous=["a"]),
            ]
        )
    )

    assert lists_before(data, 1, 3) == [set(), {"b"}]


def test_what_a_row_sees_does_not_depend_on_what_comes_after_it() -> None:
    records = one_by_one(shop())
    part, whole = data_of(records[:100]), data_of(records)
    rows = np.arange(part.history.end_row)
    num_items = len(part.history.item_ids)
    early, late = (data.counters.inputs(rows, num_items) for data in (part, whole))

    np.testing.assert_array_equal(early.item_PK, late.item_PK)
    np.testing.assert_array_equal(early.lift_PK, late.lift_PK)
    np.testing.assert_array_equal(
        early.popularity_TN[early.snapshot_P], late.popularity_TN[late.snapshot_P]
    )
    assert (early.item_PK >= 0).any()
    assert len(early.popularity_TN) > 3


@pytest.mark.parametrize("cut", [1, 37, 120])
def test_a_saved_fold_goes_on_exactly(tmp_path: Path, cut: int) -> None:
    records = one_by_one(shop())
    through = data_of(records)
    data_of(records[:cut]).save(tmp_path / "saved")
    resumed = new_data()

    assert resumed.load(tmp_path / "saved")
    for offset, record in enumerate(records):
        resumed.append(record, offset)

    through.save(tmp_path / "through")
    resumed.save(tmp_path / "resumed")
    assert kept(tmp_path / "resumed") == kept(tmp_path / "through")
    newest = range(data_of(records[:cut]).history.end_row, through.history.end_row)
    assert lists_before(resumed, *newest) == lists_before(through, *newest)


def test_rows_from_before_a_restart_see_nothing_of_what_was_counted_later(tmp_path: Path) -> None:
    records = one_by_one(shop())
    early = data_of(records[:100])
    early.save(tmp_path / "saved")
    resumed = new_data()
    resumed.load(tmp_path / "saved")
    for offset, record in enumerate(records):
        resumed.append(record, offset)

    rows = np.arange(early.history.end_row)
    inputs = resumed.counters.inputs(rows, len(resumed.history.item_ids))
    assert (inputs.item_PK == -1).all()
    assert (inputs.popularity_TN[inputs.snapshot_P] == resumed.counters.floor).all()
    assert resumed.counters.first_row == early.history.end_row


def test_saving_again_replaces_what_was_saved(tmp_path: Path) -> None:
    records = one_by_one(shop(10))
    data = data_of(records[:20])
    data.save(tmp_path / "saved")
    for offset, record in enumerate(records):
        data.append(record, offset)
    data.save(tmp_path / "saved")
    resumed = new_data()

    assert resumed.load(tmp_path / "saved")
    assert resumed.history.offset == len(records)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_the_configured_capacity_holds_for_a_saved_history(tmp_path: Path) -> None:
    data_of(one_by_one(shop(10))).save(tmp_path / "saved")
    smaller = new_data(capacity=7)

    assert smaller.load(tmp_path / "saved")
    assert smaller.history.capacity == 7


def test_nothing_saved_is_nothing_of_use(tmp_path: Path) -> None:
    assert not new_data().load(tmp_path / "saved")


def assert_reads_from_the_start(data: TrainingData) -> None:
    assert data.history.offset == 0
    records = one_by_one(shop(10))
    for offset, record in enumerate(records):
        data.append(record, offset)
    assert columns(data) == columns(data_of(records))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_damaged_folder_is_left_aside(tmp_path: Path, name: str, damage: str) -> None:
    data_of(one_by_one(shop(10))).save(tmp_path / "saved")
    path = tmp_path / "saved" / name
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    data = new_data()

    assert not data.load(tmp_path / "saved")
    assert_reads_from_the_start(data)


def test_a_folder_of_another_log_is_left_aside(tmp_path: Path) -> None:
    data_of(one_by_one(shop(10))).save(tmp_path / "saved")
    data = new_data(topic_id="recreated")

    assert not data.load(tmp_path / "saved")
    assert_reads_from_the_start(data)


def on_devices() -> list[Source]:
    """A user who opens a page on a phone, acts there, and then acts at a desk."""
    return [
        told(visit("u", START_MS), device="phone"),
        told(action("u", "i1", START_MS + 1_000), device="phone"),
        told(action("u", "i2", START_MS + 2_000), device="desk", region="x"),
        action("u", "i3", START_MS + 3_000),
        action("u", "i4", START_MS + 4_000),
    ]


def test_an_action_is_learned_in_the_context_of_the_event_before_it() -> None:
    data = data_of(one_by_one(on_devices()))

    at_s = START_MS // 1000
    phone, desk, nothing = (
        list(SIDE.context_codes({"device": one}, at_s)) for one in ("phone", "desk", None)
    )
    assert data.history.contexts.tolist() == [phone, phone, desk, nothing]
    assert data.history.asked_s.tolist() == [at_s, at_s + 1, at_s + 2, at_s + 3]


@pytest.mark.parametrize("cut", [1, 3])
def test_a_restart_knows_in_which_context_lists_were_made(tmp_path: Path, cut: int) -> None:
    records = one_by_one(on_devices())
    data_of(records[:cut]).save(tmp_path / "saved")
    data = new_data()

    assert data.load(tmp_path / "saved")
    for offset in range(cut, len(records)):
        data.append(records[offset], offset)

    assert columns(data) == columns(data_of(records))


@pytest.mark.parametrize("changed", [{"num_context_codes": 32}, {"context": ("region", "device")}])
def test_contexts_of_another_configuration_are_untold_and_no_action_is_lost(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    records = one_by_one(on_devices())
    before = data_of(records[:4])
    before.save(tmp_path / "saved")
    side = replace(SIDE, **changed)  # type: ignore[arg-type]  # as the case says
    data = new_data(side=side)

    assert data.load(tmp_path / "saved")
    data.append(records[4], 4)

    assert data.history.users.tolist() == [before.history.users[0]] * 4
    if "context" in changed:
        # What has kept its name and its codes is kept; users' last events are not.
        assert data.history.contexts[:3, 1].tolist() == before.history.contexts[:, 0].tolist()
        assert data.history.contexts[:, 0].tolist() == [0, 0, 0, 0]
    else:
        assert not data.history.contexts.any()


def test_a_weight_of_a_source_that_bundles_bring_is_none_of_its_business() -> None:
    weighted = OnlineConfig(initial_weights={"covisitation": 1.0, "transformer": 0.5})
    data = TrainingData(weighted, topic_id="topic", side=SIDE, capacity=1000, counter_rows=1000)
    data.append(one_by_one(shop(1))[0], 0)
    assert data.history.offset == 1


def test_counters_of_another_configuration_are_left_aside(tmp_path: Path) -> None:
    data_of(one_by_one(shop(10))).save(tmp_path / "saved")
    slower = OnlineConfig(covisitation=CovisitationConfig(half_life_ms=7_200_000))
    data = TrainingData(slower, topic_id="topic", side=SIDE, capacity=1000, counter_rows=1000)

    assert not data.load(tmp_path / "saved")
    assert data.history.offset == 0

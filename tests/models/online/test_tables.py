"""Snapshots and deltas: byte-identical replicas, and refusal of anything damaged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SnapshotRefused
from models.online.columns import ColumnSpec
from models.online.tables import DeltaOutcome, Table, TableSet


def new_set(fill: float = 0) -> TableSet:
    return TableSet(
        [
            Table(
                "wide",
                [
                    ColumnSpec(name="mass", dtype="float64", width=3, fill=-np.inf),
                    ColumnSpec(name="code", dtype="int32", width=3, fill=-1),
                ],
            ),
            Table("narrow", [ColumnSpec(name="w", dtype="float32", fill=fill)], texts=("id",)),
        ]
    )


def learn(tables: TableSet, seed: int) -> None:
    """One deterministic step of learning, a function of the seed alone; one offset long."""
    generator = np.random.default_rng(seed)
    wide, narrow = tables.tables["wide"], tables.tables["narrow"]
    row = int(generator.integers(0, 90))
    wide.grow(row + 1)
    narrow.grow(row + 1)
    wide.columns["mass"].put(row * 3 + seed % 3, float(generator.normal()))
    wide.columns["code"].put_many(np.array([row * 3, row * 3 + 2]), np.array([seed, -seed]))
    narrow.columns["w"].put(row, -0.0 if seed % 2 else 1.5)
    narrow.texts["id"].put(row, f"item-{seed}-é")
    if seed % 7 == 0:
        wide.clear_rows(np.array([row // 2]))
        narrow.clear_rows(np.array([row // 2]))
    tables.advance(tables.offset + 1)


def replay(to_offset: int, base: bytes | None = None) -> TableSet:
    tables = new_set()
    if base is not None:
        tables.restore(base)
    while tables.offset < to_offset:
        learn(tables, tables.offset)
    return tables


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    base_index=st.integers(0, 8),
)
def test_replica_that_applies_deltas_is_byte_identical(lengths: list[int], base_index: int) -> None:
    learner, replica = new_set(), new_set()
    late = new_set()
    for index, length in enumerate(lengths):
        if index == base_index:
            late.restore(learner.snapshot())
        for _ in range(length):
            learn(learner, learner.offset)
        delta = learner.take_delta()
        learner.delta_acknowledged()
        outcome = replica.apply_delta(delta.payload)
        assert outcome is (DeltaOutcome.APPLIED if length else DeltaOutcome.STALE)
        if index >= base_index:
            late.apply_delta(delta.payload)
            assert late.snapshot() == learner.snapshot()
        assert replica.snapshot() == learner.snapshot()
        assert replica.digest() == learner.digest()
    assert learner.snapshot() == replay(learner.offset).snapshot()


@settings(max_examples=60, deadline=None)
@given(
    base_at=st.integers(0, 20),
    replica_at=st.integers(0, 20),
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_overlapping_deltas_of_a_restarted_learner_are_idempotent(
    base_at: int, replica_at: int, steps: list[int]
) -> None:
    base = replay(base_at).snapshot()
    replica = new_set()
    replica.restore(replay(base_at + replica_at).snapshot())
    restarted = replay(base_at, base)
    for step in steps:
        for _ in range(step):
            learn(restarted, restarted.offset)
        delta = restarted.take_delta()
        restarted.delta_acknowledged()
        before = replica.offset
        outcome = replica.apply_delta(delta.payload)
        if delta.to_offset <= before:
            assert outcome is DeltaOutcome.STALE
        else:
            assert outcome is DeltaOutcome.APPLIED
            assert replica.snapshot() == restarted.snapshot()
        assert replica.snapshot() == replay(replica.offset).snapshot()
        assert replica.apply_delta(delta.payload) is DeltaOutcome.STALE


def test_a_gap_is_reported_and_changes_nothing() -> None:
    learner, replica = replay(3), new_set()
    learner.take_delta()
    learner.delta_acknowledged()
    learn(learner, learner.offset)
    assert replica.apply_delta(learner.take_delta().payload) is DeltaOutcome.GAP
    assert replica.snapshot() == new_set().snapshot()


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_every_flipped_byte_is_refused_and_changes_nothing(kind: str) -> None:
    learner = replay(2)
    payload = learner.snapshot() if kind == "snapshot" else learner.take_delta().payload
    replica = replay(1)
    before = replica.snapshot()
    take_in = replica.restore if kind == "snapshot" else replica.apply_delta
    for position in range(len(payload)):
        damaged = bytearray(payload)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(SnapshotRefused):
            take_in(bytes(damaged))
    for length in (0, 2, 10, len(payload) - 1):
        with pytest.raises(SnapshotRefused):
            take_in(payload[:length])
    assert replica.snapshot() == before


def test_a_delta_is_not_a_snapshot_nor_the_reverse() -> None:
    learner = replay(2)
    with pytest.raises(SnapshotRefused, match="kind b'D'"):
        new_set().restore(learner.take_delta().payload)
    with pytest.raises(SnapshotRefused, match="kind b'S'"):
        new_set().apply_delta(learner.snapshot())


def test_another_version_or_schema_is_refused_with_its_name() -> None:
    payload = bytearray(replay(2).snapshot())
    payload[3] = 2
    with pytest.raises(SnapshotRefused, match="format version 2, expected 1"):
        new_set().restore(bytes(payload))
    with pytest.raises(SnapshotRefused, match="another configuration"):
        new_set(fill=1).restore(replay(2).snapshot())


def test_taking_a_snapshot_leaves_the_next_delta_as_it_is() -> None:
    learner, replica = replay(5), new_set()
    learner.snapshot()
    replica.apply_delta(learner.take_delta().payload)
    assert replica.snapshot() == learner.snapshot()


def test_learning_never_goes_back() -> None:
    with pytest.raises(ValueError, match="found offset 1, expected at least 2"):
        replay(2).advance(1)


def test_an_unacknowledged_delta_is_repeated_and_nothing_after_it_is_lost() -> None:
    learner, replica = replay(2), new_set()
    first = learner.take_delta()
    learn(learner, learner.offset)
    assert learner.take_delta() is first
    learner.delta_acknowledged()
    for delta in (first, first, learner.take_delta()):
        replica.apply_delta(delta.payload)
    assert replica.snapshot() == learner.snapshot()


def test_another_identity_is_refused_by_name() -> None:
    learner, replica = replay(2), new_set()
    learner.identity = {"topic_id": "a", "layout": "x"}
    replica.identity = {"topic_id": "b"}
    with pytest.raises(SnapshotRefused, match="found topic_id 'a', expected 'b'"):
        replica.restore(learner.snapshot())
    with pytest.raises(SnapshotRefused, match="found topic_id 'a', expected 'b'"):
        replica.apply_delta(learner.take_delta().payload)
    replica.identity = {"topic_id": "a"}
    replica.restore(learner.snapshot())
    assert replica.offset == 2

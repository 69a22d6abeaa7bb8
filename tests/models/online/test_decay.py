"""Decayed counts: event-time decay, order and lateness do not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.online.decay import EMPTY, added, log2_sum, value, values

NOW_MS = 1_700_000_000_000
EVENTS = st.lists(
    st.tuples(st.floats(0.01, 100), st.integers(NOW_MS - 10**8, NOW_MS)), min_size=1, max_size=30
)


def count(events: list[tuple[float, int]], half_life_ms: float) -> float:
    mass = EMPTY
    for weight, time_ms in events:
        mass = added(mass, weight, time_ms, half_life_ms)
    return mass


@given(events=EVENTS, half_life_ms=st.integers(60_000, 10**8))
def test_a_count_is_the_sum_of_its_halved_weights(
    events: list[tuple[float, int]], half_life_ms: int
) -> None:
    expected = sum(w * 2 ** ((t - NOW_MS) / half_life_ms) for w, t in events)
    assert value(count(events, half_life_ms), NOW_MS, half_life_ms) == pytest.approx(
        expected, rel=1e-6
    )


@given(events=EVENTS, seed=st.integers(0, 100))
def test_the_order_of_events_does_not_matter(events: list[tuple[float, int]], seed: int) -> None:
    shuffled = [events[i] for i in np.random.default_rng(seed).permutation(len(events))]
    assert count(shuffled, 60_000) == pytest.approx(count(events, 60_000), abs=1e-7)


def test_one_half_life_halves_and_a_late_event_counts_its_share() -> None:
    mass = added(EMPTY, 4.0, 10_000, 1000)
    assert value(mass, 10_000, 1000) == 4
    assert value(mass, 11_000, 1000) == 2
    assert value(added(mass, 4.0, 9_000, 1000), 11_000, 1000) == 3


def test_nothing_counts_zero_and_far_apart_times_do_not_overflow() -> None:
    assert value(EMPTY, NOW_MS, 1000) == 0
    ancient = added(EMPTY, 1.0, 0, 1000)
    assert value(ancient, NOW_MS, 1000) == 0
    assert value(added(ancient, 1.0, NOW_MS, 1000), NOW_MS, 1000) == 1
    assert value(added(EMPTY, 1.0, NOW_MS, 1000), 0, 1000) == 2.0**60


def test_many_values_at_once_equal_single_ones() -> None:
    masses = np.array([EMPTY, added(EMPTY, 3.0, NOW_MS, 1000), added(EMPTY, 1.0, 0, 1000)])
    before = masses.copy()
    got = values(masses, NOW_MS + 500, 1000)
    assert got.tolist() == pytest.approx([value(m, NOW_MS + 500, 1000) for m in masses.tolist()])
    assert masses.tolist() == before.tolist()


def test_log2_sum_of_equal_numbers_adds_one() -> None:
    assert log2_sum(5.0, 5.0) == 6.0
    assert log2_sum(-math.inf, -math.inf) == -math.inf

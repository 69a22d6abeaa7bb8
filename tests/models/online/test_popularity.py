"""Trending: decayed counts at several half-lives."""

from __future__ import annotations

import numpy as np
import pytest

from models.online.popularity import Popularity, PopularityConfig


def new_popularity() -> Popularity:
    popularity = Popularity(PopularityConfig(half_lives_ms=(1000, 4000)))
    popularity.table.grow(3)
    return popularity


def test_counts_halve_with_event_time_at_every_half_life() -> None:
    popularity = new_popularity()
    popularity.learn(1, 8.0, 0)
    popularity.learn(2, 1.0, 4000)
    codes = np.array([0, 1, 2])
    assert popularity.counts(codes, 4000).tolist() == pytest.approx([0, 0.5, 1])
    assert popularity.counts(codes, 4000, index=1).tolist() == pytest.approx([0, 4, 1])
    assert popularity.total(4000) == pytest.approx(1.5)
    assert popularity.total(4000, index=1) == pytest.approx(5)


def test_what_is_acted_on_now_overtakes_what_was() -> None:
    popularity = new_popularity()
    popularity.learn(1, 8.0, 0)
    assert popularity.largest(2).tolist() == [1]
    popularity.learn(2, 1.0, 4000)
    assert popularity.largest(2).tolist() == [2, 1]
    popularity.drop(np.array([2]))
    assert popularity.largest(2).tolist() == [1]

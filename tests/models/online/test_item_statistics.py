"""Impressions and clicks per item, decayed and smoothed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.online.item_statistics import ItemStatistics, ItemStatisticsConfig


def new_statistics(num_items: int = 3) -> ItemStatistics:
    statistics = ItemStatistics(ItemStatisticsConfig(half_life_ms=1000, strength=10))
    statistics.table.grow(num_items)
    return statistics


def test_features_are_log_impressions_and_the_smoothed_rates_log_odds() -> None:
    statistics = new_statistics()
    for _ in range(10):
        statistics.learn_impressions([0, 1], 0)
    statistics.learn_click(0, 0)
    overall = (1 + 1) / (20 + 20)
    rates = [(1 + 10 * overall) / 20, 10 * overall / 20, overall]
    expected = [[math.log2(11), math.log(rates[0] / (1 - rates[0]))]]
    expected += [[math.log2(11), math.log(rates[1] / (1 - rates[1]))]]
    expected += [[0.0, math.log(overall / (1 - overall))]]
    features = statistics.features(np.array([0, 1, 2]), 0)
    assert features.dtype == np.float32
    assert features.tolist() == [pytest.approx(row, rel=1e-5) for row in expected]


def test_an_unknown_item_looks_like_one_that_was_never_shown() -> None:
    statistics = new_statistics()
    statistics.learn_impressions([0], 0)
    features = statistics.features(np.array([-1, 2]), 5000)
    assert features[0].tolist() == features[1].tolist()


def test_without_any_item_the_rate_is_the_prior() -> None:
    features = new_statistics(num_items=0).features(np.array([-1]), 0)
    assert features[0].tolist() == pytest.approx([0.0, math.log(0.05 / 0.95)], rel=1e-5)

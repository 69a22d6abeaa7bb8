"""New items: since when, and which are newest."""

from __future__ import annotations

import numpy as np

from models.online.fresh import Fresh


def test_the_first_note_of_an_items_appearance_stands() -> None:
    fresh = Fresh()
    fresh.table.grow(3)
    fresh.learn(0, 100)
    fresh.learn(1, 300)
    fresh.learn(0, 900)
    assert fresh.ages_ms(np.array([0, 1]), 1000).tolist() == [900, 700]
    assert fresh.newest(5).tolist() == [1, 0]


def test_ages_are_never_negative_and_unknown_ones_are_ancient() -> None:
    fresh = Fresh()
    assert fresh.ages_ms(np.array([-1]), 1000)[0] > 10**15
    fresh.table.grow(2)
    fresh.learn(0, 2000)
    ages_ms = fresh.ages_ms(np.array([0, 1, -1]), 1000)
    assert ages_ms[0] == 0
    assert min(ages_ms[1:]) > 10**15
    fresh.drop(np.array([0]))
    assert fresh.newest(5).tolist() == []

"""Popularity by circumstance: lifts over what is popular anyway."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.online.context_popularity import (
    ABSENT,
    SESSION_STEP,
    ContextPopularity,
    ContextPopularityConfig,
    circumstances,
)
from models.online.questions import Query, Questions


def new_contexts(num_buckets: int = 64) -> ContextPopularity:
    config = ContextPopularityConfig(
        names=("device", "region"), half_life_ms=1000, strength=2.0, num_buckets=num_buckets
    )
    return ContextPopularity(config)


def lifts_of(
    contexts: ContextPopularity,
    rows: tuple[int, ...],
    codes: list[int],
    popularity: np.ndarray,
    now_ms: int,
) -> np.ndarray:
    query = Query(now_ms=now_ms, context_rows=rows)
    return contexts.lifts(Questions.of_one(query, np.array(codes, np.int32)), popularity)


def test_a_lift_is_the_share_among_the_values_actions_over_that_among_all() -> None:
    contexts = new_contexts()
    phone, desk = contexts.rows({"device": "phone"}), contexts.rows({"device": "desk"})
    for row, code, times in ((phone, 0, 6), (phone, 1, 2), (desk, 1, 8)):
        for _ in range(times):
            contexts.learn(row, code, 1.0, 0)
    popularity = np.array([6.0, 10.0, 0.0])
    lifts = lifts_of(contexts, phone, [0, 1, 2], popularity, 0)
    # Phones have half of the actions; k = 2 actions pull towards their share.
    assert lifts[0].tolist() == pytest.approx([math.log(7 / 4), math.log(3 / 6), math.log(1 / 1)])
    assert lifts[1].tolist() == [0.0, 0.0, 0.0]
    later = lifts_of(contexts, phone, [0, 1, 2], popularity / 2, 1000)
    assert later[0].tolist() == pytest.approx([math.log(4 / 2.5), math.log(2 / 3.5), 0.0])


def test_absent_and_never_seen_values_say_nothing() -> None:
    contexts = new_contexts()
    assert contexts.rows({"browser": "x"}) == (ABSENT, ABSENT)
    assert contexts.rows({"region": 3})[0] == ABSENT
    contexts.learn((ABSENT, ABSENT), 0, 1.0, 0)
    unseen = contexts.rows({"device": "watch"})
    assert lifts_of(contexts, unseen, [0], np.array([1.0]), 0).tolist() == [[0.0], [0.0]]
    assert lifts_of(contexts, (), [0], np.array([1.0]), 0).tolist() == [[0.0], [0.0]]


def test_equal_values_of_different_features_are_different_rows() -> None:
    contexts = new_contexts()
    device, region = contexts.rows({"device": "1", "region": "1"})
    assert device != region
    assert contexts.rows({"device": 1}) == (device, ABSENT)


def test_unbounded_values_share_a_bounded_number_of_rows() -> None:
    contexts = new_contexts(num_buckets=8)
    rows = {contexts.rows({"device": f"d{n}"})[0] for n in range(500)}
    assert rows <= set(range(8))


def test_retired_items_are_forgotten() -> None:
    contexts = new_contexts()
    rows = contexts.rows({"device": "phone"})
    contexts.learn(rows, 0, 1.0, 0)
    contexts.drop(np.array([0]), num_codes=2)
    lift = lifts_of(contexts, rows, [0], np.array([0.0]), 0)
    assert lift[0].tolist() == pytest.approx([0.0])


def test_the_sessions_step_is_a_circumstance_like_any_other() -> None:
    contexts = ContextPopularity(ContextPopularityConfig(names=("device", SESSION_STEP)))
    first, third = (contexts.rows(circumstances(None, number)) for number in (0, 2))
    assert first[0] == third[0] == ABSENT
    assert first[1] != third[1]
    assert contexts.rows(circumstances({"device": "x"}, 9)) == contexts.rows(
        {"device": "x", SESSION_STEP: "3"}
    )

"""Merging sources: every code once, by best rank; scores of items and not of slates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.online.rerank_features import rerank_feature_names, rerank_features
from models.online.retrieval import (
    Candidates,
    Query,
    Questions,
    RetrievalConfig,
    Source,
    propose,
    score,
)
from models.ranking import best_first, diversify


@dataclass
class ListSource:
    """Proposes a fixed list; scores those of its items that it has scores for."""

    name: str
    codes: list[int]
    scores: dict[int, float]

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        return [np.array(self.codes[:num], dtype=np.int64)] * len(queries)

    def score(self, asked: Questions) -> NDArray[np.float32]:
        return np.array([self.scores.get(int(c), math.nan) for c in asked.codes], np.float32)


SOURCES = [
    ListSource("a", [5, 1, 9], {5: 3.0, 1: 2.0, 9: 1.0}),
    ListSource("b", [2, 5], {2: 7.0, 5: 6.0}),
    ListSource("only_scores", [4], {5: 0.5}),
]
QUERY = Query(now_ms=0)
CONFIG = RetrievalConfig(limits={"a": 3, "b": 2}, max_candidates=10)


def test_every_code_comes_once_in_order_of_its_best_rank() -> None:
    candidates = propose(SOURCES, [QUERY], CONFIG).scored(SOURCES)
    assert candidates.codes.tolist() == [5, 2, 1, 9]
    assert candidates.ranks.tolist() == [[1, 2, 0], [0, 1, 0], [2, 0, 0], [3, 0, 0]]
    expected = [[3.0, 6.0, 0.5], [math.nan, 7.0, math.nan], [2.0, math.nan, math.nan]]
    np.testing.assert_array_equal(candidates.scores[:3], np.array(expected, np.float32))


def test_what_is_excluded_is_gone_and_the_rest_keeps_its_ranks() -> None:
    candidates = propose(
        SOURCES, [QUERY], CONFIG, exclude=lambda asked: np.isin(asked.codes, [5, 9])
    )
    assert candidates.asked.codes.tolist() == [2, 1]
    assert candidates.ranks.tolist() == [[0, 1, 0], [2, 0, 0]]


def test_the_worst_ranked_go_when_there_are_too_many() -> None:
    candidates = propose(SOURCES, [QUERY], replace(CONFIG, max_candidates=2))
    assert candidates.asked.codes.tolist() == [5, 2]
    assert candidates.ranks.tolist() == [[1, 2, 0], [0, 1, 0]]


def test_nothing_to_recommend_is_an_empty_slate_all_the_way() -> None:
    for sources in ([], [ListSource("a", [], {})]):
        candidates = propose(sources, [QUERY], CONFIG).scored(sources)
        assert len(candidates) == 0
        assert candidates.scores.shape == (0, len(sources))
        features = rerank_features(candidates)
        assert features.shape == (0, 4 * len(sources) + 1)
    nothing = propose(SOURCES, [QUERY], CONFIG, exclude=lambda asked: asked.codes >= 0)
    assert len(nothing.asked) == 0


def test_items_without_a_code_are_scored_as_unknown_to_every_source() -> None:
    scores = score(SOURCES, Questions.of_one(QUERY, np.array([-1, 5, -1], np.int32)))
    np.testing.assert_array_equal(np.isnan(scores).all(axis=1), [True, False, True])
    assert scores[1].tolist() == [3.0, 6.0, 0.5]


@dataclass
class OwnSource:
    """Proposes to each query what it names as its previous items; scores by query and item."""

    name: str
    step: int

    def recall(self, queries: Sequence[Query], num: int) -> list[NDArray[np.integer]]:
        return [np.array(query.previous[:: self.step][:num], np.int64) for query in queries]

    def score(self, asked: Questions) -> NDArray[np.float32]:
        return (asked.now_ms * 100 + asked.codes).astype(np.float32)


def test_a_batch_retrieves_what_each_query_alone_would_get() -> None:
    sources: list[Source] = [OwnSource("a", 1), OwnSource("b", -1), ListSource("none", [], {})]
    queries = [
        Query(now_ms=1, previous=[4, 2, 7]),
        Query(now_ms=2),
        Query(now_ms=3, previous=[9]),
        Query(now_ms=4, previous=[2, 4, 7, 1, 8, 9]),
    ]
    config = RetrievalConfig(limits={"a": 4, "b": 2, "none": 3}, max_candidates=4)

    def exclude(asked: Questions) -> NDArray[np.bool_]:
        excluded: NDArray[np.bool_] = (asked.codes == 7) & (asked.now_ms == 4)
        return excluded

    together = propose(sources, queries, config, exclude).scored(sources)

    assert together.asked.sizes.tolist() == [3, 0, 1, 4]
    for index, query in enumerate(queries):
        alone, of_batch = (
            propose(sources, [query], config, exclude).scored(sources),
            together.of(index),
        )
        assert of_batch.codes.tolist() == alone.codes.tolist()
        assert of_batch.ranks.tolist() == alone.ranks.tolist()
        np.testing.assert_array_equal(of_batch.scores, alone.scores)
        np.testing.assert_array_equal(
            rerank_features(together)[together.asked.part(index)], rerank_features(alone)
        )


def test_what_sources_share_is_computed_once_for_the_same_questions() -> None:
    computed: list[int] = []
    asked = Questions.of_one(Query(now_ms=0), np.array([1]))

    def compute() -> int:
        computed.append(1)
        return len(computed)

    assert [asked.once("x", compute) for _ in range(3)] == [1, 1, 1]
    assert asked.once("y", compute) == 2
    assert asked.of(0).once("x", compute) == 3


def test_a_query_is_cold_at_the_start_of_a_session_and_without_history() -> None:
    assert Query(now_ms=0, previous=[3]).is_cold
    assert Query(now_ms=0, session_num_actions=2).is_cold
    assert not Query(now_ms=0, previous=[3], session_num_actions=2).is_cold


def test_features_are_centred_scores_missing_flags_and_reciprocal_ranks() -> None:
    warm = Query(now_ms=0, previous=[3], session_num_actions=2)
    candidates = Candidates(
        asked=Questions.of_one(warm, np.array([4, 5, 6], np.int32)),
        scores=np.array([[1, 2], [3, math.nan], [5, 4]], np.float32),
        ranks=np.array([[2, 0], [1, 0], [0, 4]], np.int32),
    )
    copy = candidates.scores.copy()
    features = rerank_features(candidates, [np.array([1.0, 2.0, 6.0])])
    assert rerank_feature_names(["a", "b"], ["choice"]) == [
        "a",
        "b",
        "a:squared",
        "b:squared",
        "a:missing",
        "b:missing",
        "a:reciprocal_rank",
        "b:reciprocal_rank",
        "choice",
        "cold",
    ]
    expected: list[list[float]] = [
        [-2, -1, 0.4, 0.1, 0, 0, 0.5, 0, -2, 0],
        [0, 0, 0, 0, 0, 1, 1, 0, -1, 0],
        [2, 1, 0.4, 0.1, 0, 0, 0, 0.25, 3, 0],
    ]
    np.testing.assert_allclose(features, expected, rtol=1e-6)
    cold = Questions.of_one(QUERY, candidates.codes)
    assert rerank_features(replace(candidates, asked=cold))[:, -1].tolist() == [1, 1, 1]
    np.testing.assert_array_equal(candidates.scores, copy)


def test_a_category_cap_holds_back_only_what_others_can_replace() -> None:
    order = best_first(np.array([5.0, 4.0, 3.0, 2.0, 1.0]))
    categories = np.array([1, 1, 1, -1, -1])
    assert diversify(order, categories, cap=1, num=3).tolist() == [0, 3, 4]
    assert diversify(order, categories, cap=1, num=4).tolist() == [0, 3, 4, 1]
    assert diversify(order, np.full(5, -1), cap=1, num=5).tolist() == [0, 1, 2, 3, 4]
    assert diversify(order, categories, cap=0, num=2).tolist() == [0, 1]
    assert diversify(order[:0], categories[:0], cap=1, num=2).tolist() == []

"""All online models together: a pure fold of the log, travelling byte by byte."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SnapshotRefused
from models.online.context_popularity import ContextPopularityConfig
from models.online.item_factors import ItemFactorsConfig
from models.online.online_models import OnlineConfig, OnlineModels
from models.online.popularity import PopularityConfig
from models.online.rerank_features import rerank_features
from models.online.retrieval import Query, Questions, RetrievalConfig, propose, score
from models.online.tables import DeltaOutcome
from models.online.vocabulary import VocabularyConfig
from models.ranking import best_first

NOW_MS = 1_700_000_000_000
NUM_WEIGHTS = 12
RETRIEVAL = RetrievalConfig(limits={"trending": 5, "covisitation": 5, "fresh": 2, "factors": 5})


def key_of(item_id: str) -> int:
    return int.from_bytes(blake2b(item_id.encode(), digest_size=5).digest(), "big") or 1


def new_models(max_items: int = 1000) -> OnlineModels:
    config = OnlineConfig(
        vocabulary=VocabularyConfig(max_items=max_items, retire_share=0.25),
        factors=ItemFactorsConfig(num_factors=4, num_drawn=4, num_drawn_from=16),
        extra_sources=("factors",),
    )
    return OnlineModels(config, num_click_weights=NUM_WEIGHTS, key_of=key_of)


def learn(models: OnlineModels, seed: int) -> None:
    """One row of the log, a function of the seed."""
    generator = np.random.default_rng(seed)
    time_ms = NOW_MS + 1000 * seed - int(generator.integers(0, 5000))
    items = [f"i{n}" for n in generator.integers(0, 30, 4).tolist()]
    match seed % 4:
        case 0:
            models.learn_impression(items, time_ms=time_ms)
        case 1 | 2:
            previous = [key_of(item) for item in items[1:]]
            context = {"device": str(seed % 3), "region": seed % 7}
            models.learn_action(
                items[0], weight=1.0, time_ms=time_ms, previous=previous, context=context
            )
        case _:
            relevance = generator.integers(0, NUM_WEIGHTS, (4, 2))
            examination = generator.integers(0, NUM_WEIGHTS, (4, 1))
            labels = generator.random(4) < 0.4
            models.learn_click(items, relevance, examination, labels, time_ms=time_ms)
            num_features = len(models.rerank_feature_names)
            features = generator.normal(size=(5, num_features)).astype(np.float32)
            models.reranker.learn(features, seed % 5)
    models.advance(models.offset + 1)


def replay(to_offset: int, base: bytes | None = None, max_items: int = 1000) -> OnlineModels:
    models = new_models(max_items)
    if base is not None:
        models.restore(base)
    while models.offset < to_offset:
        learn(models, models.offset)
    return models


def lists(models: OnlineModels) -> list[object]:
    """What a worker would make of the models: candidates, scores and order of a few queries."""
    found: list[object] = []
    for previous in ([], ["i3"], ["i1", "i2", "unknown"]):
        query = Query(
            now_ms=NOW_MS + 60_000,
            previous=models.vocabulary.codes([key_of(item) for item in previous]).tolist(),
            context_rows=models.contexts.rows({"device": "1"}),
            session_num_actions=1,
        )
        candidates = propose(models.sources, [query], RETRIEVAL).scored(models.sources)
        features = rerank_features(candidates)
        order = best_first(models.reranker.utilities(features))
        codes = candidates.codes[order].tolist()
        found.append([models.vocabulary.item_id(code) for code in codes])
        found.append(candidates.scores.tobytes())
    return found


@settings(deadline=None, max_examples=25)
@given(
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    base_at=st.integers(0, 30),
    max_items=st.sampled_from([8, 1000]),
)
def test_replicas_and_restarts_at_any_point_equal_one_continuous_learner(
    steps: list[int], base_at: int, max_items: int
) -> None:
    learner, replica = new_models(max_items), new_models(max_items)
    late = new_models(max_items)
    base = replay(base_at, max_items=max_items).snapshot()
    late.restore(base)
    for step in steps:
        for _ in range(step):
            learn(learner, learner.offset)
        delta = learner.take_delta()
        learner.delta_acknowledged()
        assert replica.apply_delta(delta.payload) is DeltaOutcome.APPLIED
        late.apply_delta(delta.payload)
        assert replica.snapshot() == learner.snapshot()
        assert lists(replica) == lists(learner)
    assert late.snapshot() == replay(late.offset, max_items=max_items).snapshot()
    restarted = replay(base_at + 10, base, max_items)
    continuous = replay(base_at + 10, max_items=max_items)
    assert restarted.snapshot() == continuous.snapshot()
    assert lists(restarted) == lists(continuous)


def test_a_full_vocabulary_retires_and_nothing_of_the_retired_remains() -> None:
    models = new_models(max_items=8)
    for number in range(40):
        models.learn_action(
            f"i{number}",
            weight=1.0,
            time_ms=NOW_MS + 1000 * number,
            previous=[key_of(f"i{number - 1}"), key_of(f"i{number - 2}")],
            context={"device": "1"},
        )
    assert len(models.vocabulary) <= 8
    query = Query(
        now_ms=NOW_MS + 40_000,
        previous=models.vocabulary.codes([key_of("i39"), key_of("i38"), key_of("i37")]).tolist(),
        context_rows=models.contexts.rows({"device": "1"}),
    )
    codes = propose(models.sources, [query], RETRIEVAL).asked.codes.tolist()
    recalled = {models.vocabulary.item_id(code) for code in codes}
    assert recalled <= {f"i{number}" for number in range(32, 40)}
    # Of the pairs only those among the living are left: i39 followed i38, never the reverse.
    followed = models.covisitation.followers([query])[0]
    living = {f"i{number}" for number in range(32, 40)}
    assert {models.vocabulary.item_id(code) for code in followed.tolist()} <= living


def test_models_that_know_nothing_serve_nobody_and_one_item_serves_all() -> None:
    models = new_models()
    assert lists(models)[0] == []
    models.learn_item("only", time_ms=NOW_MS)
    assert lists(models)[::2] == [["only"]] * 3
    models.learn_action("only", weight=1.0, time_ms=NOW_MS, previous=[key_of("only")])
    assert lists(models)[::2] == [["only"]] * 3


def test_a_published_item_is_as_old_as_its_publication() -> None:
    models = new_models()
    models.learn_item("old", time_ms=NOW_MS, published_at_ms=NOW_MS - 10**9)
    models.learn_item("new", time_ms=NOW_MS)
    newest = [models.vocabulary.item_id(code) for code in models.fresh.newest(2).tolist()]
    assert newest == ["new", "old"]


def test_actions_without_weight_count_for_nothing() -> None:
    models = new_models()
    before = models.snapshot()
    models.learn_action("i1", weight=0.0, time_ms=NOW_MS, previous=[])
    assert models.snapshot() == before


def test_shown_items_get_the_scores_that_they_would_get_as_candidates() -> None:
    models = replay(60)
    query = Query(
        now_ms=NOW_MS + 70_000,
        previous=models.vocabulary.codes([key_of("i1"), key_of("i2")]).tolist(),
        context_rows=models.contexts.rows({"device": "1", "region": 2}),
    )
    candidates = propose(models.sources, [query], RetrievalConfig()).scored(models.sources)
    assert len(candidates) > 10
    some = candidates.codes[3:8]
    shown = np.array([some[0], -1, *some[1:], some[0]], np.int32)
    again = Query(now_ms=query.now_ms, previous=query.previous, context_rows=query.context_rows)
    scores = score(models.sources, Questions.of_one(again, shown))
    expected = np.insert(candidates.scores[3:8], 1, np.nan, axis=0)
    np.testing.assert_array_equal(scores[:-1], expected)
    np.testing.assert_array_equal(scores[-1], scores[0])


def test_reading_changes_nothing() -> None:
    models = replay(40)
    before, delta = models.snapshot(), models.take_delta()
    models.delta_acknowledged()
    lists(models)
    assert models.snapshot() == before
    assert models.take_delta().payload != delta.payload  # nothing has changed since
    assert replay(40).apply_delta(models.take_delta().payload) is DeltaOutcome.STALE


def test_a_snapshot_of_another_configuration_is_refused_and_changes_nothing() -> None:
    models = replay(20)
    before = models.snapshot()
    for other in (
        OnlineConfig(popularity=PopularityConfig(half_lives_ms=(1000, 1_800_000))),
        OnlineConfig(extra_sources=("factors", "another")),
        OnlineConfig(extra_sources=()),
        OnlineConfig(
            factors=ItemFactorsConfig(num_factors=4, num_drawn=4, num_drawn_from=17),
            extra_sources=("factors",),
        ),
        OnlineConfig(contexts=ContextPopularityConfig(names=("city",)), extra_sources=("factors",)),
    ):
        payload = OnlineModels(other, num_click_weights=NUM_WEIGHTS, key_of=key_of).snapshot()
        with pytest.raises(SnapshotRefused, match="another configuration"):
            models.restore(payload)
    wider = OnlineModels(
        OnlineConfig(extra_sources=()), num_click_weights=NUM_WEIGHTS + 1, key_of=key_of
    )
    with pytest.raises(SnapshotRefused, match="another configuration"):
        models.restore(wider.snapshot())
    assert models.snapshot() == before


def test_parts_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"popularity\.half_lives_ms: found \(1000,\)"):
        OnlineConfig(popularity=PopularityConfig(half_lives_ms=(1000,)))
    with pytest.raises(ValueError, match=r"contexts\.half_life_ms: found 5"):
        OnlineConfig(contexts=ContextPopularityConfig(half_life_ms=5))

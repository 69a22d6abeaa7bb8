"""The transformer as a source: batches, unknown items, items that come later."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.encoder import SequenceEncoder
from models.encoder_inputs import ActionSequence
from models.online.online_models import OnlineConfig, OnlineModels
from models.online.retrieval import Query, Questions
from models.transformer_source import TransformerSource
from tests.streams.bundles import small_bundle

KNOWN = [f"i{number}" for number in range(40)]
NOW_MS = 600_000


def key_of(item_id: str) -> int:
    return int.from_bytes(item_id.encode(), "big")


class Made:
    """A source over a bundle, with counters that have met some of its items, and one more."""

    def __init__(self, folder: Path) -> None:
        small_bundle(folder, KNOWN)
        # The bundle's serving side only needs keys: load it with ours.
        self.encoder = SequenceEncoder.load(folder, key_of=key_of)
        self.online = OnlineModels(OnlineConfig(), num_click_weights=1, key_of=key_of)
        for number, item_id in enumerate(["unknown", *KNOWN[:30]]):
            self.meet(item_id, weight=1.0 + number % 5)
        by_name = {source.name: source for source in self.online.sources}
        self.source = TransformerSource(
            self.encoder,
            self.online.vocabulary,
            trending=by_name["trending"],
            covisitation=by_name["covisitation"],
        )

    def meet(self, item_id: str, *, weight: float = 1.0) -> None:
        self.online.learn_action(
            item_id, weight=weight, time_ms=NOW_MS, previous=[key_of("i0")] if weight > 3 else []
        )

    def code(self, item_id: str) -> int:
        return self.online.vocabulary.code(key_of(item_id))

    def recall(self, query: Query, num: int) -> list[int]:
        self.source.follow()
        (found,) = self.source.recall([query], num)
        codes: list[int] = found.tolist()
        return codes

    def score(self, query: Query, codes: list[int]) -> np.ndarray:
        self.source.follow()
        return self.source.score(Questions.of_one(query, np.array(codes)))

    def queries(self) -> list[Query]:
        histories = [["i0"], ["i1", "i2"], [], ["i3"] * 9]
        encoded = self.encoder.encode(
            [
                ActionSequence(
                    keys=np.array([key_of(one) for one in history], np.uint64),
                    actions=np.ones(len(history), np.uint8),
                    times_s=np.arange(len(history)),
                    user=number,
                )
                for number, history in enumerate(histories)
            ]
        )
        return [
            Query(
                now_ms=NOW_MS,
                previous=[self.code(one) for one in history[::-1][:3]],
                user_vector=encoded.query_BI[number],
                counter_weights=encoded.counter_weight_B3[number],
            )
            for number, history in enumerate(histories)
        ]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path / "bundle")


def test_items_that_the_bundle_does_not_know_are_missing(made: Made) -> None:
    scores = made.score(made.queries()[0], [made.code("unknown"), made.code("i7")])

    assert np.isnan(scores).tolist() == [True, False]


def test_a_query_without_a_vector_gets_nothing(made: Made) -> None:
    query = Query(now_ms=NOW_MS)

    assert made.recall(query, 5) == []
    assert np.isnan(made.score(query, [made.code("i7")])).all()


def test_a_score_does_not_depend_on_the_other_items_asked_for(made: Made) -> None:
    query = made.queries()[0]
    codes = [made.code(item_id) for item_id in KNOWN[:30]]

    together = made.score(query, codes)
    alone = [made.score(query, [codes[index]])[0] for index in range(len(codes))]

    assert together.tolist() == alone


def test_recall_is_best_first_by_vector_and_popularity(made: Made) -> None:
    query = replace(made.queries()[1], previous=())

    recalled = made.recall(query, 10)

    codes = [made.code(item_id) for item_id in KNOWN[:30]]
    best = np.argsort(-made.score(query, codes), kind="stable")[:10]
    assert recalled == [codes[index] for index in best.tolist()]


def test_a_batch_recalls_what_each_query_alone_recalls(made: Made) -> None:
    queries = made.queries()
    alone = [made.recall(query, 12) for query in queries]

    together = made.source.recall(queries, 12)

    assert [found.tolist() for found in together] == alone
    assert len(alone[0]) == 12


def test_what_follows_the_users_item_gains_by_the_counters_weights(made: Made) -> None:
    query = made.queries()[0]
    weights = np.array([0.0, 0.0, 5.0], np.float32)
    followers = made.online.covisitation.followers([query])[0]
    codes = [made.code(item_id) for item_id in KNOWN[:30]]

    plain = made.score(replace(query, counter_weights=None), codes)
    weighted = made.score(replace(query, counter_weights=weights), codes)

    gained = np.where(np.isin(codes, followers), 5.0, 0.0)
    np.testing.assert_allclose(weighted - plain, gained, atol=1e-4)
    assert 0 < gained.sum() < 5.0 * len(codes)


def test_an_item_that_is_met_later_is_proposed_and_scored(made: Made) -> None:
    query = made.queries()[0]
    assert len(made.recall(query, 40)) == 30

    made.meet("i35")

    assert made.code("i35") in made.recall(query, 40)
    assert np.isfinite(made.score(query, [made.code("i35")])).all()

"""The models in use: sources keep their columns, catalogue rows follow codes and records."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featurestore.keys import item_key
from models.encoder import SequenceEncoder
from models.encoder_inputs import ActionSequence
from models.online.retrieval import Query, Questions
from models.recommender_source import RecommenderSource
from models.recommenders.ease import LinearAutoencoder
from streams.pipeline.live import AbsentSource, LiveModels
from tests.models.histories import history_of
from tests.streams.bundles import small_bundle
from tests.streams.stream_events import START_MS
from tests.streams.taught import config, item, live_models, put_items


def test_a_model_that_is_not_there_keeps_its_column() -> None:
    live = live_models(config(), [["a"]])

    assert [source.name for source in live.sources][-1] == "transformer"
    absent = live.sources[-1]
    assert isinstance(absent, AbsentSource)
    assert [len(found) for found in absent.recall([Query(now_ms=0)], 5)] == [0]
    assert np.isnan(absent.score(Questions.of_one(Query(now_ms=0), np.array([0])))).all()
    assert live.bundle is None


def test_rows_follow_new_codes_and_new_records() -> None:
    live = live_models(config(), [["a", "b"]])
    put_items(live, item("b"))
    live.follow()
    codes = live.online.vocabulary.codes([item_key("a"), item_key("b")])
    expected = live.catalogue.rows_of(np.array([item_key("a"), item_key("b")], np.uint64))
    assert live.rows.of_codes(codes).tolist() == expected.tolist()

    put_items(live, item("a", available=False))
    assert not live.catalogue.available(live.rows.of_codes(codes[:1]))[0]

    put_items(live, item("c"))
    live.online.learn_action("c", weight=1.0, time_ms=1, previous=[])
    live.follow()
    code = live.online.vocabulary.codes([item_key("c")])
    assert live.rows.of_codes(code).tolist() == [
        live.catalogue.rows_of(np.array([item_key("c")], np.uint64))[0]
    ]


def test_what_followed_is_the_same_for_a_batch_and_for_each_alone(tmp_path: Path) -> None:
    live = live_models(config(), [["a", "b", "c", "d"], ["b", "a"], ["c", "d", "a"], ["d", "e"]])
    small_bundle(tmp_path / "b", ["a", "b"])
    live.use(SequenceEncoder.load(tmp_path / "b", key_of=item_key))
    codes = live.online.vocabulary.codes([item_key(name) for name in "abcd"]).tolist()
    # One of nobody, one of an unknown item, and some that share items.
    histories = [[], codes[:1], [-1], codes[1:3], codes[::-1]]

    def asked() -> list[Query]:
        return [Query(now_ms=1, previous=previous) for previous in histories]

    covisitation = next(source for source in live.sources if source.name == "covisitation")
    alone = [covisitation.recall([query], 9)[0].tolist() for query in asked()]
    batch = asked()
    live.recall_followers(batch)
    kept = [query.kept["covisitation"].tolist() for query in batch]

    assert kept == alone
    assert not kept[0]
    assert max(map(len, kept)) > 2


def learned(live: LiveModels, rows: Sequence[tuple[str, str]]) -> RecommenderSource:
    """A source whose model learned who acted on what."""
    model = LinearAutoencoder()
    for _ in model.fit(history_of(rows)):
        pass
    return RecommenderSource("ease", model, live.online.vocabulary, key_of=item_key)


def test_a_model_taken_up_is_asked_by_the_challenger_too(tmp_path: Path) -> None:
    settings = config(online__extra_sources=["transformer", "ease"])
    live = live_models(settings, [["a", "b"]])
    small_bundle(tmp_path / "b", ["a", "b"])
    encoder = SequenceEncoder.load(tmp_path / "b", key_of=item_key)
    first, second = (learned(live, [("u", "a"), ("u", other)]) for other in "bc")

    live.serve(first, "first")
    live.challenge(encoder)
    assert live.challenger is not None
    assert live.challenger.loaded["ease"].digest == "first"
    live.serve(second, "second")

    challenger_sources = {source.name: source for source in live.challenger.sources}
    assert challenger_sources["ease"] is second
    # In one order, whichever came last: equal lists have equal bytes.
    assert list(live.challenger.versions("config").bundles.items()) == [
        ("ease", "second"),
        ("transformer", encoder.bundle.digest[:8]),
    ]
    assert live.versions("config").bundles == {"ease": "second"}


def test_sources_that_propose_nothing_follow_codes_that_another_item_takes_over() -> None:
    settings = config(
        online__extra_sources=["transformer", "ease"], online__vocabulary__max_items=2
    )
    live = live_models(settings, [["a", "b"]])
    live.serve(learned(live, [("u", "b"), ("u", "c")]), "digest")
    positives = ActionSequence(
        keys=np.array([item_key("b")], np.uint64),
        actions=np.ones(1, np.uint8),
        times_s=np.zeros(1, np.int64),
        user=1,
    )

    def scored(item_id: str) -> bool:
        live.follow()
        code = live.online.vocabulary.codes([item_key(item_id)])
        asked = Questions.of_one(Query(now_ms=START_MS, positives=positives), code)
        return bool(np.isfinite(live.loaded["ease"].source.score(asked)).all())

    assert not scored("a")

    live.online.learn_action("c", weight=1.0, time_ms=START_MS, previous=[])

    assert live.online.vocabulary.num_rows == 2
    assert scored("c")

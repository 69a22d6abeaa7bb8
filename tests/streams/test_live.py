"""The models in use: sources keep their columns, catalogue rows follow codes and records."""

import numpy as np

from featurestore.keys import item_key
from models.retrieval import Query, Questions
from streams.live import AbsentSource
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

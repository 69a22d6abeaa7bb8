"""Queries: what of a user's moment the sources may see."""

from pathlib import Path

import numpy as np

from featurestore.events import UserId
from featurestore.keys import item_key
from featurestore.state import EMPTY_STATE, UserState
from models.encoder import SequenceEncoder
from models.encoder_inputs import hash_user
from models.online.retrieval import Query
from models.recommender_source import RecommenderSource
from models.recommenders.ease import LinearAutoencoder
from streams.pipeline.list_requests import ListRequest, Trigger
from streams.pipeline.live import LiveModels
from streams.pipeline.queries import Asked, queries_of
from tests.streams.bundles import small_bundle
from tests.streams.stream_events import START_MS, click, visit
from tests.streams.taught import Line, config, live_models

U1 = UserId("u1")


def line() -> Line:
    settings = config()
    return Line(settings, live_models(settings, [["a", "b", "c"]]))


def asked(state: UserState, now_ms: int = START_MS, user_id: str = "u1") -> Asked:
    return Asked(UserId(user_id), state, now_ms, {"device": "phone"})


def query(one: Asked, live: LiveModels) -> Query:
    (made,) = queries_of([one], live, table=config().action_table(), num_previous=3)
    return made


def test_previous_items_are_the_latest_first_and_unknown_ones_are_marked() -> None:
    one = line()
    one.take(click("u1", "a"), click("u1", "never met"), click("u1", "c"))

    made = query(asked(one.states[U1]), one.live)

    vocabulary = one.live.online.vocabulary
    expected = [vocabulary.code(item_key("c")), -1, vocabulary.code(item_key("a"))]
    assert list(made.previous) == expected


def test_a_new_user_has_no_past() -> None:
    made = query(asked(EMPTY_STATE), line().live)

    assert list(made.previous) == []
    assert made.user_vector is None


def test_the_encoder_sees_a_visit_and_not_the_time_of_asking(tmp_path: Path) -> None:
    one = line()
    small_bundle(tmp_path / "b", ["a", "b", "c"])
    one.live.use(SequenceEncoder.load(tmp_path / "b", key_of=item_key))
    one.take(click("u1", "a"))
    after_action = one.states[U1]
    one.take(visit("u1", START_MS + 3_600_000))
    after_visit = one.states[U1]

    def vector(state: UserState, now_ms: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        found = query(asked(state, now_ms), one.live).user_vector
        assert found is not None
        return found

    at_once, later = vector(after_action, START_MS), vector(after_action, START_MS + 999_999)
    np.testing.assert_array_equal(at_once, later)
    assert not np.array_equal(at_once, vector(after_visit, START_MS))


def test_models_of_finished_logs_see_the_positive_actions_alone() -> None:
    one = line()
    one.take(click("u1", "a"), click("u1", "b", action="hide"), click("u1", "c", START_MS + 5000))
    state = asked(one.states[U1])
    assert query(state, one.live).positives is None

    vocabulary = one.live.online.vocabulary
    source = RecommenderSource("ease", LinearAutoencoder(), vocabulary, key_of=item_key)
    one.live.serve(source, "digest")
    seen = query(state, one.live).positives

    assert seen is not None
    assert seen.keys.tolist() == [item_key("a"), item_key("c")]
    assert seen.times_s.tolist() == [START_MS // 1000, START_MS // 1000 + 5]
    assert seen.actions.tolist() == [config().action_table().spec("click").code] * 2
    assert seen.user == hash_user("u1")


def test_a_query_tells_models_when_the_last_event_was_and_not_when_it_is_asked() -> None:
    one = line()
    one.take(click("u1", "a"), visit("u1", START_MS + 60_000))

    made = query(asked(one.states[U1], START_MS + 3_600_000), one.live)

    assert (made.now_ms, made.clock_ms) == (START_MS + 3_600_000, START_MS + 60_000)


def test_a_live_list_is_asked_for_at_the_very_time_that_models_are_told() -> None:
    one = line()
    one.take(click("u1", "a"), visit("u1", START_MS + 60_000), click("u1", "b", START_MS + 1))
    request = ListRequest(U1, one.states[U1], 0, 3, Trigger("e", None))

    made = query(request.asked(), one.live)

    assert made.now_ms == made.clock_ms == START_MS + 60_000


def test_a_batch_asks_what_each_alone_would_ask(tmp_path: Path) -> None:
    one = line()
    small_bundle(tmp_path / "b", ["a", "b", "c"])
    one.live.use(SequenceEncoder.load(tmp_path / "b", key_of=item_key))
    one.take(click("u1", "a"), click("u2", "b"), click("u2", "c"))
    moments = [asked(state, user_id=user_id) for user_id, state in one.states.items()]

    together = queries_of(moments, one.live, table=config().action_table(), num_previous=3)

    for made, moment in zip(together, moments, strict=True):
        alone = query(moment, one.live)
        assert made.previous == alone.previous
        assert made.user_vector is not None
        assert alone.user_vector is not None
        np.testing.assert_allclose(made.user_vector, alone.user_vector, atol=1e-5)

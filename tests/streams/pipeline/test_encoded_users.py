"""The encoder's answers are kept while nothing that it sees has changed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from featurestore.codec import decode_state, encode_state
from featurestore.events import Context, UserId
from featurestore.fold import FoldRules, fold
from featurestore.keys import item_key
from featurestore.state import EMPTY_STATE, UserState
from models.encoder import EncodedQueries, SequenceEncoder
from models.encoder_inputs import ActionSequence
from models.side_features import SideFeatures
from streams.pipeline.encoded_users import EncodedUsers
from tests.streams.bundles import small_bundle
from tests.streams.stream_events import START_MS, click, shown, visit
from tests.streams.taught import config

RULES: FoldRules = config().fold_rules()
U1, U2 = UserId("u1"), UserId("u2")


class Counting(SequenceEncoder):
    """The encoder, counting the users that it was given."""

    num_encoded = 0

    def encode(self, batch: Sequence[ActionSequence]) -> EncodedQueries:
        self.num_encoded += len(batch)
        return super().encode(batch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bundles") / "b"
    small_bundle(made, ["a", "b", "c"])
    return made


@pytest.fixture
def encoder(folder: Path) -> Counting:
    return Counting.load(folder, key_of=item_key)


def after(*events: object, state: UserState = EMPTY_STATE) -> UserState:
    for event in events:
        state = fold(state, event, RULES).state  # type: ignore[arg-type]  # events as they come
    return state


def test_an_impression_after_its_list_asks_the_encoder_nothing(encoder: Counting) -> None:
    users = EncodedUsers(encoder)
    state = after(click("u1", "a"), visit("u1", START_MS + 60_000))
    (first,) = users.encode([(U1, state, None)])

    (again,) = users.encode([(U1, decode_state(encode_state(state)), None)])

    assert again is first
    assert encoder.num_encoded == 1


def test_an_impression_some_seconds_after_a_visit_asks_the_encoder_nothing(
    encoder: Counting,
) -> None:
    users = EncodedUsers(encoder)
    visited = after(click("u1", "a"), visit("u1", START_MS + 3_600_000))
    shown_late = after(shown("u1", START_MS + 3_605_000), state=visited)
    (first,) = users.encode([(U1, visited, None)])

    (again,) = users.encode([(U1, shown_late, None)])

    assert again is first
    (anew,) = EncodedUsers(encoder).encode([(U1, shown_late, None)])
    np.testing.assert_array_equal(anew.query_I, first.query_I)


def test_a_new_action_and_a_later_visit_are_encoded_anew(encoder: Counting) -> None:
    users = EncodedUsers(encoder)
    state = after(click("u1", "a"))
    acted = after(click("u1", "b", START_MS + 1000), state=state)
    visited = after(visit("u1", START_MS + 90_000), state=acted)

    vectors = [users.encode([(U1, one, None)])[0].query_I for one in (state, acted, visited)]

    assert encoder.num_encoded == 3
    assert not np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[1], vectors[2])


def test_a_batch_is_answered_in_its_order_and_only_for_what_is_new(encoder: Counting) -> None:
    users = EncodedUsers(encoder)
    one, two = after(click("u1", "a")), after(click("u2", "b"))
    users.encode([(U1, one, None)])

    answers = users.encode([(U2, two, None), (U1, one, None), (U2, EMPTY_STATE, None)])

    assert encoder.num_encoded == 3
    alone = [EncodedUsers(encoder).encode([pair])[0] for pair in ((U2, two, None), (U1, one, None))]
    for answer, expected in zip(answers, alone, strict=False):
        np.testing.assert_allclose(answer.query_I, expected.query_I, atol=1e-5)
        np.testing.assert_allclose(answer.counter_weight_3, expected.counter_weight_3, atol=1e-5)


def test_only_the_latest_users_are_kept(encoder: Counting) -> None:
    users = EncodedUsers(encoder, max_users=2)
    for number in range(5):
        users.encode([(UserId(f"v{number}"), after(click(f"v{number}", "a")), None)])
    before = encoder.num_encoded

    users.encode([(UserId("v4"), after(click("v4", "a")), None)])
    assert encoder.num_encoded == before
    users.encode([(UserId("v0"), after(click("v0", "a")), None)])
    assert encoder.num_encoded == before + 1


def test_shown_items_are_not_what_the_encoder_sees(encoder: Counting) -> None:
    users = EncodedUsers(encoder)
    state = after(click("u1", "a"))
    users.encode([(U1, state, None)])

    users.encode([(U1, after(shown("u1", START_MS), state=state), None)])

    assert encoder.num_encoded == 1


def test_another_context_of_the_event_is_encoded_anew(tmp_path: Path) -> None:
    side = SideFeatures(context=("device", "hour"))
    small_bundle(tmp_path / "b", ["a", "b", "c"], side=side)
    encoder = Counting.load(tmp_path / "b", key_of=item_key)
    users, state = EncodedUsers(encoder), after(click("u1", "a"))

    contexts: list[Context] = [
        {"device": "phone"},
        {"device": "phone", "page": "x"},
        {"device": "desk"},
    ]
    for context in contexts:
        (answer,) = users.encode([(U1, state, context)])
        hour = 1 + START_MS // 3_600_000 % 24
        assert answer.contexts == (*side.context_codes(context, 0)[:1], hour)

    assert encoder.num_encoded == 2

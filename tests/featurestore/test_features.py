"""The one feature function: pure, in range, and the same for an item wherever it is asked for."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.events import Event
from featurestore.features import FeatureConfig, FeatureLayout, SlateInput, slate_features
from featurestore.keys import item_keys
from featurestore.standing import NUM_ACTIONS
from featurestore.state import EMPTY_STATE
from tests.featurestore.user_events import RULES, SMALL_RULES, action, event_lists, folded, shown

LAYOUT = FeatureLayout(source_names=("trending", "covisitation"))
GOLDEN = Path(__file__).parent / "golden" / "slate_features_v2.txt"
SLATE_WIDE = ("slate", "percentile", "rank", "to_interacted", "to_clicked")


def slate(num: int = 9, seed: int = 0) -> SlateInput:
    """Return the items i0, i1 … with random values, some of them missing."""
    generator = np.random.default_rng(seed)

    def reals(*shape: int) -> np.ndarray:
        values = generator.normal(scale=5, size=shape).astype(np.float32)
        values[generator.random(shape) < 0.2] = np.nan
        return values

    return SlateInput(
        keys=item_keys([f"i{number}" for number in range(num)]),
        positions=np.arange(1, num + 1, dtype=np.int32),
        numeric=reals(num, 1),
        context={"device": "mobile", "platform": None},
        source_scores=reals(num, 2),
        statistics=reals(num, 2),
        ages_s=np.where(generator.random(num) < 0.2, np.nan, generator.random(num) * 1e7),
        categories=generator.integers(-1, 4, num).astype(np.int32),
        recent_categories=generator.integers(-1, 4, 6).astype(np.int32),
    )


def picked(whole: SlateInput, at: np.ndarray) -> SlateInput:
    rows = {
        name: getattr(whole, name)[at]
        for name in ("keys", "numeric", "source_scores", "statistics", "ages_s", "categories")
    }
    positions = None if whole.positions is None else whole.positions[at]
    return dataclasses.replace(whole, positions=positions, **rows)


def session() -> list[Event]:
    return [
        action(0, "i1", session_id="s1"),
        shown(1, "i1", "i2"),
        action(2, "i1", session_id="s2"),
        action(3, "i4", "view", session_id="s2"),
        action(4, "i1", "view", session_id="s2"),
        action(5, None, "search", session_id="s2"),
    ]


def column(name: str, features: np.ndarray) -> list[int]:
    """Return the bins of a relevance column."""
    at = LAYOUT.names.index(name)
    bins: list[int] = (features[:, at] - LAYOUT.offsets[at]).tolist()
    return bins


@settings(derandomize=True, deadline=None, max_examples=30)
@given(event_lists, st.integers(0, 30), st.integers(0, 5))
def test_every_index_is_within_its_template(events: list[Event], num: int, seed: int) -> None:
    state = folded(events, rules=SMALL_RULES)
    relevance, examination = slate_features(LAYOUT, state, slate(num, seed))
    assert relevance.shape == (num, LAYOUT.relevance_width)
    assert examination.shape == (num, LAYOUT.examination_width)
    both = np.concatenate((relevance, examination), axis=1)
    assert both.dtype == np.int32
    assert (both >= LAYOUT.offsets[:-1]).all()
    assert (both < LAYOUT.offsets[1:]).all()


def test_ranking_never_sees_a_position() -> None:
    state = folded(session())
    shown_once = slate_features(LAYOUT, state, slate())
    unranked = slate_features(LAYOUT, state, dataclasses.replace(slate(), positions=None))
    upside_down = dataclasses.replace(slate(), positions=np.arange(9, 0, -1, dtype=np.int32))
    elsewhere = slate_features(LAYOUT, state, upside_down)
    assert unranked.examination.shape == (0, LAYOUT.examination_width)
    assert (unranked.relevance == shown_once.relevance).all()
    assert (elsewhere.relevance == shown_once.relevance).all()
    assert (elsewhere.examination != shown_once.examination).any()


def test_an_item_has_the_same_features_among_others_but_for_those_of_the_slate() -> None:
    state = folded(session())
    whole = slate(300)
    alone = slate_features(LAYOUT, state, picked(whole, np.arange(20))).relevance
    among = slate_features(LAYOUT, state, whole).relevance[:20]
    for name in LAYOUT.names[: LAYOUT.relevance_width]:
        if not any(word in name for word in SLATE_WIDE):
            assert column(name, alone) == column(name, among), name


def test_the_order_of_the_slate_does_not_matter() -> None:
    state = folded(session())
    order = np.random.default_rng(1).permutation(9)
    straight = slate_features(LAYOUT, state, slate())
    mixed = slate_features(LAYOUT, state, picked(slate(), order))
    assert (mixed.relevance == straight.relevance[order]).all()
    assert (mixed.examination == straight.examination[order]).all()


def test_no_feature_depends_on_the_calendar() -> None:
    later = [msgspec.structs.replace(event, ts_ms=event.ts_ms + 123_456_000) for event in session()]
    now = slate_features(LAYOUT, folded(session()), slate())
    then = slate_features(LAYOUT, folded(later), slate())
    assert (now.relevance == then.relevance).all()
    assert (now.examination == then.examination).all()


def test_the_users_own_actions_are_told_apart() -> None:
    features = slate_features(LAYOUT, folded(session(), rules=RULES), slate()).relevance
    assert column("interactions", features) == [0, 2, 0, 0, 1, 0, 0, 0, 0]
    assert column("before_session", features) == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert column("shown", features) == [0, 1, 1, 0, 0, 0, 0, 0, 0]


def test_times_count_back_from_the_last_action() -> None:
    features = slate_features(LAYOUT, folded(session(), rules=RULES), slate()).relevance
    bin_times_four_plus_class = column("seconds_back*class", features)
    assert [bin_times_four_plus_class[at] for at in (0, 1, 4)] == [0, 2 * 4 + 3, 2 * 4 + 2]


def test_an_item_that_has_left_the_history_is_known_as_seen() -> None:
    state = folded([action(number, f"i{number}") for number in range(8)])
    assert column("before_session", slate_features(LAYOUT, state, slate()).relevance) == [
        4,
        4,
        4,
        0,
        0,
        0,
        0,
        0,
        0,
    ]


def test_a_category_is_judged_by_its_share_of_the_recent_actions() -> None:
    inputs = dataclasses.replace(
        slate(4),
        categories=np.array([0, 1, 7, -1], np.int32),
        recent_categories=np.array([0, 0, 0, 1, -1], np.int32),
    )
    features = slate_features(LAYOUT, EMPTY_STATE, inputs).relevance
    assert column("category_share", features) == [3, 1, 0, 6]
    nothing = dataclasses.replace(inputs, recent_categories=np.empty(0, np.int32))
    assert column("category_share", slate_features(LAYOUT, EMPTY_STATE, nothing).relevance) == [
        0,
        0,
        0,
        6,
    ]


def test_a_price_is_judged_against_those_the_user_has_touched() -> None:
    prices = np.array([[100.0], [100.0], [200.0], [np.nan], [-1.0]], np.float32)
    features = slate_features(
        LAYOUT, folded([action(0, "i0")]), dataclasses.replace(slate(5), numeric=prices)
    ).relevance
    ratio_times_two_plus_touched = column("price.to_interacted*class", features)
    assert ratio_times_two_plus_touched == [21, 20, 28, 38, 38]


def test_a_price_is_judged_against_the_lowest_that_was_shown_above() -> None:
    prices = np.array([[100.0], [50.0], [100.0], [np.nan], [50.0]], np.float32)
    inputs = dataclasses.replace(slate(5), numeric=prices)
    at = LAYOUT.names.index("price.to_lowest_above*class")
    features = slate_features(LAYOUT, EMPTY_STATE, inputs).examination
    bins = (features[:, at - LAYOUT.relevance_width] - LAYOUT.offsets[at]) // 4
    assert bins.tolist() == [0, 5, 14, 19, 10]


def test_how_an_item_was_touched_is_told_apart() -> None:
    events: list[Event] = [
        action(0, "i0"),
        action(10, "i1", "view"),
        action(15, "i2", "unheard_of"),
        action(16, "i2"),
        action(17, None, "search"),
    ]
    features = slate_features(LAYOUT, folded(events, rules=RULES), slate(4)).relevance
    touches = [bin_ // NUM_ACTIONS for bin_ in column("touches*last_action", features)]
    assert touches == [1, 2, 1 + 4, 0]
    dwell = [bin_ // 4 for bin_ in column("dwell*class", features)]
    assert dwell == [4, 3, 2, 0]


def test_the_position_is_seen_relative_to_the_last_touched_item() -> None:
    features = slate_features(LAYOUT, folded(session()), slate()).examination
    at = LAYOUT.names.index("offset")
    offsets = features[:, at - LAYOUT.relevance_width] - LAYOUT.offsets[at]
    assert offsets.tolist() == [13, 14, 15, 16, 17, 18, 19, 20, 21]


def test_the_features_of_this_layout_are_those_of_the_golden_file() -> None:
    """Whoever changes them raises LAYOUT_VERSION: weights learned before would mean nothing."""
    items = np.arange(4)
    inputs = SlateInput(
        keys=item_keys(["i1", "i2", "i4", "i9"]),
        positions=np.array([1, 2, 3, 40], np.int32),
        numeric=np.array([[80.0], [90.0], [np.nan], [200.0]], np.float32),
        context={"device": "mobile", "platform": "web"},
        source_scores=np.stack((-2.25 * items, 0.75 * items), axis=1).astype(np.float32),
        statistics=np.stack((3.0 * items, -1.5 * items), axis=1).astype(np.float32),
        ages_s=np.array([0.0, 100.0, 1e6, np.nan]),
        categories=np.array([0, 1, 1, -1], np.int32),
        recent_categories=np.array([1, 1, 0, -1], np.int32),
    )
    features = slate_features(LAYOUT, folded(session(), rules=RULES), inputs)
    rows = np.concatenate(features, axis=1).tolist()
    written = [LAYOUT.digest, *(" ".join(map(str, row)) for row in rows)]
    assert written == GOLDEN.read_text().splitlines()


@pytest.mark.parametrize(
    "other",
    [
        FeatureLayout(source_names=("covisitation", "trending")),
        FeatureLayout(config=FeatureConfig(numeric=()), source_names=LAYOUT.source_names),
        FeatureLayout(config=FeatureConfig(context_buckets=32), source_names=LAYOUT.source_names),
        FeatureLayout(config=FeatureConfig(click_codes=(2,)), source_names=LAYOUT.source_names),
    ],
)
def test_another_layout_has_another_digest(other: FeatureLayout) -> None:
    assert other.digest != LAYOUT.digest
    assert FeatureLayout(source_names=LAYOUT.source_names).digest == LAYOUT.digest


def test_the_widths_follow_the_configuration() -> None:
    bare = FeatureLayout(config=FeatureConfig(numeric=(), context=()))
    assert len(bare.names) == bare.relevance_width + bare.examination_width
    assert LAYOUT.relevance_width == bare.relevance_width + 4 + 2 + 2 * 2
    none = np.empty((9, 0), np.float32)
    inputs = dataclasses.replace(slate(), numeric=none, source_scores=none)
    features = slate_features(bare, folded(session()), inputs)
    assert features.relevance.max() < bare.num_weights

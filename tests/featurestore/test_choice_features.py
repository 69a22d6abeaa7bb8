"""What the choice head sees: a pure function of the user, the moment and the one item."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.choice_features import ChoiceFeatures, ChoiceInput, choice_features
from featurestore.choice_layout import ChoiceConfig, ChoiceLayout
from featurestore.fold import FoldRules, fold
from featurestore.keys import item_keys
from featurestore.state import EMPTY_STATE, UserState
from tests.streams.stream_events import START_MS, click, shown

LAYOUT = ChoiceLayout(config=ChoiceConfig())
RULES = FoldRules(table=ActionTable.of(DEFAULT_ACTIONS))
COLUMNS = [template.name for template in LAYOUT.templates][: LAYOUT.num_columns]


def state_after(*events: object) -> UserState:
    state = EMPTY_STATE
    for event in events:
        state = fold(state, event, RULES).state  # type: ignore[arg-type]
    return state


def features(
    items: list[str],
    *,
    state: UserState = EMPTY_STATE,
    kinds: list[tuple[int, int]] | None = None,
    user: int = 1,
    last_kinds: tuple[int, int] = (0, 0),
    gap_ms: float = 0.0,
    ages_s: float = 0.0,
) -> ChoiceFeatures:
    return choice_features(
        LAYOUT,
        [state],
        ChoiceInput(
            sizes=np.array([len(items)]),
            keys=item_keys(items),
            kinds=np.array(kinds or [(0, 0)] * len(items), np.uint32),
            ages_s=np.full(len(items), ages_s),
            users=np.array([user], np.uint64),
            last_kinds=np.array([last_kinds], np.uint32),
            gaps_ms=np.array([gap_ms]),
        ),
    )


def cell(found: ChoiceFeatures, name: str, item: int = 0) -> int:
    column = COLUMNS.index(name)
    return int(found.indices[item, column] - LAYOUT.offsets[column])


def test_every_index_lies_in_its_template() -> None:
    found = features(["a", "b", "c"], kinds=[(1, 2), (2**32 - 1, 0), (0, 0)], ages_s=1e18)
    for column, template in enumerate(LAYOUT.templates[: LAYOUT.num_columns]):
        cells = found.indices[:, column] - LAYOUT.offsets[column]
        assert ((cells >= 0) & (cells < template.num_cells)).all(), template.name


def test_a_taste_is_of_one_user_for_one_category() -> None:
    one = features(["a", "b", "c"], kinds=[(7, 0), (7, 0), (8, 0)], user=1)
    other = features(["a"], kinds=[(7, 0)], user=2)
    tastes = [cell(one, "user*category", item) for item in range(3)]
    assert tastes[0] == tastes[1] != tastes[2]
    assert cell(other, "user*category") != tastes[0]


def test_what_the_user_did_with_the_item_is_seen() -> None:
    state = state_after(
        shown("u", items=["a", "b"]), shown("u", START_MS + 1, items=["b"]), click("u", "c")
    )
    found = features(["a", "b", "c", "d"], state=state)
    assert [cell(found, "shown", item) for item in range(4)] == [1, 2, 0, 0]
    assert [cell(found, "acted", item) for item in range(4)] == [0, 0, 1, 0]


def test_the_pull_of_the_last_item_halves_with_time_and_is_none_without_one() -> None:
    half_life_ms = LAYOUT.config.follow_half_life_ms
    pulls = [
        features(["a"], last_kinds=(7, 0), gap_ms=gap_ms).pulls[0]
        for gap_ms in (0, half_life_ms, 10_000 * half_life_ms)
    ]
    assert pulls == pytest.approx([1.0, 0.5, 0.0])
    assert features(["a"]).pulls[0] == 0


def test_same_kind_is_the_second_category_of_the_last_item() -> None:
    found = features(["a", "b", "c"], kinds=[(1, 5), (1, 6), (1, 0)], last_kinds=(1, 5))
    assert [cell(found, "same_kind_as_last", item) for item in range(3)] == [1, 0, 0]
    none = features(["a"], kinds=[(1, 0)], last_kinds=(1, 0))
    assert cell(none, "same_kind_as_last") == 0


@given(st.integers(1, 6), st.integers(0, 5))
def test_an_items_features_do_not_depend_on_its_company(num_items: int, index: int) -> None:
    items = [f"i{number}" for number in range(num_items)]
    kinds = [(number % 3 + 1, number) for number in range(num_items)]
    index %= num_items
    together = features(items, kinds=kinds, last_kinds=(2, 1), ages_s=60.0)
    alone = features([items[index]], kinds=[kinds[index]], last_kinds=(2, 1), ages_s=60.0)
    assert together.indices[index].tolist() == alone.indices[0].tolist()

"""Events of one user, for the tests of fold and codec: drawn by hypothesis, or one by one."""

from hypothesis import strategies as st

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.events import Action, Event, Impression, ItemId, ShownItem, UserId, Visit
from featurestore.fold import FoldRules, fold
from featurestore.state import EMPTY_STATE, UserState

TABLE = ActionTable.of(DEFAULT_ACTIONS)
USER = UserId("u1")
START_MS = 1_700_000_000_000
DAY_MS = 86_400_000

SMALL_RULES = FoldRules(
    table=TABLE,
    max_actions=5,
    max_seen=3,
    max_hidden=2,
    max_shown=4,
    horizon_ms=3 * DAY_MS,
)
"""Caps so small that a short stream meets every one of them."""

RULES = FoldRules(table=TABLE)

_event_ids = st.integers(0, 40).map("e{}".format)
_items = st.integers(0, 8).map(lambda number: ItemId(f"i{number}"))
_times = st.sampled_from([0, 1, 999, 30_000, 31 * 60_000, DAY_MS, 4 * DAY_MS]).flatmap(
    lambda step: st.integers(-1, 3).map(lambda times: START_MS + step * times)
)
_sessions = st.sampled_from([None, None, "s1", "s2"])

_actions = st.builds(
    Action,
    event_id=_event_ids,
    user_id=st.just(USER),
    ts_ms=_times,
    session_id=_sessions,
    action=st.sampled_from(["click", "hide", "search", "like", "teleport"]),
    item_id=st.none() | _items,
)
_impressions = st.builds(
    Impression,
    event_id=_event_ids,
    user_id=st.just(USER),
    ts_ms=_times,
    session_id=_sessions,
    items=st.lists(
        st.builds(ShownItem, item_id=_items, position=st.integers(1, 9)), min_size=1, max_size=6
    ).map(tuple),
)
_visits = st.builds(
    Visit, event_id=_event_ids, user_id=st.just(USER), ts_ms=_times, session_id=_sessions
)

events = st.one_of(_actions, _actions, _impressions, _visits)
event_lists = st.lists(events, max_size=25)


def folded(
    events: list[Event], state: UserState = EMPTY_STATE, rules: FoldRules = SMALL_RULES
) -> UserState:
    """Fold the events onto `state`."""
    for event in events:
        state = fold(state, event, rules).state
    return state


def action(
    number: int,
    item_id: str | None = "i1",
    name: str = "click",
    *,
    ts_ms: int | None = None,
    session_id: str | None = None,
) -> Action:
    """Return the action `a<number>`, `number` seconds after the start unless `ts_ms` says."""
    return Action(
        event_id=f"a{number}",
        user_id=USER,
        ts_ms=START_MS + number * 1000 if ts_ms is None else ts_ms,
        session_id=session_id,
        action=name,
        item_id=None if item_id is None else ItemId(item_id),
    )


def shown(number: int, *item_ids: str) -> Impression:
    """Return the impression `m<number>` of a slate of these items."""
    return Impression(
        event_id=f"m{number}",
        user_id=USER,
        ts_ms=START_MS + number * 1000,
        items=tuple(
            ShownItem(item_id=ItemId(item_id), position=place)
            for place, item_id in enumerate(item_ids, start=1)
        ),
    )


def visit(number: int, *, ts_ms: int | None = None) -> Visit:
    """Return the visit `v<number>`."""
    return Visit(
        event_id=f"v{number}",
        user_id=USER,
        ts_ms=START_MS + number * 1000 if ts_ms is None else ts_ms,
    )

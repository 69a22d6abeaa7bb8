import msgspec
import numpy as np
import pytest

from deploy.storefront.events import (
    Action,
    CatalogueItem,
    Event,
    Impression,
    Visit,
    encode,
    key_of,
)
from deploy.storefront.policies import ReadList
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront, run
from deploy.storefront.world import HOUR_MS, MINUTE_MS
from tests.deploy.storefront.shops import SMALL, START_MS, open_for


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(Storefront(SMALL, START_MS).events(START_MS + 3 * HOUR_MS))


def _ts_ms(event: Event) -> int | None:
    return None if isinstance(event, CatalogueItem) else event.ts_ms


def test_a_seed_fixes_every_byte_and_another_seed_changes_them(events: list[Event]) -> None:
    again = Storefront(SMALL, START_MS)
    assert [encode(event) for event in again.events(START_MS + 3 * HOUR_MS)] == [
        encode(event) for event in events
    ]
    other = Storefront(SMALL.replace(["seed=2"]), START_MS)
    assert [encode(event) for event in other.events(START_MS + MINUTE_MS)] != [
        encode(event) for event in events[:10]
    ]


def test_stopping_and_going_on_changes_nothing(events: list[Event]) -> None:
    storefront = Storefront(SMALL, START_MS)
    parts: list[Event] = []
    for minute in range(0, 181, 7):
        parts.extend(storefront.events(min(START_MS + minute * MINUTE_MS, START_MS + 3 * HOUR_MS)))
    parts.extend(storefront.events(START_MS + 3 * HOUR_MS))
    assert parts == events


def test_events_come_in_event_time_order_with_unique_ids(events: list[Event]) -> None:
    times = [ts_ms for event in events if (ts_ms := _ts_ms(event)) is not None]
    assert times == sorted(times)
    ids = [event.event_id for event in events if not isinstance(event, CatalogueItem)]
    assert len(set(ids)) == len(ids) > 5_000


def test_every_event_of_a_shopper_tells_their_device(events: list[Event]) -> None:
    devices: dict[str, set[str]] = {}
    for event in events:
        if not isinstance(event, CatalogueItem):
            devices.setdefault(event.user_id, set()).add(event.context["device"])
    assert all(len(told) == 1 for told in devices.values())
    assert len(set.union(*devices.values())) > 1


def test_every_event_has_the_documented_structure(events: list[Event]) -> None:
    required = {
        "impression": {"event_id", "user_id", "ts_ms", "items"},
        "action": {"event_id", "user_id", "ts_ms", "item_id", "action"},
        "visit": {"event_id", "user_id", "ts_ms"},
    }
    optional = {"request_id", "list_id", "session_id", "context", "value", "query"}
    for event in events:
        record = msgspec.json.decode(encode(event))
        assert None not in record.values()
        if isinstance(event, CatalogueItem):
            assert set(record) == {
                "item_id",
                "title",
                "categories",
                "attributes",
                "published_at_ms",
                "available",
            }
            assert key_of(event).decode() == record["item_id"]
            continue
        needed = required[record.pop("type")]
        assert needed <= set(record) <= needed | optional
        assert key_of(event).decode() == record["user_id"]
        if isinstance(event, Impression):
            shown = record["items"]
            assert [item["position"] for item in shown] == list(range(1, SMALL.slate_size + 1))
            assert len({item["item_id"] for item in shown}) == SMALL.slate_size
            assert all(0 < item["propensity"] <= 1 for item in shown)


def test_an_action_on_a_list_follows_its_impression_and_names_it(events: list[Event]) -> None:
    shown: dict[str, Impression] = {}
    num_checked = 0
    for event in events:
        if isinstance(event, Impression):
            shown[event.request_id] = event
        elif isinstance(event, Action) and event.request_id is not None:
            impression = shown[event.request_id]
            assert event.user_id == impression.user_id
            assert event.list_id == impression.list_id
            assert event.item_id in {item.item_id for item in impression.items}
            num_checked += 1
    assert num_checked > 500


def test_all_kinds_of_actions_occur_and_a_session_opens_with_a_visit(events: list[Event]) -> None:
    names = {event.action for event in events if isinstance(event, Action)}
    assert names == {"click", "view", "add_to_cart", "purchase", "hide"}
    begun: set[str] = set()
    for event in events:
        if isinstance(event, Visit):
            assert event.session_id not in begun
            begun.add(event.session_id)
        elif not isinstance(event, CatalogueItem):
            assert event.session_id in begun


def test_new_items_appear_are_opened_and_old_ones_are_withdrawn(events: list[Event]) -> None:
    new = {
        event.item_id
        for event in events
        if isinstance(event, CatalogueItem) and event.published_at_ms > START_MS + MINUTE_MS
    }
    gone = [e for e in events if isinstance(e, CatalogueItem) and not e.available]
    opened_new = [e for e in events if isinstance(e, Action) and e.item_id in new]
    assert len(new) == pytest.approx(3 * SMALL.new_items_per_hour, rel=0.05)
    assert len(gone) == pytest.approx(3 * SMALL.new_items_per_hour, rel=0.3)
    assert len(opened_new) > 100


def test_what_is_shown_first_is_clicked_more_than_chance_orders_it() -> None:
    # Random slates: without position bias every position would be clicked alike.
    settings = Settings(num_users=600, exploration=0.99, base_logit=-6.0)
    clicks, where = np.zeros(settings.slate_size + 1), {}
    for event in Storefront(settings, START_MS).events(START_MS + 3 * HOUR_MS):
        if isinstance(event, Impression):
            where[event.request_id] = {item.item_id: item.position for item in event.items}
        elif isinstance(event, Action) and event.action == "click" and event.request_id:
            clicks[where[event.request_id][event.item_id]] += 1
    assert clicks[1] > 2.5 * clicks[5:].mean()
    assert clicks[1:4].sum() > clicks[4:7].sum() > clicks[7:10].sum() > 20


def test_serve_is_asked_only_after_earlier_events_were_handed_out() -> None:
    seen: list[Event] = []
    reads: list[tuple[str, int]] = []

    def read(user_id: str, now_ms: int) -> ReadList | None:
        last = next(e for e in reversed(seen) if not isinstance(e, CatalogueItem))
        own = next(
            e for e in reversed(seen) if not isinstance(e, CatalogueItem) and e.user_id == user_id
        )
        assert last.ts_ms <= now_ms
        assert own.ts_ms < now_ms
        reads.append((user_id, now_ms))
        return None

    storefront = Storefront(SMALL, START_MS, read=read)
    storefront.serve_halves()
    num_events = run(storefront, START_MS + 20 * MINUTE_MS, seen.append)
    assert num_events == len(seen)
    assert len(reads) > 100
    assert {int(user_id[-1]) % 2 for user_id, _ in reads} == {1}


def test_a_page_that_reads_a_list_sends_a_visit_just_before() -> None:
    # The user's last event when a list is read, and how long ago it was.
    last: dict[str, tuple[type[Event], int]] = {}
    before: list[tuple[type[Event], int]] = []

    def read(user_id: str, now_ms: int) -> ReadList | None:
        kind, ts_ms = last[user_id]
        before.append((kind, now_ms - ts_ms))
        return None

    storefront = Storefront(SMALL, START_MS, read=read)
    storefront.serve_halves()
    num_visits = {0: 0, 1: 0}
    num_pages = {0: 0, 1: 0}
    for event in storefront.events(START_MS + HOUR_MS):
        if isinstance(event, CatalogueItem):
            continue
        last[event.user_id] = type(event), event.ts_ms
        half = int(event.user_id[-1]) % 2
        num_visits[half] += isinstance(event, Visit)
        num_pages[half] += isinstance(event, Impression)
    assert len(before) > 300
    assert {kind for kind, _ in before} == {Visit}
    assert min(ago_ms for _, ago_ms in before) >= 80
    assert max(ago_ms for _, ago_ms in before) <= 201
    # The other half's application has no use for a list: one a session.
    assert num_visits[1] > num_pages[1]
    assert num_visits[0] < 0.7 * num_pages[0]


def test_a_recommenders_list_is_shown_as_read_and_filled_up_where_it_falls_short() -> None:
    storefront = Storefront(
        SMALL,
        START_MS,
        read=lambda _user_id, _now_ms: ReadList(
            list_id="3-1207",
            item_ids=["s1-i000500", "unknown", "s1-i000501", "s1-i000500"],
            propensities=[0.5, 0.1, None, 0.5],
        ),
    )
    open_for(storefront, 0.5)
    storefront.serve_halves()
    shown = [
        event
        for event in storefront.events(START_MS + HOUR_MS)
        if isinstance(event, Impression) and event.list_id == "3-1207"
    ]
    assert len(shown) > 50
    for impression in shown:
        assert [item.item_id for item in impression.items[:2]] == ["s1-i000500", "s1-i000501"]
        assert [item.propensity for item in impression.items[:2]] == [0.5, 1.0]
        assert len({item.item_id for item in impression.items}) == SMALL.slate_size


def test_a_new_pace_holds_from_its_moment_on_and_the_former_one_no_longer() -> None:
    settings = SMALL.replace(["sessions_per_user_hour=0.05"])
    storefront = Storefront(settings, START_MS)
    assert len(list(storefront.events(START_MS + MINUTE_MS))) > 0
    storefront.set_pace(20.0, hurry=1.0, from_ms=START_MS + MINUTE_MS)
    fast = [
        event for event in storefront.events(START_MS + 2 * MINUTE_MS) if isinstance(event, Visit)
    ]
    # Shoppers who are there already open no second session.
    assert 400 < len(fast) <= 1_400
    first_ms = min(event.ts_ms for event in fast)
    assert first_ms < START_MS + MINUTE_MS + 1_000
    storefront.set_pace(0.001, hurry=1.0, from_ms=START_MS + 2 * MINUTE_MS)
    slow = storefront.events(START_MS + 3 * MINUTE_MS)
    assert sum(isinstance(event, Visit) for event in slow) == 0

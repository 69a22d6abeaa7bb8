from pathlib import Path

import pytest

from featurestore.events import CatalogueItem, Event, ItemId, encode_event
from streams.config import Config, config_of
from streams.event_file import EventFileError
from streams.finished_log import FinishedLog, log_of, read_log
from streams.item_log import digest_of, item_log_of, read_item_file
from tests.streams.stream_events import START_MS, click, visit

CONTEXT = config_of({"side": {"context": ["device", "hour", "never"]}})
SECOND_MS = 1000


def found(events: list[Event], config: Config = CONTEXT) -> FinishedLog:
    return log_of("log", map(encode_event, events), config)


def device(name: str, config: Config = CONTEXT) -> int:
    return config.side.context_codes({"device": name}, 0)[0]


def test_a_row_knows_the_last_event_before_and_nothing_of_its_own() -> None:
    times_ms = [START_MS + n * 10 * SECOND_MS for n in range(4)]
    history = found(
        [
            click("u", "a", times_ms[0], context={"device": "tablet"}),
            click("u", "x", times_ms[1], action="view", context={"device": "tv"}),
            click("u", "b", times_ms[2], context={"device": "mobile"}),
            visit("u", times_ms[3], context={"device": "desktop"}),
            visit("w", times_ms[3], context={"device": "watch"}),
            click("u", "c", times_ms[3], context={"device": "mobile"}),
        ]
    ).history
    assert [history.item_ids[code] for code in history.items] == ["a", "b", "c"]
    assert history.side is not None
    places = history.contexts[:, history.side.context.index("device")].tolist()
    assert places == [0, device("tv"), device("desktop")]
    assert history.asked_s.tolist() == [0, times_ms[1] // 1000, times_ms[3] // 1000]


def test_names_that_no_event_carries_are_left_out() -> None:
    history = found([click("u", "a"), click("u", "b", context={"device": "tv"})]).history
    assert history.side is not None
    # Nothing came before the first, and before the second no device was told.
    assert history.side.context == ("hour",)
    assert history.contexts.shape == (2, 1)


def test_what_the_catalogue_says_reaches_the_history_and_what_is_on_offer_joins_it() -> None:
    records = [
        CatalogueItem(item_id=ItemId("a"), categories=("old",)),
        CatalogueItem(item_id=ItemId("a"), categories=("shoes",)),
        CatalogueItem(item_id=ItemId("new"), categories=("shoes", "winter")),
        CatalogueItem(item_id=ItemId("gone"), categories=("shoes",), available=False),
        CatalogueItem(item_id=ItemId("bare")),
    ]
    items = item_log_of(map(encode_event, records), CONTEXT.side)
    events = [encode_event(click("u", "a")), encode_event(click("u", "gone"))]
    history = log_of("log", events, CONTEXT, items).history
    assert history.item_ids == ["a", "gone", "new"]
    shoes = CONTEXT.side.attribute_codes(["shoes"], {})
    both = CONTEXT.side.attribute_codes(["shoes", "winter"], {})
    assert history.attribute_matrix().tolist() == [[*shoes, 0], [*shoes, 0], [*both]]


def test_a_file_of_items_is_read_and_one_of_something_else_is_refused(tmp_path: Path) -> None:
    events, items = tmp_path / "events.jsonl", tmp_path / "items.jsonl"
    events.write_bytes(encode_event(click("u", "a")) + b"\n")
    items.write_bytes(encode_event(CatalogueItem(item_id=ItemId("a"), categories=("x",))) + b"\n")
    log = read_log(str(events), Config(), items=items)
    assert log.history.attribute_matrix().shape == (1, 1)
    assert read_log(str(events), Config()).history.attribute_matrix().shape == (1, 0)
    items.write_bytes(b'{"title":"no id"}\n')
    with pytest.raises(EventFileError, match="no record of an item"):
        read_item_file(items, Config().side)


def test_a_catalogue_has_one_digest_however_its_records_and_their_names_are_ordered() -> None:
    first = CatalogueItem(item_id=ItemId("a"), attributes={"x": 1, "y": 2})
    same = CatalogueItem(item_id=ItemId("a"), attributes={"y": 2, "x": 1})
    other, another = CatalogueItem(item_id=ItemId("b")), CatalogueItem(item_id=ItemId("c"))

    assert digest_of([first, other]) == digest_of([other, same])
    assert digest_of([first, other]) != digest_of([first, another])

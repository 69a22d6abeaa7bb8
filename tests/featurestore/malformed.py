"""Records that are no events, of every kind, each with the reason it must be refused for.

Seeded, so that the pure test and the one through a broker can speak of the same records.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from featurestore.events import (
    MAX_AHEAD_MS,
    MAX_DEPTH,
    MAX_VALUE_BYTES,
    Event,
    EventRefused,
    RefusalReason,
    check_arrival,
    decode_event,
)
from featurestore.partition import partition_of

NUM_PARTITIONS = 12
APPEND_TIME_MS = 1_700_000_000_000

_Fields = dict[str, Any]


class MalformedRecord(NamedTuple):
    """A record as it would stand in a partition, and why it is to be refused."""

    value: bytes | None
    partition: int
    reason: RefusalReason


def malformed_records(num: int, seed: int) -> Iterator[MalformedRecord]:
    """Yield `num` records, all kinds in turn."""
    generator = random.Random(seed)
    kinds = list(_KINDS.items())
    for number in range(num):
        reason, makers = kinds[number % len(kinds)]
        event = _event(generator)
        value = generator.choice(makers)(event, generator)
        partition = partition_of(event["user_id"], NUM_PARTITIONS)
        if reason is RefusalReason.WRONG_PARTITION:
            partition = (partition + generator.randrange(1, NUM_PARTITIONS)) % NUM_PARTITIONS
        yield MalformedRecord(value, partition, reason)


def arrive(value: bytes | None, partition: int) -> Event:
    """Decode a record and check where and when it arrived, as a worker does."""
    event = decode_event(value)
    check_arrival(
        event,
        append_time_ms=APPEND_TIME_MS,
        partition=partition,
        num_partitions=NUM_PARTITIONS,
    )
    return event


def refusal(value: bytes | None, partition: int) -> RefusalReason | None:
    """Return the reason a record is refused for; None if it is taken."""
    try:
        arrive(value, partition)
    except EventRefused as refused:
        return refused.reason
    return None


def _event(generator: random.Random) -> _Fields:
    common: _Fields = {
        "event_id": f"{generator.getrandbits(64):016x}",
        "user_id": f"u{generator.randrange(1000)}",
        "ts_ms": APPEND_TIME_MS - generator.randrange(1_000_000),
    }
    kind = generator.choice(["impression", "action", "visit"])
    if kind == "impression":
        places = range(1, generator.randrange(2, 25))
        common["items"] = [{"item_id": f"i{place}", "position": place} for place in places]
    elif kind == "action":
        common |= {"item_id": "i1", "action": "click"}
    return {"type": kind, **common}


def _written(event: _Fields) -> bytes:
    return json.dumps(event).encode()


def _with(field: str, *values: Any) -> Callable[[_Fields, random.Random], bytes]:  # noqa: ANN401 - JSON
    return lambda event, generator: _written({**event, field: generator.choice(values)})


def _truncated(event: _Fields, generator: random.Random) -> bytes:
    value = _written(event)
    return value[: generator.randrange(1, len(value))]


def _random_bytes(_: _Fields, generator: random.Random) -> bytes:
    # A first byte that begins no JSON value: any other could be one by chance.
    return b"\x80" + generator.randbytes(generator.randrange(200))


def _bad_utf8(event: _Fields, _: random.Random) -> bytes:
    return _written({**event, "user_id": "@"}).replace(b"@", b"\xff\xfe")


def _without(event: _Fields, generator: random.Random) -> bytes:
    needed = sorted(set(event) - {"item_id"})
    missing = generator.choice(needed)
    return _written({name: value for name, value in event.items() if name != missing})


def _deep(event: _Fields, generator: random.Random) -> bytes:
    depth = 100_000 if generator.random() < 0.02 else generator.choice([MAX_DEPTH, 100, 2_000])
    opening, closing = b"[", b"]"
    if depth < 100_000 and generator.random() < 0.5:
        opening, closing = b'{"a":', b"}"
    return _written(event)[:-1] + b',"x":' + opening * depth + b"1" + closing * depth + b"}"


def _huge(event: _Fields, _: random.Random) -> bytes:
    return _written(event)[:-1] + _PADDING


def _as_is(event: _Fields, _: random.Random) -> bytes:
    return _written(event)


_PADDING = b',"x":"' + b"x" * MAX_VALUE_BYTES + b'"}'
_FUTURE_MS = APPEND_TIME_MS + MAX_AHEAD_MS

_KINDS: dict[RefusalReason, list[Callable[[_Fields, random.Random], bytes | None]]] = {
    RefusalReason.EMPTY: [lambda _, __: None, lambda _, __: b""],
    RefusalReason.TOO_LARGE: [_huge],
    RefusalReason.TOO_DEEP: [_deep],
    RefusalReason.NOT_JSON: [
        _random_bytes,
        _truncated,
        _bad_utf8,
        _with("x", float("nan"), float("inf"), -float("inf")),
        lambda event, _: _written(event) + b"}",
    ],
    RefusalReason.UNKNOWN_TYPE: [_with("type", "sale", "", "Action")],
    RefusalReason.UNKNOWN_VERSION: [_with("v", 0, 2, 99)],
    RefusalReason.MISSING_FIELD: [_without],
    RefusalReason.WRONG_TYPE: [
        lambda _, generator: generator.choice([b"[]", b"17", b'"event"', b"null", b"true"]),
        _with("ts_ms", "1700000000000", 1.5, None, [], True),
        _with("user_id", 17, None, {}, ["u1"]),
        _with("context", [], "mobile", {"device": []}),
        _with("v", "1", 1.5),
    ],
    RefusalReason.OUT_OF_RANGE: [
        _with("ts_ms", 0, -1, 10**13, 10**30),
        _with("event_id", "", "x" * 129),
        _with("context", {str(number): 1 for number in range(65)}, {"": 1}, {"a": 2**60}),
        lambda event, _: _written(event)[:-1] + b',"context":{"a":1e999}}',
    ],
    RefusalReason.FUTURE: [_with("ts_ms", _FUTURE_MS + 1, _FUTURE_MS + 10**9)],
    RefusalReason.WRONG_PARTITION: [_as_is],
}

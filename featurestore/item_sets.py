"""What becomes of the hidden, the seen and the shown items of a state when there is one more?"""

import struct

from featurestore.events import ShownItem
from featurestore.gaps import DAY_S
from featurestore.keys import item_key
from featurestore.state_layout import (
    DATED_BYTES,
    DAY_BYTES,
    KEY_BYTES,
    SHOWN_BYTES,
    U16,
    index_of,
)


def with_key(
    value: bytes, start: int, num: int, key: bytes, at_s: int, max_keys: int
) -> tuple[list[bytes], int]:
    """Return a set with `key` as its newest, in parts, and its size; too many lose the oldest.

    Args:
        value: the state, in which the set's keys and then their days stand.
        start: where they begin.
        num: how many, at most `max_keys`.
        key: its bytes.
        at_s: unix seconds.
        max_keys: at least 1.
    """
    days_at, end, day = start + num * KEY_BYTES, start + num * DATED_BYTES, U16.pack(at_s // DAY_S)
    found = index_of(value, key, start, days_at)
    if found < 0:
        gone = num >= max_keys
        keys = value[start + gone * KEY_BYTES : days_at]
        days = value[days_at + gone * DAY_BYTES : end]
        return [keys, key, days, day], num + 1 - gone
    day_at = days_at + (found - start) // KEY_BYTES * DAY_BYTES
    keys = value[found + KEY_BYTES : days_at]
    days = value[day_at + DAY_BYTES : end]
    return [value[start:found], keys, key, value[days_at:day_at], days, day], num


def shown_after(shown: bytes, items: tuple[ShownItem, ...], max_shown: int) -> bytes:
    """Count the slate's first items as shown once more, and move them to the end."""
    entries = {
        entry >> 8: entry for entry in struct.unpack(f"<{len(shown) // SHOWN_BYTES}I", shown)
    }
    for item in items[:max_shown]:
        mark = item_key(item.item_id) >> 8
        entry = entries.pop(mark, mark << 8)
        entries[mark] = entry if entry & 0xFF == 0xFF else entry + 1
    newest = list(entries.values())[-max_shown:]
    return struct.pack(f"<{len(newest)}I", *newest)

"""What the catalogue says of the items: a fold of the `items` topic, read by key.

The newest record of an item replaces the older, so a compacted topic folds to the same catalogue
as the whole one. An item without a record is available and of no category: the catalogue is
optional.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from featurestore.events import CatalogueItem, ItemId, encode_event
from featurestore.keys import item_key

UNKNOWN: Final = -1
"""The row of an item without a record, the code of an item without a category."""

NUM_KINDS: Final = 2
"""So many of an item's categories, the first ones, have keys."""

_FIRST_ROWS: Final = 64
_T = TypeVar("_T", bound=np.generic)
Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]


class Catalogue:
    """The catalogue as of the records put so far.

    Args:
        numeric: names of the attributes that `numeric` returns.
        max_items: beyond it the item whose record was put longest ago is forgotten, and counted.
    """

    def __init__(self, *, numeric: tuple[str, ...] = (), max_items: int = 1_000_000) -> None:
        self.num_forgotten = 0
        self._numeric_names = numeric
        self._max_items = max_items
        self._items: dict[ItemId, CatalogueItem] = {}
        self._row_of_key: dict[int, int] = {}
        self._free_rows: list[int] = []
        self._category_codes: dict[str, int] = {}
        self._digest = 0
        self._ids: list[ItemId | None] = []
        # Never empty, so that row -1 always finds something to look at.
        self._available = np.empty(_FIRST_ROWS, np.bool_)
        self._categories = np.empty(_FIRST_ROWS, np.int32)
        self._keys = np.empty(_FIRST_ROWS, np.uint64)
        self._kinds = np.empty((_FIRST_ROWS, NUM_KINDS), np.uint32)
        self._published_at_ms = np.empty(_FIRST_ROWS, np.int64)
        self._numeric = np.empty((_FIRST_ROWS, len(numeric)), np.float32)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def digest(self) -> str:
        """8 hex digits of the content, whatever the order of the records."""
        return f"{self._digest:08x}"

    def put(self, item: CatalogueItem) -> None:
        """Take over a record: it replaces the item's older one."""
        older = self._items.pop(item.item_id, None)
        if older is not None:
            self._digest ^= _digest(older)
        elif len(self._items) == self._max_items:
            self._forget(next(iter(self._items)))
        self._items[item.item_id] = item
        self._digest ^= _digest(item)
        self._write(item)

    def get(self, item_id: ItemId) -> CatalogueItem | None:
        """Return the newest record of an item; None without one."""
        return self._items.get(item_id)

    def id_of(self, key: int) -> ItemId | None:
        """Return the id behind an item key; None if no record has it."""
        row = self._row_of_key.get(key, UNKNOWN)
        return None if row == UNKNOWN else self._ids[row]

    def rows_of(self, keys: Keys) -> Rows:
        """Return the rows of N items for the readers below; -1 without a record."""
        row_of_key = self._row_of_key
        return np.array([row_of_key.get(key, UNKNOWN) for key in keys.tolist()], np.int64)

    def available(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Say of each row whether the item may be recommended."""
        return np.where(rows == UNKNOWN, True, self._available[rows])

    def sample(self, draws: np.random.Generator, num: int) -> Keys:
        """Return the keys of different items on offer, drawn at random; at most `num`."""
        if not self._ids:
            return np.empty(0, np.uint64)
        rows = np.unique(draws.integers(len(self._ids), size=num))
        return self._keys[rows[self._available[rows]]]

    def available_mask(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Say of each key whether the item may be recommended."""
        return self.available(self.rows_of(keys))

    def categories(self, rows: Rows) -> npt.NDArray[np.int32]:
        """Return the code of each row's first category, -1 for none.

        Codes are given in the order of first appearance; only their equality means anything.
        """
        return np.where(rows == UNKNOWN, np.int32(UNKNOWN), self._categories[rows])

    @property
    def category_names(self) -> list[str]:
        """The name behind each code that `categories` returns."""
        return list(self._category_codes)

    def kinds(self, rows: Rows) -> npt.NDArray[np.uint32]:
        """Return uint32[N, 2]: keys of each row's first two categories, 0 for none.

        Unlike codes they are the same in every process.
        """
        return np.where((rows == UNKNOWN)[:, None], np.uint32(0), self._kinds[rows])

    def published_at_ms(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Return when each row's item was published; 0 where that is unknown."""
        return np.where(rows == UNKNOWN, 0, self._published_at_ms[rows])

    def numeric(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return float32[N, P], the numeric attributes of each row; NaN where there is none."""
        return np.where((rows == UNKNOWN)[:, None], np.float32(np.nan), self._numeric[rows])

    def _write(self, item: CatalogueItem) -> None:
        row = self._row(item.item_id)
        if row is None:
            return
        attributes = item.attributes or {}
        self._keys[row] = item_key(item.item_id)
        self._available[row] = item.available
        self._categories[row] = self._code(item.categories)
        self._kinds[row] = _kinds(item.categories)
        self._published_at_ms[row] = item.published_at_ms or 0
        self._numeric[row] = [_number(attributes, name) for name in self._numeric_names]

    def _row(self, item_id: ItemId) -> int | None:
        """Return the item's row, a new one for a new item.

        Of two items with one key the one with the smaller id has the row, in whichever order
        they came.
        """
        key = item_key(item_id)
        row = self._row_of_key.get(key)
        if row is None:
            row = self._free_rows.pop() if self._free_rows else self._added_row()
            self._row_of_key[key] = row
            self._ids[row] = item_id
        holder = self._ids[row]
        if holder is not None and holder < item_id:
            return None
        self._ids[row] = item_id
        return row

    def _added_row(self) -> int:
        row = len(self._ids)
        self._ids.append(None)
        if row == len(self._available):
            self._available = _grown(self._available, 2 * row)
            self._categories = _grown(self._categories, 2 * row)
            self._keys = _grown(self._keys, 2 * row)
            self._kinds = _grown(self._kinds, 2 * row)
            self._published_at_ms = _grown(self._published_at_ms, 2 * row)
            self._numeric = _grown(self._numeric, 2 * row)
        return row

    def _forget(self, item_id: ItemId) -> None:
        self.num_forgotten += 1
        self._digest ^= _digest(self._items.pop(item_id))
        key = item_key(item_id)
        row = self._row_of_key.get(key, UNKNOWN)
        if row != UNKNOWN and self._ids[row] == item_id:
            del self._row_of_key[key]
            self._ids[row] = None
            self._available[row] = False
            self._free_rows.append(row)

    def _code(self, categories: tuple[str, ...]) -> int:
        if not categories:
            return UNKNOWN
        return self._category_codes.setdefault(categories[0], len(self._category_codes))


def _kinds(categories: tuple[str, ...]) -> list[int]:
    keys = [crc32(name.encode()) or 1 for name in categories[:NUM_KINDS]]
    return keys + [0] * (NUM_KINDS - len(keys))


def _digest(item: CatalogueItem) -> int:
    return int.from_bytes(blake2b(encode_event(item), digest_size=4).digest(), "big")


def _number(attributes: Mapping[str, str | float | bool | None], name: str) -> float:
    value = attributes.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    return float(value)


def _grown(column: npt.NDArray[_T], num_rows: int) -> npt.NDArray[_T]:
    grown = np.empty((num_rows, *column.shape[1:]), column.dtype)
    grown[: len(column)] = column
    return grown

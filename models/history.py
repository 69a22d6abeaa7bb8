"""What has every user done, in order, as compactly as the trainer needs it?

The history is the trainer's own copy of the actions in the examples log: one row an action, in log
order, integer-coded, 21 bytes a row. It names the examples offset it stands for, so that a
restarted trainer goes on from there and never reads the log twice.

A history may also hold side features (`models.side_features`): of each row when and in which
context its list was made, in 4 bytes a row and one for each name, and of the items what the
catalogue says, which is told before each training and not saved.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from models.encoder_inputs import hash_user
from models.side_features import NO_SIDE, SideFeatures, attribute_matrix, side_of

_COLUMNS: Final[dict[str, type[np.generic]]] = {
    "users": np.uint64,
    "items": np.int32,
    "actions": np.uint8,
    "times_s": np.uint32,
    "visits_s": np.uint32,
}
_SIDE_COLUMNS: Final[dict[str, type[np.generic]]] = {"asked_s": np.uint32, "contexts": np.uint8}
_NO_ITEM: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One action or visit of the examples log.

    Attributes:
        user_id: who acted.
        time_s: the user's clock, whole seconds since the epoch.
        action: action code, 0 to 255; None for a visit.
        item_id: what was acted upon; None for actions without an item and for visits.
        asked_s: when the user's last event before this action was, which its list was made at;
            0 for none, and where nobody has looked.
        contexts: that event's context, as `SideFeatures.context_codes` of the history's.
    """

    user_id: str
    time_s: int
    action: int | None = None
    item_id: str | None = None
    asked_s: int = 0
    contexts: tuple[int, ...] = ()


class History:
    """Bounded columns of actions in log order.

    Rows have absolute numbers that never change: `first_row` grows when old rows are dropped.
    Items have codes in order of first appearance; only `compact` renumbers them.

    Attributes:
        offset: the examples offset that everything before is contained in.
        item_ids: item id of each item code.
        side: which side features there are; None where none are held.
        attributes: attribute codes by item id, of whatever items something is known of.
    """

    def __init__(self, capacity: int = 2_000_000, *, side: SideFeatures | None = None) -> None:
        """Start empty; at most `capacity` rows are kept, the newest."""
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; a history keeps at least one row")
        self.capacity = capacity
        self.offset = 0
        self.first_row = 0
        self.item_ids: list[str] = []
        self._code_of: dict[str, int] = {}
        self._pending_visits: dict[int, int] = {}
        self.side = side
        self.attributes: Mapping[str, tuple[int, ...]] = {}
        self._size = 0
        self._columns = {name: self._blank(name, 1024) for name in self._dtypes}

    @property
    def end_row(self) -> int:
        """The number that the next row will have."""
        return self.first_row + self._size

    @property
    def users(self) -> npt.NDArray[np.uint64]:
        """Hashed user of each kept row; a view, like all columns."""
        return self._column("users")

    @property
    def items(self) -> npt.NDArray[np.int32]:
        """Item code of each kept row, -1 for an action without an item."""
        return self._column("items")

    @property
    def actions(self) -> npt.NDArray[np.uint8]:
        """Action code of each kept row."""
        return self._column("actions")

    @property
    def times_s(self) -> npt.NDArray[np.uint32]:
        """User clock of each kept row, seconds since the epoch."""
        return self._column("times_s")

    @property
    def visits_s(self) -> npt.NDArray[np.uint32]:
        """When the user's last visit between the previous action and this one was; 0 for none."""
        return self._column("visits_s")

    @property
    def asked_s(self) -> npt.NDArray[np.uint32]:
        """When each kept row's list was made: its user's last event before; 0 where untold."""
        if self.side is None:
            return np.zeros(self._size, np.uint32)
        return self._column("asked_s")

    @property
    def contexts(self) -> npt.NDArray[np.uint8]:
        """Context codes of each kept row at that moment, `[R, C]`; C is 0 without any."""
        return (
            np.zeros((self._size, 0), np.uint8) if self.side is None else self._column("contexts")
        )

    def attribute_matrix(self) -> npt.NDArray[np.int32]:
        """Return the attribute codes of the catalogue's items, 0 behind the last, `[N, A]`."""
        return attribute_matrix(self.item_ids, self.attributes)

    def describe(
        self, attributes: Mapping[str, tuple[int, ...]], *, joining: Iterable[str] = ()
    ) -> None:
        """Take in the attribute codes of items; `joining` are in the catalogue without any row."""
        self.attributes = dict(attributes)
        for item_id in sorted(joining):
            self._code_or_new(item_id)

    def item_code(self, item_id: str) -> int:
        """Return the item's code, or -1 where the history has never seen it."""
        return self._code_of.get(item_id, _NO_ITEM)

    def append(self, events: Iterable[HistoryEvent], *, from_offset: int, to_offset: int) -> bool:
        """Append the events of the examples records in `[from_offset, to_offset)`.

        Idempotent: a range that is contained already changes nothing. A gap before the range is
        accepted, since the log's retention may have removed what stood there.

        Returns:
            Whether the range was new.

        Raises:
            ValueError: the range straddles the history's offset.
        """
        if to_offset <= self.offset:
            return False
        if from_offset < self.offset:
            raise ValueError(
                f"examples [{from_offset}, {to_offset}) straddle the end of the history at "
                f"{self.offset}: append whole records, from there on"
            )
        for event in events:
            self._append_one(event)
        self.offset = to_offset
        if self._size > self.capacity + self.capacity // 8:
            self._drop_rows(self._size - self.capacity)
        return True

    def compact(self) -> npt.NDArray[np.int32]:
        """Retire the items that no kept row mentions, and renumber the others in order.

        Returns:
            The new code of each old one, -1 for the retired; what refers to codes must follow.
        """
        kept = np.zeros(len(self.item_ids), np.bool_)
        kept[self.items[self.items >= 0]] = True
        renumbered = np.where(kept, np.cumsum(kept) - 1, _NO_ITEM).astype(np.int32)
        self.item_ids = [item for item, keep in zip(self.item_ids, kept, strict=True) if keep]
        self._code_of = {item: code for code, item in enumerate(self.item_ids)}
        with_item = self.items >= 0
        self.items[with_item] = renumbered[self.items[with_item]]
        return renumbered

    def select(self, kept_R: npt.NDArray[np.bool_]) -> Self:
        """Return a history of the chosen kept rows alone, with the same catalogue and codes.

        It begins at row 0. What is pending (visits without an action yet) stays behind.
        """
        chosen = copy(self)
        chosen.first_row = 0
        chosen.item_ids = list(self.item_ids)
        chosen._code_of = dict(self._code_of)  # noqa: SLF001 - of this class
        chosen._pending_visits = {}  # noqa: SLF001 - of this class
        columns = {name: self._column(name)[kept_R] for name in self._dtypes}
        chosen._adopt_columns(columns)  # noqa: SLF001 - of this class
        return chosen

    def before(self, num_rows: int) -> Self:
        """Return the history as it was when it had the first `num_rows` kept rows alone.

        Its catalogue ends with the newest item of these rows. Codes agree, since they are given in
        order of first appearance.
        """
        earlier = self.select(np.arange(self._size) < num_rows)
        del earlier.item_ids[int(earlier.items.max(initial=_NO_ITEM)) + 1 :]
        earlier._code_of = {item: code for code, item in enumerate(earlier.item_ids)}  # noqa: SLF001
        return earlier

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the columns, and what is pending; for `restore`, with `facts`."""
        return {
            **{name: self._column(name).copy() for name in self._dtypes},
            "pending_users": np.fromiter(self._pending_visits.keys(), np.uint64),
            "pending_visits_s": np.fromiter(self._pending_visits.values(), np.uint32),
        }

    def facts(self) -> dict[str, Any]:
        """Return what is to be kept beside the arrays, for JSON; attributes are not kept."""
        return {
            "capacity": self.capacity,
            "offset": self.offset,
            "first_row": self.first_row,
            "item_ids": self.item_ids,
            "side": None if self.side is None else asdict(self.side),
        }

    @classmethod
    def restore(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        side: SideFeatures | None,
    ) -> Self:
        """Return the history of which these are the `facts` and `arrays`.

        Args:
            facts: of the history.
            arrays: of the history.
            side: which side features there are now. Contexts that it told in other codes, or not at
                all, are untold of its rows.
        """
        history = cls(facts["capacity"], side=side)
        history.offset = facts["offset"]
        history.first_row = facts["first_row"]
        history.item_ids = facts["item_ids"]
        history._code_of = {item: code for code, item in enumerate(history.item_ids)}
        history._pending_visits = dict(
            zip(arrays["pending_users"].tolist(), arrays["pending_visits_s"].tolist(), strict=True)
        )
        told = NO_SIDE if facts["side"] is None else side_of(facts["side"])
        history._adopt_columns(
            {
                name: arrays[name] if name in _COLUMNS else history._told(name, arrays, told)
                for name in history._dtypes
            }
        )
        return history

    def _told(
        self, name: str, arrays: Mapping[str, npt.NDArray[Any]], before: SideFeatures
    ) -> npt.NDArray[Any]:
        """Return a column of side features as of `self.side`, from one as of another."""
        column = self._blank(name, len(arrays["users"]))
        if name not in arrays:
            return column
        if name != "contexts":
            return arrays[name]
        for now, then in (self.side or NO_SIDE).kept_from(before):
            column[:, now] = arrays[name][:, then]
        return column

    def _adopt_columns(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over columns, with room for more rows."""
        self._size = len(columns["users"])
        spare = max(1024, self._size // 8)
        self._columns = {
            name: np.concatenate([columns[name], self._blank(name, spare)]) for name in self._dtypes
        }

    @property
    def _dtypes(self) -> Mapping[str, type[np.generic]]:
        return _COLUMNS if self.side is None else {**_COLUMNS, **_SIDE_COLUMNS}

    def _blank(self, name: str, num_rows: int) -> npt.NDArray[Any]:
        """Return rows of a column with nothing in them."""
        num_names = len((self.side or NO_SIDE).context)
        shape = (num_rows, num_names) if name == "contexts" else num_rows
        return np.zeros(shape, self._dtypes[name])

    def _column(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name][: self._size]

    def _append_one(self, event: HistoryEvent) -> None:
        user = hash_user(event.user_id)
        if event.action is None:
            self._remember_visit(user, event.time_s)
            return
        row = self._size
        if row == len(self._columns["users"]):
            self._columns = {
                name: np.concatenate([column, np.zeros_like(column)])
                for name, column in self._columns.items()
            }
        columns = self._columns
        columns["users"][row] = user
        columns["items"][row] = self._code_or_new(event.item_id)
        columns["actions"][row] = event.action
        columns["times_s"][row] = event.time_s
        columns["visits_s"][row] = self._pending_visits.pop(user, 0)
        if self.side is not None:
            columns["asked_s"][row] = event.asked_s
            columns["contexts"][row] = event.contexts or 0
        self._size += 1

    def _remember_visit(self, user: int, time_s: int) -> None:
        self._pending_visits.pop(user, None)
        self._pending_visits[user] = time_s
        if len(self._pending_visits) > self.capacity:
            del self._pending_visits[next(iter(self._pending_visits))]

    def _code_or_new(self, item_id: str | None) -> int:
        if item_id is None:
            return _NO_ITEM
        code = self._code_of.get(item_id)
        if code is None:
            code = self._code_of[item_id] = len(self.item_ids)
            self.item_ids.append(item_id)
        return code

    def _drop_rows(self, num_rows: int) -> None:
        oldest_s = int(self.times_s[num_rows])
        for column in self._columns.values():
            column[: self._size - num_rows] = column[num_rows : self._size]
        self._size -= num_rows
        self.first_row += num_rows
        self._pending_visits = {
            user: time_s for user, time_s in self._pending_visits.items() if time_s >= oldest_s
        }

"""Which click belongs to which impression, and when is a slate's answer final?

A shown slate stays open until its first label action (plus `after_click_ms`, for surfaces where
several items of one slate are clicked), or until its window has ended on its source partition's
clock. Then it closes whole: clicked items are its positives, all others its negatives, and it is
learned once. A click finds its slate by `request_id` where the action has one, otherwise by
`list_id`, otherwise it must be on an item of the user's latest slate. The first identifier that the
action carries decides; there is no second try, so that what a join has forgotten never changes
what it decides about slates that are open.

A click on a slate that has closed is `late`, and one without a slate is an `orphan_click`: neither
is learned. Closed slates are remembered for one more window to tell the two apart; after a restart
or beyond the cap a late click counts as an orphan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from streams.examples import ActionRow, ImpressionRow
from streams.join_outcome import JoinOutcome
from streams.learner.open_slates import OpenSlates, PartitionKey, SlateCaps
from streams.sections import AttributionConfig

_SlateName: TypeAlias = tuple[str, str, str]
"""User, kind of identifier, identifier."""


class Predicted(NamedTuple):
    """p(click) of a slate's items, float64[N] each: as shown, and by relevance alone."""

    as_shown: npt.NDArray[np.float64]
    by_relevance: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSlate:
    """One impression.

    Attributes:
        partition: Where it was read.
        record_offset: The record of `examples` that it came with.
        shown_at_ms: Its time, as far as its partition's clock believes it.
        deadline_ms: When its window ends on that clock.
        row: Its row.
        items: Its items, by index of the row's matrices.
        predicted: As it was at the impression, before anything was learned from it; None where the
            join was refilled after a restart.
    """

    partition: PartitionKey
    record_offset: int
    shown_at_ms: int
    deadline_ms: int
    row: ImpressionRow
    items: tuple[str, ...]
    predicted: Predicted | None = None

    def names(self) -> tuple[_SlateName, ...]:
        """The identifiers by which an action may name it."""
        row = self.row
        identifiers = (("request", row.request_id), ("list", row.list_id))
        return tuple([(row.user_id, kind, name) for kind, name in identifiers if name])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSlate:
    """A slate whose answer is final.

    Attributes:
        slate: The slate.
        outcome: How it ended.
        clicked: Indices of the positives, ascending.
        watched: How long each of them was watched, as far as the label actions said so: the sum of
            their `value`s.
        first_click_delay_ms: Event time from the impression to the first click; 0 without one.
    """

    slate: ShownSlate
    outcome: JoinOutcome
    clicked: tuple[int, ...]
    first_click_delay_ms: int
    watched: Mapping[int, float] = field(default_factory=dict)

    @property
    def is_learned(self) -> bool:
        """Whether it teaches anything."""
        return self.outcome in (JoinOutcome.JOINED, JoinOutcome.TIMEOUT)

    def is_clicked(self) -> npt.NDArray[np.bool_]:
        """Return bool[N]: which items are the positives."""
        labels = np.zeros(len(self.slate.items), np.bool_)
        labels[list(self.clicked)] = True
        return labels

    def watch_times(self) -> npt.NDArray[np.float64]:
        """Return float64[N]: how long each item was watched, NaN where nobody said."""
        times = np.full(len(self.slate.items), np.nan)
        times[list(self.watched)] = list(self.watched.values())
        return times


@dataclass(slots=True, eq=False)
class _Entry:
    """A slate in the join; when it has closed only what a late click needs is kept of it."""

    slate: ShownSlate | None
    partition: PartitionKey
    record_offset: int
    deadline_ms: int
    user_id: str
    names: tuple[_SlateName, ...]
    items: tuple[str, ...]
    clicked: list[int] = field(default_factory=list)
    watched: dict[int, float] = field(default_factory=dict)
    first_click_delay_ms: int = 0
    is_open: bool = True
    is_repeated: bool = False

    def click(self, index: int, action: ActionRow, event_ms: int) -> None:
        self.is_repeated |= not action.is_counted
        if self.slate is not None and not self.clicked:
            self.first_click_delay_ms = max(0, event_ms - self.slate.shown_at_ms)
        if index not in self.clicked:
            self.clicked.append(index)
        if action.value is not None:
            self.watched[index] = self.watched.get(index, 0.0) + action.value


class Attribution:
    """The join of impressions and clicks; pure, and driven row by row."""

    def __init__(self, config: AttributionConfig) -> None:
        self._config = config
        self._open: OpenSlates[_Entry] = OpenSlates(caps_of(config))
        self._clicked: dict[PartitionKey, deque[tuple[int, _Entry]]] = {}
        self._known: dict[PartitionKey, deque[_Entry]] = {}
        self._by_name: dict[_SlateName, list[_Entry]] = {}
        self._latest: dict[str, _Entry] = {}

    @property
    def num_open(self) -> int:
        """Slates that wait."""
        return len(self._open)

    def oldest_record(self) -> int | None:
        """Offset in `examples` of the record that opened the oldest open slate."""
        entry = self._open.oldest()
        return None if entry is None else entry.record_offset

    def earliest_deadline_ms(self) -> int | None:
        """When the first window of an open slate ends, each on its own partition's clock."""
        return self._open.earliest_deadline_ms()

    def show(self, slate: ShownSlate) -> list[ClosedSlate]:
        """Open a slate; return those that were evicted for it."""
        entry = _Entry(
            slate,
            slate.partition,
            slate.record_offset,
            slate.deadline_ms,
            slate.row.user_id,
            slate.names(),
            slate.items,
        )
        for name in entry.names:
            self._by_name.setdefault(name, []).append(entry)
        self._latest[entry.user_id] = entry
        known = self._known.setdefault(slate.partition, deque())
        known.append(entry)
        evicted = [_closed(one, JoinOutcome.EVICTED) for one in self._open.add(entry)]
        if len(known) > 2 * self._config.max_open_slates_per_partition:
            forgotten = known.popleft()
            self._forget(forgotten)
            if forgotten.is_open:
                self._open.close(forgotten)
                evicted.append(_closed(forgotten, JoinOutcome.EVICTED))
        return evicted

    def act(
        self, partition: PartitionKey, action: ActionRow, item_id: str, event_ms: int, now_ms: int
    ) -> tuple[JoinOutcome, ClosedSlate | None]:
        """Attribute a label action.

        Args:
            partition: Where it was read.
            action: Its row.
            item_id: Its item.
            event_ms: Its time, as far as its partition's clock believes it.
            now_ms: That clock.

        Returns:
            What the click is, and the slate that it closes (None while it may be clicked again).
        """
        entry = self._find(action, item_id)
        if entry is None:
            return JoinOutcome.ORPHAN_CLICK, None
        if not entry.is_open:
            return JoinOutcome.LATE, None
        entry.click(entry.items.index(item_id), action, event_ms)
        if self._config.after_click_ms > 0:
            if len(entry.clicked) == 1:
                queue = self._clicked.setdefault(partition, deque())
                queue.append((now_ms + self._config.after_click_ms, entry))
            return JoinOutcome.JOINED, None
        self._open.close(entry)
        return JoinOutcome.JOINED, _closed(entry)

    def expire(self, partition: PartitionKey, now_ms: int) -> list[ClosedSlate]:
        """Close what has waited long enough on its partition's clock, in a fixed order."""
        closed = [_closed(entry) for entry in self._open.expire(partition, now_ms)]
        clicked = self._clicked.get(partition)
        while clicked and clicked[0][0] < now_ms:
            _, entry = clicked.popleft()
            if entry.is_open:
                self._open.close(entry)
                closed.append(_closed(entry))
        known = self._known.get(partition)
        while known and known[0].deadline_ms + self._config.window_ms < now_ms:
            self._forget(known.popleft())
        return closed

    def give_up(self, record_offset: int) -> list[ClosedSlate]:
        """Evict slates that would make a restart read too far back."""
        return [_closed(entry, JoinOutcome.EVICTED) for entry in self._open.give_up(record_offset)]

    def flush(self) -> list[ClosedSlate]:
        """Close all: a file has ended, and no click can come."""
        return [_closed(entry) for entry in self._open.drain()]

    def _find(self, action: ActionRow, item_id: str) -> _Entry | None:
        if action.request_id:
            named = self._by_name.get((action.user_id, "request", action.request_id), [])
        elif action.list_id:
            named = self._by_name.get((action.user_id, "list", action.list_id), [])
        else:
            latest = self._latest.get(action.user_id)
            named = [] if latest is None else [latest]
        # One request may show several slates (pages of a scroll): the newest with the item is it.
        return next((entry for entry in reversed(named) if item_id in entry.items), None)

    def _forget(self, entry: _Entry) -> None:
        for name in entry.names:
            named = self._by_name[name]
            named.remove(entry)
            if not named:
                del self._by_name[name]
        if self._latest.get(entry.user_id) is entry:
            del self._latest[entry.user_id]


def caps_of(config: AttributionConfig) -> SlateCaps:
    """Return the caps that a configuration asks for."""
    return SlateCaps(
        max_per_partition=config.max_open_slates_per_partition, max_total=config.max_open_slates
    )


def _closed(entry: _Entry, outcome: JoinOutcome | None = None) -> ClosedSlate:
    """Take a slate out of an entry that has just been closed."""
    slate, entry.slate = entry.slate, None
    if slate is None:
        raise AssertionError("a slate closes once")
    if outcome is None:
        outcome = JoinOutcome.JOINED if entry.clicked else JoinOutcome.TIMEOUT
        if entry.is_repeated:
            outcome = JoinOutcome.REPEATED
    return ClosedSlate(
        slate=slate,
        outcome=outcome,
        clicked=tuple(sorted(entry.clicked)),
        first_click_delay_ms=entry.first_click_delay_ms,
        watched=entry.watched,
    )

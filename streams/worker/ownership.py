"""What does a worker hold of each partition that it owns, and where does it go on?

Checkpoint and states of a partition are read when it is assigned and written with every chunk; in
between, the states of its latest users are kept in memory. They are right for as long as
the checkpoint is what was last written here: whoever finds it changed drops them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from featurestore.events import UserId
from featurestore.state import UserState
from featurestore.store import Checkpoint
from streams.engine import LOG_START
from streams.errors import StartRefused
from streams.pipeline.chunks import Chunk
from streams.pipeline.list_requests import Trigger
from streams.pipeline.pipeline import Effects

NOTHING_LOST: Final = -1
MAX_OWED: Final = 250_000
"""Most users of a partition who wait for a list; beyond it the longest waiting keep their old one
until their next event."""


class StateCache:
    """The states of the users written last; a mapping for reading.

    Two generations instead of an exact order of use: a put is one `dict.update`, and the older
    generation goes as a whole when the younger has half of what may be kept.
    """

    __slots__ = ("_older", "_younger")

    def __init__(self) -> None:
        self._younger: dict[UserId, UserState] = {}
        self._older: dict[UserId, UserState] = {}

    @property
    def num_kept(self) -> int:
        """States in memory; a user who is in both generations counts twice."""
        return len(self._younger) + len(self._older)

    def get(self, user_id: UserId) -> UserState | None:
        """Return the user's latest state, if it is kept."""
        return self._younger.get(user_id) or self._older.get(user_id)

    def put(self, states: Mapping[UserId, UserState], max_users: int) -> None:
        """Keep these states, and at most `max_users` (but all of these) in all."""
        self._younger.update(states)
        if len(self._younger) * 2 >= max_users:
            self._younger, self._older = {}, self._younger

    def clear(self) -> None:
        """Forget everything."""
        self._younger.clear()
        self._older.clear()


@dataclass(slots=True, kw_only=True)
class OwnedPartition:
    """One partition of `events` while it is ours.

    Attributes:
        number: Of the partition.
        checkpoint: What stands in the store; None before the first commit.
        states: Those of its latest users.
        owed: Users whose events were folded without a list while catching up, with their last
            trigger; the longest waiting first.
    """

    number: int
    checkpoint: Checkpoint | None
    states: StateCache = field(default_factory=StateCache)
    owed: dict[UserId, Trigger] = field(default_factory=dict)

    def not_yet_written(self, chunk: Chunk) -> Chunk | None:
        """Return what of a chunk lies behind the checkpoint; None where nothing does."""
        return chunk if self.checkpoint is None else chunk.after(self.checkpoint.next_offset)

    def written(self, new: Checkpoint, effects: Effects, *, max_users: int) -> None:
        """A chunk's effects stand in the store, at this checkpoint."""
        self.checkpoint = new
        self.states.put(effects.states, max_users)
        if self.owed:
            for user_id in effects.lists:
                self.owed.pop(user_id, None)
        # Who waits already keeps his place, with his latest trigger.
        self.owed.update(effects.owed)
        while len(self.owed) > MAX_OWED:
            del self.owed[next(iter(self.owed))]

    def first_owed(self, num: int) -> dict[UserId, Trigger]:
        """Return those who have waited longest for a list, at most `num`."""
        return dict(itertools.islice(self.owed.items(), num))

    def paid(self, user_ids: Iterable[UserId]) -> None:
        """These users have their lists."""
        for user_id in user_ids:
            del self.owed[user_id]

    def forget(self, current: Checkpoint | None) -> None:
        """Another owner was here: what is in memory is out of date."""
        self.states.clear()
        self.owed.clear()
        self.checkpoint = current


def start_offset(
    checkpoint: Checkpoint | None, *, topic: str, partition: int, topic_id: str, fold_version: str
) -> int:
    """Return where a partition goes on.

    Raises:
        StartRefused: The checkpoint belongs to another topic of this name, or to states that
            were folded under other rules.
    """
    if checkpoint is None:
        return LOG_START
    if checkpoint.topic_id != topic_id:
        raise StartRefused(
            f"the checkpoint of {topic}-{partition} belongs to topic id {checkpoint.topic_id}, but "
            f"{topic!r} has id {topic_id}: it was deleted and created again, or this is another "
            "cluster. Its states are of a history that is gone: empty the Redis database "
            "(FLUSHDB) to start with the new topic, or point Headrace at the former one"
        )
    if checkpoint.fold_version != fold_version:
        raise StartRefused(
            f"the states of {topic}-{partition} were folded under version "
            f"{checkpoint.fold_version}, expected {fold_version}: the actions or the state's "
            "settings have changed. Restore the former configuration, or empty the Redis database "
            "(FLUSHDB) to have all states folded anew from the log"
        )
    return checkpoint.next_offset


def lost_from(checkpoint: Checkpoint | None, chunk: Chunk) -> int:
    """Return where retention has cut the log between checkpoint and chunk, or `NOTHING_LOST`."""
    if checkpoint is None or checkpoint.next_offset >= chunk.from_offset:
        return NOTHING_LOST
    return checkpoint.next_offset

"""What time is it in one source partition, when single users' clocks may be wrong?

Event time is the users' own clocks, and one broken clock must not end everybody's attribution
windows or let all counters decay. So the clock follows the newest row as long as that is within
reach; a jump further ahead (a quiet night, the next day of a replayed log) counts as time only once
several users, or many rows, agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

ClockMark: TypeAlias = tuple[int, int, tuple[tuple[str, int], ...]]
"""The clock's whole state: time in ms, number of rows that claim a jump, their users and times."""

UNSET_MS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """When a jump ahead is believed.

    Attributes:
        max_jump_ms: Farther ahead than this is a jump.
        num_jump_users: So many different users in a row make it true.
        num_jump_rows: So do so many rows in a row, whoever sent them: else a log of one user at a
            time would stand still after each pause.
    """

    max_jump_ms: int = 3_600_000
    num_jump_users: int = 3
    num_jump_rows: int = 20


class PartitionClock:
    """The event time of one partition; moved by its rows alone, and never back.

    >>> clock = PartitionClock(ClockConfig(max_jump_ms=1000))
    >>> clock.advance(5_000, "u1"), clock.advance(4_000, "u2")  # the late row keeps its own time
    (5000, 4000)
    >>> clock.advance(90_000, "broken"), clock.now_ms  # too far ahead to be believed alone
    (5000, 5000)
    >>> [clock.advance(90_000 + n, user) for n, user in enumerate(("u1", "u2"))]
    [5000, 90001]
    """

    __slots__ = ("_claims", "_config", "_num_claiming_rows", "now_ms")

    def __init__(self, config: ClockConfig, mark: ClockMark = (UNSET_MS, 0, ())) -> None:
        self._config = config
        self.now_ms, self._num_claiming_rows, claims = mark
        self._claims: dict[str, int] = dict(claims)

    def advance(self, ts_ms: int, user_id: str) -> int:
        """Move with a row, and return the time at which the row counts: never past the clock."""
        ahead_ms = ts_ms - self.now_ms
        if self.now_ms == UNSET_MS or 0 < ahead_ms <= self._config.max_jump_ms:
            self.now_ms = ts_ms
        elif ahead_ms > 0:
            self._claim(ts_ms, user_id)
            return min(ts_ms, self.now_ms)
        if self._num_claiming_rows:
            self._drop_claims()
        return ts_ms

    def mark(self) -> ClockMark:
        """The state from which a clock goes on exactly as this one."""
        return self.now_ms, self._num_claiming_rows, tuple(self._claims.items())

    def _claim(self, ts_ms: int, user_id: str) -> None:
        self._num_claiming_rows += 1
        self._claims[user_id] = min(ts_ms, self._claims.get(user_id, ts_ms))
        config = self._config
        if (
            len(self._claims) < config.num_jump_users
            and self._num_claiming_rows < config.num_jump_rows
        ):
            return
        self.now_ms = min(self._claims.values())
        self._drop_claims()
        if ts_ms - self.now_ms <= config.max_jump_ms:
            self.now_ms = max(self.now_ms, ts_ms)

    def _drop_claims(self) -> None:
        self._claims.clear()
        self._num_claiming_rows = 0

"""When does a session open? At a new session id or, without ids, after 30 idle minutes."""

from __future__ import annotations

from typing import Final

IDLE_MS: Final = 30 * 60 * 1000


class SessionOpenings:
    """Says of each row of a log, read in time order, whether it opens its user's session.

    >>> openings = SessionOpenings()
    >>> [openings.opens("u", ts_ms) for ts_ms in (0, 1000, 1000 + IDLE_MS, 1001 + 2 * IDLE_MS)]
    [True, False, False, True]
    >>> [openings.opens("v", 0, session_id) for session_id in ("a", "a", "b")]
    [True, False, True]
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, str | None]] = {}

    def opens(self, user_id: str, ts_ms: int, session_id: str | None = None) -> bool:
        """Take the user's next row in."""
        last = self._last.get(user_id)
        self._last[user_id] = (ts_ms, session_id)
        if last is None:
            return True
        last_ms, last_session_id = last
        if session_id is not None:
            return session_id != last_session_id
        return ts_ms - last_ms > IDLE_MS

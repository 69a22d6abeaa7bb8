"""Histories by hand."""

from collections.abc import Sequence

from models.history import History, HistoryEvent


def history_of(
    rows: Sequence[tuple[str, str | None]], times_s: Sequence[int] | None = None
) -> History:
    """Return a history of these users and items, a second apart unless times are given."""
    history = History()
    times = range(len(rows)) if times_s is None else times_s
    history.append(
        (
            HistoryEvent(user_id=user, time_s=time_s, action=1, item_id=item)
            for (user, item), time_s in zip(rows, times, strict=True)
        ),
        from_offset=0,
        to_offset=1,
    )
    return history

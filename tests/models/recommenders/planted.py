"""Synthetic histories for the models of whole logs, whose rules are known."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.history import History, HistoryEvent


def history_of(rows: list[tuple[str, str]], times_s: list[int] | None = None) -> History:
    """Return a history of these users and items, a second apart unless times are given."""
    history = History()
    times = list(range(len(rows))) if times_s is None else times_s
    history.append(
        (
            HistoryEvent(user_id=user, time_s=time_s, action=1, item_id=item)
            for (user, item), time_s in zip(rows, times, strict=True)
        ),
        from_offset=0,
        to_offset=1,
    )
    return history


def grouped_rows(*, num_users: int, num_groups: int, group_size: int) -> list[tuple[str, str]]:
    """Users who each act upon some items of one group, each with a chance of a half.

    Co-occurrence alone says which items belong together: all are about equally popular.
    """
    generator = np.random.default_rng(0)
    rows = []
    for user in range(num_users):
        group = user % num_groups
        members = np.flatnonzero(generator.random(group_size) < 0.5)
        rows += [
            (f"u{user}", f"g{group}-{member}") for member in generator.permutation(members).tolist()
        ]
    return rows


def names_of_best(item_ids: Sequence[str], scores_N: npt.NDArray[np.float32], num: int) -> set[str]:
    """Return the items with the largest scores."""
    return {item_ids[code] for code in np.argsort(-scores_N, kind="stable")[:num].tolist()}

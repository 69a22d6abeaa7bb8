"""Synthetic histories for the models of whole logs, whose rules are known."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


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

"""When, and in which context, was the list made that a user acts upon?

A user's list is made at each of their events that asks for one. What is known of that moment may be
told to a model that learns the next action; what the action itself says may not.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.encoder_inputs import hash_user
from models.side_features import SideFeatures, Words


class Moment(NamedTuple):
    """A user's last event.

    Attributes:
        at_s: its time, seconds since the epoch; 0 where there was none.
        contexts: its context, as `SideFeatures.context_codes`.
    """

    at_s: int
    contexts: tuple[int, ...]


class Moments:
    """The last event of each user."""

    def __init__(self, side: SideFeatures, *, max_users: int | None = None) -> None:
        """Know nobody.

        Args:
            side: which contexts there are.
            max_users: those that have been away longest are forgotten above it; None for all.
        """
        self._side = side
        self._max_users = max_users
        self._nothing = Moment(0, (0,) * len(side.context))
        self._last: dict[int, Moment] = {}

    def pass_on(self, user_id: str, at_s: int, context: Words | None) -> Moment:
        """Return the user's last event, which their list was made at, and go on to the next.

        Args:
            user_id: whose.
            at_s: time of the next event.
            context: of the next event.
        """
        user = hash_user(user_id)
        last = self._last.pop(user, self._nothing)
        self._last[user] = Moment(at_s, self._side.context_codes(context, at_s))
        self._forget()
        return last

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return what `restore` takes."""
        contexts = [moment.contexts for moment in self._last.values()]
        shape = (len(contexts), len(self._side.context))
        return {
            "users": np.fromiter(self._last, np.uint64),
            "times_s": np.fromiter((moment.at_s for moment in self._last.values()), np.uint32),
            "contexts": np.array(contexts, np.uint8).reshape(shape),
        }

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Know whom the arrays name, as of the same `side`."""
        moments = map(Moment, arrays["times_s"].tolist(), map(tuple, arrays["contexts"].tolist()))
        self._last = dict(zip(arrays["users"].tolist(), moments, strict=True))
        self._forget()

    def _forget(self) -> None:
        while self._max_users is not None and len(self._last) > self._max_users:
            del self._last[next(iter(self._last))]

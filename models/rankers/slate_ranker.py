"""What must a ranker of shown slates do?

A ranker learns from slates whose clicks are known and says of another one which of its items will
be clicked. `models.rankers.registry` names all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Predicts: TypeAlias = Literal["clicks", "order", "watch_time"]
"""What a prediction is: p(click), no more than an order of a slate's items, or a watch time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateShape:
    """What the feature indices of a layout mean to a ranker.

    Attributes:
        offsets: int64[R + E + 1], the first index of each template, and the end.
        num_relevance: R, the templates that serving knows; the others need a position.
        meaning: Names what the indices mean beyond that; equal for equal meanings.
    """

    offsets: NDArray[np.int64]
    num_relevance: int
    meaning: str = ""


class SlateRanker(Protocol):
    """One ranker; nothing that it is given is changed."""

    @property
    def predicts(self) -> Predicts:
        """What `predicted` says."""

    @property
    def is_batched(self) -> bool:
        """Whether several slates end to end are scored in one call: cheaper, and the same bits."""

    def predicted(
        self, relevance: NDArray[np.integer], examination: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """What is expected of each item of one slate as shown: int[N, R], int[N, E]."""

    def scores(self, relevance: NDArray[np.integer]) -> NDArray[np.float64]:
        """By what the items of one slate are to be ordered, without any position, float64[N]."""

    def learn(
        self,
        relevance: NDArray[np.integer],
        examination: NDArray[np.integer],
        labels: NDArray[np.bool_],
        watch_times: NDArray[np.float64] | None = None,
    ) -> None:
        """Take a slate whose clicks are known; a ranker of the trainer's only logs it.

        Args:
            relevance: int[N, R].
            examination: int[N, E].
            labels: bool[N], which items were clicked.
            watch_times: float64[N], how long each was watched; NaN where nobody knows, and None
                where that is so of all. Only rankers that predict watch times read it.
        """

    def refresh(self) -> SlateRanker | None:
        """Return a ranker trained on all that was logged; None for one that learns at once.

        What it returns may only be used from the time on at which the training would have ended.
        """

    @property
    def settings(self) -> Mapping[str, Any]:
        """What two rankers of one name must share for their arrays to fit, as JSON has it."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, by name; what was only logged is not in it."""

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what `arrays` told; nothing is changed by what is refused.

        Raises:
            RankerRefused: They are another ranker's, or damaged.
        """


class RankerRefused(ValueError):
    """What was saved does not fit."""


def copied_into(
    own: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], *, of: str
) -> None:
    """Put arrays into a ranker's own ones of the same names, shapes and types.

    Raises:
        RankerRefused: They are others, or not all of their numbers are finite; nothing was put.
    """
    expected = {name: (values.shape, values.dtype.name) for name, values in own.items()}
    given = {name: (values.shape, values.dtype.name) for name, values in found.items()}
    if given != expected:
        odd = sorted(name for name in {*given, *expected} if given.get(name) != expected.get(name))
        raise RankerRefused(
            f"found arrays of another shape or name than {of} has ({', '.join(odd)}); train anew"
        )
    if odd := sorted(name for name, values in found.items() if not np.isfinite(values).all()):
        raise RankerRefused(
            f"found numbers that are not finite in {', '.join(odd)} of {of}; train anew"
        )
    for name, values in own.items():
        values[...] = found[name]

"""What must a ranker of shown slates do, and which are there?

A ranker learns from slates whose clicks are known and says of another one which of its items will
be clicked. Adding one is a file and a line of `RANKERS`; the contract suite
(tests/contracts/test_rankers.py) then runs on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def _online(shape: SlateShape, engine: Engine) -> SlateRanker:
    from models.online_ranker import OnlineRanker  # noqa: PLC0415 - only who asks pays for it

    return OnlineRanker(shape, engine)


def _xgboost(shape: SlateShape, objective: XgboostObjective) -> SlateRanker:
    from models.xgboost_ranker import XgboostConfig, XgboostRanker  # noqa: PLC0415 - see above

    return XgboostRanker(shape, XgboostConfig(objective=objective))


def _blend(shape: SlateShape) -> SlateRanker:
    from models.blended_ranker import BlendConfig, BlendedRanker  # noqa: PLC0415 - see above

    return BlendedRanker.of(shape, BlendConfig())


def _wide_deep(shape: SlateShape) -> SlateRanker:
    from models.wide_deep_ranker import WideDeepRanker  # noqa: PLC0415 - see above

    return WideDeepRanker(shape)


def _watch_time(shape: SlateShape) -> SlateRanker:
    from models.watch_time_ranker import WatchTimeRanker  # noqa: PLC0415 - see above

    return WatchTimeRanker(shape)


if TYPE_CHECKING:
    from models.click_head import Engine
    from models.xgboost_ranker import XgboostObjective

RANKERS: Final[dict[str, Callable[[SlateShape], SlateRanker]]] = {
    "slate": lambda shape: _online(shape, "slate"),
    "logistic": lambda shape: _online(shape, "ftrl"),
    "river": lambda shape: _online(shape, "river"),
    "pairwise": lambda shape: _online(shape, "pairwise"),
    "xgboost_slate": lambda shape: _xgboost(shape, "slate"),
    "xgboost_logistic": lambda shape: _xgboost(shape, "binary:logistic"),
    "xgboost_ndcg": lambda shape: _xgboost(shape, "rank:ndcg"),
    "xgboost_blend": _blend,
    "wide_deep": _wide_deep,
    "watch_time": _watch_time,
}
"""Every ranker by its name."""

OF_WATCH_TIMES: Final = frozenset({"watch_time"})
"""Those that learn from watch times alone: a log without any teaches them nothing."""

SERVABLE_RANKERS: Final = (
    "pairwise",
    "watch_time",
    "wide_deep",
    "xgboost_logistic",
    "xgboost_ndcg",
    "xgboost_slate",
)
"""Those that `headrace train` trains and a bundle brings to live lists. The others are engines of
the click head, which learns live by itself, or blend one."""

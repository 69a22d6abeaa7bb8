"""Which rankers of shown slates are there, and under which names?

Adding one is a file and a line of `RANKERS`; the contract suite (tests/contracts/test_rankers.py)
then runs on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.online.click_head import Engine
    from models.rankers.slate_ranker import SlateRanker, SlateShape
    from models.rankers.xgboost_ranker import XgboostObjective


def _online(shape: SlateShape, engine: Engine) -> SlateRanker:
    from models.rankers.online_ranker import OnlineRanker  # noqa: PLC0415 - only who asks pays for it

    return OnlineRanker(shape, engine)


def _xgboost(shape: SlateShape, objective: XgboostObjective, seed: int) -> SlateRanker:
    from models.rankers.xgboost_ranker import XgboostConfig, XgboostRanker  # noqa: PLC0415 - see above

    return XgboostRanker(shape, XgboostConfig(objective=objective, seed=seed))


def _blend(shape: SlateShape, seed: int) -> SlateRanker:
    from models.rankers.blended_ranker import BlendConfig, BlendedRanker  # noqa: PLC0415 - see above
    from models.rankers.xgboost_ranker import XgboostConfig  # noqa: PLC0415 - see above

    return BlendedRanker.of(shape, BlendConfig(trees=XgboostConfig(seed=seed)))


def _wide_deep(shape: SlateShape, seed: int) -> SlateRanker:
    from models.rankers.wide_deep_ranker import WideDeepRanker  # noqa: PLC0415 - see above

    return WideDeepRanker(shape, replace(WideDeepRanker.defaults, seed=seed))


def _watch_time(shape: SlateShape, seed: int) -> SlateRanker:
    from models.rankers.watch_time_ranker import WatchTimeRanker  # noqa: PLC0415 - see above

    return WatchTimeRanker(shape, replace(WatchTimeRanker.defaults, seed=seed))


RANKERS: Final[dict[str, Callable[[SlateShape, int], SlateRanker]]] = {
    "slate": lambda shape, _: _online(shape, "slate"),
    "logistic": lambda shape, _: _online(shape, "ftrl"),
    "river": lambda shape, _: _online(shape, "river"),
    "pairwise": lambda shape, _: _online(shape, "pairwise"),
    "xgboost_slate": lambda shape, seed: _xgboost(shape, "slate", seed),
    "xgboost_logistic": lambda shape, seed: _xgboost(shape, "binary:logistic", seed),
    "xgboost_ndcg": lambda shape, seed: _xgboost(shape, "rank:ndcg", seed),
    "xgboost_blend": _blend,
    "wide_deep": _wide_deep,
    "watch_time": _watch_time,
}
"""Every ranker by its name; the number is the seed of those that draw."""

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


def new_ranker(name: str, shape: SlateShape, *, seed: int = 1) -> SlateRanker:
    """Return a ranker that has learned nothing.

    Args:
        name: Among `RANKERS`.
        shape: Of the features.
        seed: Of whatever it draws; without effect for one that draws nothing.
    """
    return RANKERS[name](shape, seed)

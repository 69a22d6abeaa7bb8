"""Which rankers of shown slates are there, and under which names?

Adding one is a file and a line of `RANKERS`; the contract suite (tests/contracts/test_rankers.py)
then runs on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.online.click_head import Engine
    from models.rankers.slate_ranker import SlateRanker, SlateShape
    from models.rankers.xgboost_ranker import XgboostObjective


def _online(shape: SlateShape, engine: Engine) -> SlateRanker:
    from models.rankers.online_ranker import OnlineRanker  # noqa: PLC0415 - only who asks pays for it

    return OnlineRanker(shape, engine)


def _xgboost(shape: SlateShape, objective: XgboostObjective) -> SlateRanker:
    from models.rankers.xgboost_ranker import XgboostConfig, XgboostRanker  # noqa: PLC0415 - see above

    return XgboostRanker(shape, XgboostConfig(objective=objective))


def _blend(shape: SlateShape) -> SlateRanker:
    from models.rankers.blended_ranker import BlendConfig, BlendedRanker  # noqa: PLC0415 - see above

    return BlendedRanker.of(shape, BlendConfig())


def _wide_deep(shape: SlateShape) -> SlateRanker:
    from models.rankers.wide_deep_ranker import WideDeepRanker  # noqa: PLC0415 - see above

    return WideDeepRanker(shape)


def _watch_time(shape: SlateShape) -> SlateRanker:
    from models.rankers.watch_time_ranker import WatchTimeRanker  # noqa: PLC0415 - see above

    return WatchTimeRanker(shape)


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

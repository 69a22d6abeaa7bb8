"""What can order lists, and how is each named?"""

from typing import Final, Literal, TypeAlias

from featurestore.lists import RERANKER

__all__ = ["CHOICE", "CLICK", "RERANKER", "SOURCE_ORDER", "Head"]

CLICK: Final = "click"
CHOICE: Final = "choice"
SOURCE_ORDER: Final = "source_order"
"""The tuned order, in use until the re-ranker has learned a better one; not to be chosen."""

Head: TypeAlias = Literal[
    "reranker",
    "click",
    "choice",
    "pairwise",
    "watch_time",
    "wide_deep",
    "xgboost_logistic",
    "xgboost_ndcg",
    "xgboost_slate",
]
"""Heads of the seconds clock, then those of bundles: `models.rankers.registry.SERVABLE_RANKERS`."""

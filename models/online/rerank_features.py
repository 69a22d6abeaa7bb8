"""What does the re-ranker see of an item? What its sources and the other heads say, and its ranks.

Per source four columns: the score less the slate's mean score (0 where missing), a tenth of its
square, since twice the score need not be worth twice as much, whether it is missing, and 1/rank (0
where the source did not propose the item). Per head one: the log-odds less
their mean over the slate. Log-scores keep their scale of one nat: dividing by the slate's spread
would make a flat slate look as decided as a steep one. The features are final numbers: they are
logged with the slate and never computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.online.reranker import COLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.online.retrieval import Candidates

_SQUARES = np.float32(0.1)
_RECIPROCALS = np.array([0.0, *[1 / rank for rank in range(1, 1001)]], dtype=np.float32)


def rerank_feature_names(source_names: Sequence[str], head_names: Sequence[str] = ()) -> list[str]:
    """Names of the columns of `rerank_features`.

    >>> rerank_feature_names(["fresh"], ["choice"])
    ['fresh', 'fresh:squared', 'fresh:missing', 'fresh:reciprocal_rank', 'choice', 'cold']
    """
    parts = ("", ":squared", ":missing", ":reciprocal_rank")
    of_sources = [name + part for part in parts for name in source_names]
    return [*of_sources, *head_names, COLD]


def rerank_features(
    candidates: Candidates, of_heads: Sequence[NDArray[np.float64]] = ()
) -> NDArray[np.float32]:
    """float32[N, 4 S + H + 1], in the order of `rerank_feature_names`.

    Args:
        candidates: Each query's items are a slate; those that were shown have no ranks.
        of_heads: What each of H heads says of every item, float64[N].
    """
    asked, scores = candidates.asked, candidates.scores
    num_items, num_sources = scores.shape
    features = np.zeros((num_items, 4 * num_sources + len(of_heads) + 1), dtype=np.float32)
    if not num_items:
        return features
    missing = np.isnan(scores)
    # Slates without items have no place to begin a sum at.
    has_items = asked.sizes > 0
    starts = asked.starts[:-1][has_items]
    slates = (has_items.cumsum() - 1)[asked.owners]
    num_known = np.add.reduceat(~missing, starts, axis=0, dtype=np.int64)
    sums = np.add.reduceat(np.where(missing, np.float32(0), scores), starts, 0, np.float64)
    means = sums / np.maximum(num_known, 1)
    above, squared, is_missing, of_rank = (
        features[:, part * num_sources : (part + 1) * num_sources] for part in range(4)
    )
    above[:] = np.where(missing, 0.0, scores - means[slates])
    np.multiply(above, above * _SQUARES, out=squared)
    is_missing[:] = missing
    of_rank[:] = _RECIPROCALS[np.minimum(candidates.ranks, _RECIPROCALS.size - 1)]
    for column, log_odds in enumerate(of_heads, start=4 * num_sources):
        means_B = np.add.reduceat(log_odds, starts) / asked.sizes[has_items]
        features[:, column] = log_odds - means_B[slates]
    is_cold_B = np.array([query.is_cold for query in asked.queries], np.bool_)
    features[:, -1] = is_cold_B[asked.owners]
    return features

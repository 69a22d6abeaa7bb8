"""What does the next head see of a candidate? Its sources' scores, made comparable, and its ranks.

Per source three columns: the score less the slate's mean score (0 where missing), whether it is
missing, and 1/rank (0 where the source did not propose the item). Log-scores keep their scale of
one nat: dividing by the slate's spread would make a flat slate look as decided as a steep one.
The features are final numbers: they are logged with the slate and never computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.next_head import COLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.retrieval import Candidates

_RECIPROCALS = np.array([0.0, *[1 / rank for rank in range(1, 1001)]], dtype=np.float32)


def next_feature_names(source_names: Sequence[str]) -> list[str]:
    """Names of the columns of `next_features`.

    >>> next_feature_names(["trending"])
    ['trending', 'trending:missing', 'trending:reciprocal_rank', 'cold']
    """
    parts = ("", ":missing", ":reciprocal_rank")
    return [*[name + part for part in parts for name in source_names], COLD]


def next_features(candidates: Candidates) -> NDArray[np.float32]:
    """float32[N, 3 S + 1], in the order of `next_feature_names`; each query's items are a slate."""
    asked, scores = candidates.asked, candidates.scores
    num_items, num_sources = scores.shape
    features = np.zeros((num_items, 3 * num_sources + 1), dtype=np.float32)
    if not num_items:
        return features
    missing = np.isnan(scores)
    known = np.where(missing, np.float32(0), scores)
    # Slates without items have no place to begin a sum at.
    has_items = asked.sizes > 0
    starts = asked.starts[:-1][has_items]
    num_known = np.add.reduceat(~missing, starts, axis=0, dtype=np.int64)
    means = np.add.reduceat(known, starts, axis=0, dtype=np.float64) / np.maximum(num_known, 1)
    slates = (has_items.cumsum() - 1)[asked.owners]
    features[:, :num_sources] = np.where(missing, 0.0, known - means[slates])
    features[:, num_sources : 2 * num_sources] = missing
    ranks = np.minimum(candidates.ranks, _RECIPROCALS.size - 1)
    features[:, 2 * num_sources : -1] = _RECIPROCALS[ranks]
    is_cold_B = np.array([query.is_cold for query in asked.queries], np.bool_)
    features[:, -1] = is_cold_B[asked.owners]
    return features

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


def next_features(candidates: Candidates, *, is_cold: bool) -> NDArray[np.float32]:
    """float32[N, 3 S + 1], in the order of `next_feature_names`; empty for no candidates.

    Args:
        candidates: All of the slate: the mean is theirs.
        is_cold: Of the query.
    """
    scores = candidates.scores
    num_items, num_sources = scores.shape
    features = np.zeros((num_items, 3 * num_sources + 1), dtype=np.float32)
    if not num_items:
        return features
    missing = np.isnan(scores)
    if missing.any():
        known = np.where(missing, np.float32(0), scores)
        num_known = np.maximum(num_items - missing.sum(axis=0), 1)
        means = known.sum(axis=0, dtype=np.float64) / num_known
        features[:, :num_sources] = np.where(missing, 0.0, known - means)
        features[:, num_sources : 2 * num_sources] = missing
    else:
        means = scores.sum(axis=0, dtype=np.float64) / num_items
        features[:, :num_sources] = scores - means
    ranks = np.minimum(candidates.ranks, _RECIPROCALS.size - 1)
    features[:, 2 * num_sources : -1] = _RECIPROCALS[ranks]
    features[:, -1] = is_cold
    return features

"""What does everybody act upon? The baseline that knows no user.

    score(item) = log(1 + actions on it)

Shape letters: B sequences, N items.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.bundle import Arrays
from models.history import History
from models.recommender import (
    FitProgress,
    Recommender,
    UserSequence,
    Validate,
    checked,
    item_counts,
)


class PopularityRecommender(Recommender):
    """Counts of actions."""

    name = "popularity"

    def __init__(self) -> None:
        super().__init__()
        self._log_count_N = np.empty(0, np.float32)

    @override
    def fit(self, history: History, *, validate: Validate | None = None) -> Iterator[FitProgress]:
        self._adopt(history.item_ids)
        self._log_count_N = np.log1p(item_counts(history)).astype(np.float32)
        yield FitProgress(done=1)

    @override
    def scores(self, sequences: Sequence[UserSequence]) -> npt.NDArray[np.float32]:
        return np.tile(self._log_count_N, (len(sequences), 1))

    @override
    def settings(self) -> Mapping[str, Any]:
        return {}

    @override
    def weights(self) -> Arrays:
        return {"log_count": self._log_count_N}

    @override
    def restore(self, weights: Arrays) -> None:
        self._log_count_N = checked(weights["log_count"], len(self.item_ids))

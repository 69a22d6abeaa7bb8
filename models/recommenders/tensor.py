"""What does a user like at this hour, on this device? Tensor factorisation in CP form.

    x(u, i, c) = bias_i + sum over d of user_ud item_id hour_{h(c) d} device_{v(c) d} ...

a product of as many modes as there are contexts (PARAFAC: Carroll and Chang 1970; Harshman 1970),
learned by pairwise ranking like the canonical decomposition in Rendle and Schmidt-Thieme (2010);
`models.factorisation` says how, and where it differs. Contexts begin around 1 and users alike above
0, so that what everybody likes at an hour is learned even of a user's first visit. The moment asked
about is the sequence's `now_s`; hours and days are UTC's.

Beside the times that `contexts` names, every context that the log tells is a mode
(`models.side_features`). Users are folded in from past actions, of which nobody holds on which
device each was: these multiply by 1 there, as whatever is untold does.

On a news log the hour gives little: `benchmarks.context_factors` prints it beside the same model
without. It is for catalogues that are used differently at different times.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.factorisation import UNTOLD, FactorisationConfig
from models.factorisation_recommender import FactorisationRecommender, PassesConfig
from models.factors import FoldIn
from models.side_features import CLOCK

_USER_START: Final = 0.3


class TensorRecommender(FactorisationRecommender):
    """User, item, time and context factors, and a bias of each item."""

    name = "tensor"
    reads_contexts = True

    def __init__(
        self,
        *,
        seed: int = 1,
        contexts: Sequence[str] = ("hour",),
        factors: Mapping[str, Any] | None = None,
        passes: Mapping[str, Any] | None = None,
        fold_in: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the sizes.

        Args:
            seed: of first factors and draws.
            contexts: of `hour` (of the day) and `weekday`, each at most once; the log's own come
                beside them.
            factors: fields of `FactorisationConfig` that differ from the defaults, whose
                `user_start` is above 0 here.
            passes: fields of `PassesConfig` that differ from the defaults.
            fold_in: fields of `FoldIn` that differ from the defaults.

        Raises:
            ValueError: there is no such context.
        """
        if len(set(contexts)) < len(contexts) or not set(contexts) <= set(CLOCK):
            raise ValueError(
                f"contexts: found {list(contexts)}, expected some of {', '.join(CLOCK)}, "
                "each at most once"
            )
        self._names = list(contexts)
        super().__init__(
            seed=seed,
            factors=FactorisationConfig(**{"user_start": _USER_START, **(factors or {})}),
            passes=PassesConfig(**(passes or {})),
            fold_in=FoldIn(**(fold_in or {})),
        )

    @override
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings(), "contexts": self._names}

    @override
    def _context_sizes(self) -> Sequence[int]:
        clock = [CLOCK[name][1] for name in self._names]
        return [*clock, *([self.side.num_context_codes] * len(self.side.context))]

    @override
    def _contexts(
        self, times_s: npt.NDArray[np.int64], codes: npt.NDArray[np.integer] | None
    ) -> npt.NDArray[np.int64]:
        num_clock, num_told = len(self._names), len(self.side.context)
        value_M = np.full((*times_s.shape, num_clock + num_told), UNTOLD, np.int64)
        for place, name in enumerate(self._names):
            unit_s, num_values = CLOCK[name]
            value_M[..., place] = times_s // unit_s % num_values
        if codes is not None:
            # Codes are from 1; 0 is untold.
            value_M[..., num_clock:] = codes.astype(np.int64) - 1
        return value_M

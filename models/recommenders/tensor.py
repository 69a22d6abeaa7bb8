"""What does a user like at this hour? Tensor factorisation of users, items and times in CP form.

    x(u, i, t) = bias_i + sum over d of user_ud item_id hour_{h(t) d} ...

a product of as many modes as `contexts` names (PARAFAC: Carroll and Chang 1970; Harshman 1970),
learned by pairwise ranking like the canonical decomposition in Rendle and Schmidt-Thieme (2010);
`models.factorisation` says how, and where it differs. Contexts begin around 1 and users alike above
0, so that what everybody likes at an hour is learned even of a user's first visit. The moment asked
about is the sequence's `now_s`; hours and days are UTC's. A device is no context here: users
are folded in from past actions, and a live state does not hold on which device each was.

On a news log the hour gives little: `benchmarks.context_factors` prints it beside the same model
without. It is for catalogues that are used differently at different times.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from models.factorisation import FactorisationConfig
from models.factorisation_recommender import FactorisationRecommender, PassesConfig
from models.factors import FoldIn

_PERIODS: Final[Mapping[str, tuple[int, int]]] = {"hour": (3600, 24), "weekday": (86_400, 7)}
"""Of each context: seconds that a value lasts, and how many values there are."""

_USER_START: Final = 0.3


class TensorRecommender(FactorisationRecommender):
    """User, item and time factors, and a bias of each item."""

    name = "tensor"

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
            contexts: of `hour` (of the day) and `weekday`, each at most once.
            factors: fields of `FactorisationConfig` that differ from the defaults, whose
                `user_start` is above 0 here.
            passes: fields of `PassesConfig` that differ from the defaults.
            fold_in: fields of `FoldIn` that differ from the defaults.

        Raises:
            ValueError: there is no such context.
        """
        if len(set(contexts)) < len(contexts) or not set(contexts) <= set(_PERIODS):
            raise ValueError(
                f"contexts: found {list(contexts)}, expected some of {', '.join(_PERIODS)}, "
                "each at most once"
            )
        self._names = list(contexts)
        super().__init__(
            seed=seed,
            factors=FactorisationConfig(**{"user_start": _USER_START, **(factors or {})}),
            passes=PassesConfig(**(passes or {})),
            fold_in=FoldIn(**(fold_in or {})),
            context_sizes=[_PERIODS[name][1] for name in contexts],
        )

    @override
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings(), "contexts": self._names}

    @override
    def _contexts(self, times_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        value_M = np.empty((*times_s.shape, len(self._names)), np.int64)
        for place, name in enumerate(self._names):
            unit_s, num_values = _PERIODS[name]
            value_M[..., place] = times_s // unit_s % num_values
        return value_M

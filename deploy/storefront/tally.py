"""How often is each shopper's list clicked, and how often would other lists have been?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deploy.storefront.policies import best

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.storefront.behaviour import Behaviour
    from deploy.storefront.policies import Application, RandomPolicy, Request, Served
    from deploy.storefront.settings import Settings

COLUMNS = ("views", "clicks", "served", "random", "popular", "oracle")


class Tally:
    """Per shopper: lists shown, lists clicked, and true click probabilities of four lists.

    At each counted view the simulator looks up what the list shown, a random list, the popularity
    list and the oracle's would have had at that very moment, with the shopper in that very mood:
    references without the noise of clicks, and without a group of shoppers of their own.
    """

    def __init__(
        self,
        settings: Settings,
        behaviour: Behaviour,
        application: Application,
        random: RandomPolicy,
    ) -> None:
        self._behaviour = behaviour
        self._application = application
        self._random = random
        self._slate_size = settings.slate_size
        self.sums_UM: NDArray[np.float64] = np.zeros((settings.num_users, len(COLUMNS)))
        self.counting = False

    def add(self, request: Request, served: Served, *, clicked: bool) -> None:
        """Count one view, if counting; costs a pass over the catalogue."""
        if not self.counting:
            return
        now_ms, size = request.now_ms, self._slate_size
        probability_I = self._behaviour.probabilities(request.shopper, slice(None), now_ms)
        popular = self._application.popular(request.user_id, size, now_ms)
        chance = self._behaviour.click_probability
        self.sums_UM[request.shopper] += (
            1.0,
            clicked,
            chance(probability_I[served.items]),
            chance(probability_I[self._random.serve(request).items]),
            chance(probability_I[popular]),
            chance(probability_I[best(probability_I, size)]),
        )

"""Do estimates from lists that were explored cover what a new ranker would have earned?

    python -m benchmarks.exploration --seeds 20

The shop of the demo, smaller, in simulated time and in one process. After a past that the shop's
own policy serves, everybody reads Headrace's lists, a share of which is drawn. A new ranker learns
from what was shown until it is fixed. Then it is estimated, from lists that it did *not* make, what
lists that are drawn by its scores would earn: clicks per shown item. The truth beside: at each
evaluated page the shop knows with which chance the shopper would have opened each item, and so
that of a click on the page with any list, of which some are drawn by the ranker's scores.

An interval covers if the truth lies within. It is one over shoppers and pages, while the truth is
of the same pages, so that intervals are a little wider than they need be. And it is one of the
item-position model: in the shop a click ends the page, so that better items above leave fewer
clicks below. `by places` is what the ranker would earn if the items above were those of the log.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from deploy.storefront.events import CatalogueItem, Event, encode
from deploy.storefront.policies import (
    ReadList,
    ReadRecommendations,
    RecommenderPolicy,
    Request,
    Served,
)
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from featurestore.events import Impression, UserId, decode_event, decode_item
from featurestore.keys import item_key
from featurestore.lists import RecommendationList
from featurestore.state import EMPTY_STATE
from models.policies.place_chances import PlackettLuce
from streams.config import Config, config_of
from streams.evaluation.off_policy_estimates import (
    ESTIMATORS,
    Estimation,
    logged_estimate,
    policy_run,
)
from streams.evaluation.off_policy_judging import Judge
from streams.evaluation.off_policy_result import PolicyEstimate, PolicyRun
from streams.evaluation.off_policy_targets import Opinion, Targets
from streams.one_process import OneProcess

START_MS: Final = 1_790_000_000_000
HOUR_MS: Final = 3_600_000
SHOP: Final = Settings(
    num_users=200, num_items=100, new_items_per_hour=4, slate_size=5, base_logit=-9.0
)
"""Smaller and livelier than the demo's, so that an hour has some hundred clicks."""
EXPLORED: Final = (
    "exploration.share=0.5",
    "exploration.depth=300",
    # Mild, so that what another ranker puts first was drawn often enough.
    "exploration.temperature=3",
    # One more than is shown: the last place is an unmet item's, which no ranker would put there.
    "ranking.list_size=6",
    # A simulated shopper clicks within seconds, or not at all.
    "attribution.window_ms=60000",
)
DRAWN: Final = PlackettLuce(0.5)
"""How lists come of the new ranker's scores."""
_DRAWN_LISTS: Final = 32
"""Of each page, for the truth: their noise is far below that of the clicks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Hours of simulated time, one after the other.

    Attributes:
        past_h: Served by the shop's own policy.
        learn_h: Served by Headrace; the new ranker learns.
        evaluate_h: Likewise; it is fixed, and evaluated.
    """

    past_h: float = 0.1
    learn_h: float = 0.2
    evaluate_h: float = 0.5


@dataclass(slots=True)
class Truth:
    """What the ranker would have earned at the pages that were evaluated.

    Attributes:
        by_page: Clicks per shown item of each, in the shop.
        by_places: The same if what stands above were what the log had there.
    """

    by_page: list[float] = field(default_factory=list)
    by_places: list[float] = field(default_factory=list)


class Witnessed(RecommenderPolicy):
    """The recommender, and what the shopper thought of all items when it last served a page."""

    def __init__(self, shop: Storefront, read: ReadRecommendations) -> None:
        super().__init__(read, shop.popular, shop.world, shop.settings)
        self._behaviour = shop.behaviour
        self.probability_I: npt.NDArray[np.float64] = np.empty(0)

    def serve(self, request: Request) -> Served:
        """See `Policy`."""
        served = super().serve(request)
        self.probability_I = self._behaviour.probabilities(
            request.shopper, slice(None), request.now_ms
        )
        return served


class Explored:
    """Worker and learner in one process, the lists that they leave, and a ranker on trial."""

    def __init__(
        self, settings: Settings, config: Config, ranker: str, drawn: PlackettLuce
    ) -> None:
        self._ranker = ranker
        self._system = OneProcess(config)
        self._targets = Targets((ranker,), drawn, config, self._system.live, candidates="recall")
        self.judge = Judge(self._targets)
        self.truth = Truth()
        self._lists: dict[UserId, RecommendationList] = {}
        self._numbers: dict[int, int] = {}
        self.shop = Storefront(settings, START_MS)
        self._witness = Witnessed(self.shop, self._read)
        # The shop's own recommender, so that every page sends a visit: a list that is shown twice
        # is one draw, and those without a click would be shown more often.
        self.shop.recommender = self._witness
        self._place = 0
        self._draws = np.random.default_rng(settings.seed)
        self._examined_K = (
            np.arange(1, settings.slate_size + 1, dtype=np.float64) ** -settings.position_bias
        )

    def run(self, phases: Phases) -> None:
        """Let the shop live through its phases."""
        until_ms = START_MS + round(phases.past_h * HOUR_MS)
        for event in self.shop.events(until_ms):
            self._take(event, wants_lists=False, evaluates=False)
        self.shop.serve((self._witness, self._witness))
        until_ms += round(phases.learn_h * HOUR_MS)
        for event in self.shop.events(until_ms):
            self._take(event, wants_lists=True, evaluates=False)
        self._targets.freeze()
        until_ms += round(phases.evaluate_h * HOUR_MS)
        for event in self.shop.events(until_ms):
            self._take(event, wants_lists=True, evaluates=True)
        self.judge.settle(self._system.finish())

    def _take(self, event: Event, *, wants_lists: bool, evaluates: bool) -> None:
        value, place = encode(event), self._place
        if isinstance(event, CatalogueItem):
            self._system.live.put_item(decode_item(value))
            number = self.shop.world.item_number(event.item_id)
            if number is not None:
                self._numbers[item_key(event.item_id)] = number
            return
        decoded = decode_event(value)
        if evaluates and isinstance(decoded, Impression):
            state = self._system.states.get(decoded.user_id, EMPTY_STATE)
            self._bear_witness(decoded, self.judge.ask(place, decoded, state))
        effects = self._system.process(
            place, decoded, wants_lists=wants_lists, computed_at_ms=decoded.ts_ms
        )
        self._lists.update(effects.lists)
        self.judge.settle(self._system.learn(place, effects))
        self._place += 1

    def _bear_witness(self, event: Impression, opinion: Opinion) -> None:
        """Note what the ranker's list would have earned on this page."""
        probability_I, num = self._witness.probability_I, len(event.items)
        numbers_N = np.array([self._numbers[key] for key in opinion.keys.tolist()])
        did = [self._numbers[item_key(shown.item_id)] for shown in event.items]
        examined_K = self._examined_K[:num]
        # At the first place the chances are the odds by which all further ones are drawn.
        log_odds_N = np.log(np.maximum(opinion.of_all[self._ranker][0], 1e-300))
        noise_DN = self._draws.gumbel(size=(_DRAWN_LISTS, len(log_odds_N)))
        drawn_DK = np.argsort(-(log_odds_N + noise_DN), axis=1)[:, :num]
        would_DK = examined_K * probability_I[numbers_N[drawn_DK]]
        missed_K = np.cumprod(1.0 - examined_K * probability_I[did])
        by_places = would_DK * np.concatenate(([1.0], missed_K[:-1]))
        self.truth.by_page.append(float((1.0 - np.prod(1.0 - would_DK, axis=1)).mean()) / num)
        self.truth.by_places.append(float(by_places.mean()))

    def _read(self, user_id: str, now_ms: int) -> ReadList | None:
        del now_ms
        found = self._lists.get(UserId(user_id))
        if found is None:
            return None
        return ReadList(
            list_id=found.list_id,
            item_ids=[item.item_id for item in found.items],
            propensities=[item.propensity for item in found.items],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one seed.

    Attributes:
        truth: Clicks per shown item that the ranker would have had.
        by_places: See `Truth`.
        logged: What the lists that were served had.
        found: The estimates.
    """

    truth: float
    by_places: float
    logged: PolicyEstimate
    found: PolicyRun

    def covers(self, estimator: str) -> bool:
        """Whether the interval of an estimate holds the truth."""
        interval = self.found.estimates[estimator].interval
        if interval.low is None or interval.high is None:
            return True
        return interval.low <= self.truth <= interval.high


def outcome(
    settings: Settings,
    config: Config,
    phases: Phases,
    *,
    ranker: str,
    drawn: PlackettLuce = DRAWN,
    level: float = 0.95,
) -> Outcome:
    """Let one shop live, and estimate what a ranker would have earned in it."""
    explored = Explored(settings, config, ranker, drawn)
    explored.run(phases)
    how = Estimation(level=level)
    return Outcome(
        truth=float(np.mean(explored.truth.by_page)),
        by_places=float(np.mean(explored.truth.by_places)),
        logged=logged_estimate(explored.judge.answered, how),
        found=policy_run(ranker, explored.judge.answered, how),
    )


def main() -> None:
    """Run every seed; print a line for each, and how many intervals cover."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--ranker", default="slate")
    parser.add_argument("--evaluate-hours", type=float, default=Phases().evaluate_h)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the shop"
    )
    parser.add_argument("--config-set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    config = config_of({}, {}, [*EXPLORED, *arguments.config_set])
    phases = Phases(evaluate_h=arguments.evaluate_hours)
    outcomes = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        began_s = time.process_time()
        settings = replace(SHOP, seed=seed).replace(arguments.set)
        outcomes.append(outcome(settings, config, phases, ranker=arguments.ranker))
        _print_seed(seed, outcomes[-1], time.process_time() - began_s)
    _print_all(outcomes)


def _print_seed(seed: int, one: Outcome, cpu_s: float) -> None:
    weights = one.found.weights
    estimates = "  ".join(
        f"{name} {_told(one.found.estimates[name])}{'' if one.covers(name) else ' MISSED'}"
        for name in ESTIMATORS
    )
    print(
        f"seed {seed:2d}: truth {1e3 * one.truth:.2f} (by places {1e3 * one.by_places:.2f}, logged "
        f"{_told(one.logged)})  {estimates}  | weight {weights.mean:.3f}, largest "
        f"{weights.largest:.0f}, effective {weights.effective_slots:.0f} slots, "
        f"{weights.effective_rewards:.0f} clicks; {cpu_s:.0f} CPU s",
        flush=True,
    )


def _told(estimate: PolicyEstimate) -> str:
    low, high = estimate.interval.low or 0.0, estimate.interval.high or 0.0
    return f"{1e3 * estimate.value:.2f} [{1e3 * low:.2f}, {1e3 * high:.2f}]"


def _print_all(outcomes: Sequence[Outcome]) -> None:
    num = len(outcomes)
    print(f"clicks per 1,000 shown items; 95 % intervals that hold the truth, of {num}:")
    for name in ESTIMATORS:
        errors = [one.found.estimates[name].value / one.truth - 1 for one in outcomes]
        num_covering = sum(one.covers(name) for one in outcomes)
        print(f"{name:6s}{num_covering:3d}, mean error {np.mean(errors):+.1%}")
    gaps = [one.by_places / one.truth - 1 for one in outcomes]
    print(f"truth by places above the truth: {np.mean(gaps):+.1%}")


if __name__ == "__main__":
    main()

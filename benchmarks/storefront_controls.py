"""What is left of Headrace's gain where there is nothing personal to know?

    python -m benchmarks.storefront_controls --seeds 1 2 3 4 5 --set tastes=shared
    python -m benchmarks.storefront_controls --seeds 1 2 3 4 5 --set histories=shuffled

Two controls of `benchmarks.storefront`: a shop in which all have one taste, and one in which every
page comes under another shopper's id. Printed for each seed:

- the uplift over popularity that is seen, the difference between the halves of an A/A test of the
  same shop, and how far the first is from the second, which is the control;
- the same uplift from the true probabilities, at the treated half's own views. It is free of the
  shoppers' luck, and so tells apart from 0 what no experiment of this size would: under one taste
  a list can be better than a count of recent clicks, as the oracle's is, for everybody alike;
- what the lists owe to being a shopper's own: the true probabilities of the list shown, less those
  of the list that was shown last before it, to another shopper. What either has opened is left out
  of both: not to show it again is no taste.

Without `--set` the shop has tastes, and the last figure says what they are worth.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.in_process import of_shop
from benchmarks.storefront import HOUR_MS, START_MS, arguments_of_shops, in_process
from deploy.storefront.policies import (
    ReadList,
    ReadRecommendations,
    RecommenderPolicy,
    Request,
    Served,
)
from deploy.storefront.report import Interval, for_settings, uplift_beyond_aa, won_a_view
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from streams.config import Config, load_config
from streams.demo.demo import DEMO_CONFIG


class OwnAndAnothers(RecommenderPolicy):
    """Shows a shopper their own list, and looks what another's would have been worth to them.

    Attributes:
        won_U: per shopper the sum, over views, of P(click) of the own list less that of another's.
        views_U: per shopper the views.
    """

    def __init__(self, shop: Storefront, read: ReadRecommendations) -> None:
        """Take the place of a shop's recommender, which `read` asks."""
        super().__init__(read, shop.popular, shop.world, shop.settings)
        self._shop = shop
        self._read_list = read
        self._previous = ""
        self.won_U = np.zeros(shop.settings.num_users)
        self.views_U = np.zeros(shop.settings.num_users)

    def serve(self, request: Request) -> Served:
        """Return the shopper's own list."""
        own, another = request.user_id, self._previous
        if self._shop.tally.counting and another not in ("", own):
            known = self._shop.application.known(own) | self._shop.application.known(another)
            self.won_U[request.shopper] += self._worth(own, known, request)
            self.won_U[request.shopper] -= self._worth(another, known, request)
            self.views_U[request.shopper] += 1.0
        self._previous = own
        return super().serve(request)

    def _worth(self, user_id: str, known: AbstractSet[int], request: Request) -> float:
        """Return P(click) if the shopper were shown the list of `user_id` without `known` items."""
        shop = self._shop
        found = self._read_list(user_id, request.now_ms)
        listed = zip(found.item_ids, found.propensities, strict=True) if found else ()
        kept = [one for one in listed if shop.world.item_number(one[0]) not in known]
        rest = ReadList(
            list_id="", item_ids=[one[0] for one in kept], propensities=[one[1] for one in kept]
        )
        policy = RecommenderPolicy(lambda *_: rest, shop.popular, shop.world, shop.settings)
        items = policy.serve(request).items
        chances_K = shop.behaviour.probabilities(request.shopper, items, request.now_ms)
        return shop.behaviour.click_probability(chances_K)


def control(settings: Settings, config: Config, *, live_hours: float) -> str:
    """Return a control's figures as a line."""
    live_ms = START_MS + round(settings.backfill_hours * HOUR_MS)
    end_ms = live_ms + round(live_hours * HOUR_MS)
    with tempfile.TemporaryDirectory() as scratch:
        recommender = in_process(config, Path(scratch))
        shop = Storefront(settings, START_MS, read=recommender.read)
        for event in of_shop(shop.events(live_ms)):
            recommender.take(event)
        recommender.wants_lists = True
        shop.recommender = lists = OwnAndAnothers(shop, recommender.read)
        shop.serve_halves()
        for event in of_shop(shop.events(end_ms)):
            recommender.take(event)
    alike = Storefront(settings, START_MS)
    for _ in alike.events(live_ms):
        pass
    alike.serve_halves()
    for _ in alike.events(end_ms):
        pass
    seen = for_settings(settings, shop.tally.sums_UM)
    by_chance = for_settings(settings, alike.tally.sums_UM)
    beyond = uplift_beyond_aa(settings, shop.tally.sums_UM, alike.tally.sums_UM)
    personal = won_a_view(settings, lists.won_U, lists.views_U)
    return (
        f"popularity {seen.popular.value:.4f} oracle {seen.oracle.value:.4f} | uplift "
        f"{seen.uplift}, A/A {by_chance.uplift}, beyond it {beyond} ({_verdict(beyond)}) | "
        f"uplift, paired {seen.uplift_paired} | own list less another's {personal}"
    )


def _verdict(beyond: Interval) -> str:
    return "no uplift" if beyond.low <= 0 <= beyond.high else "an uplift"


def main() -> None:
    """Run every seed, and print a line for each."""
    arguments = arguments_of_shops(__doc__).parse_args()
    config = load_config(DEMO_CONFIG, {}, [])
    for seed in arguments.seeds:
        began_s = time.process_time()
        settings = replace(Settings(), seed=seed).replace(arguments.set)
        line = control(settings, config, live_hours=arguments.live_hours)
        cpu_s = time.process_time() - began_s
        print(f"seed {seed}: {line} | {cpu_s:.0f} CPU s", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

import pytest

from benchmarks.storefront_controls import OwnAndAnothers
from deploy.storefront.policies import ReadList, best
from deploy.storefront.report import Interval, won_a_view
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from tests.deploy.storefront.shops import SMALL, START_MS, open_for


def _own_less_anothers(settings: Settings) -> Interval:
    """Return the gain of being one's own of the lists of a recommender that knows the truth."""
    shop = Storefront(settings, START_MS)

    def read(user_id: str, now_ms: int) -> ReadList:
        shopper = shop.world.users.ids.index(user_id)
        probability_I = shop.behaviour.probabilities(shopper, slice(None), now_ms)
        probability_I[list(shop.application.known(user_id))] = 0.0
        ids = [shop.world.item_id(item) for item in best(probability_I, 20).tolist()]
        return ReadList(list_id="best", item_ids=ids, propensities=[1.0] * len(ids))

    open_for(shop, 0.5)
    shop.recommender = lists = OwnAndAnothers(shop, read)
    shop.serve_halves()
    open_for(shop, 1.5)
    assert lists.views_U[0::2].sum() == 0 < lists.views_U[1::2].sum()
    # All but the first, and those before which nobody else was served.
    assert 0.9 < lists.views_U.sum() / shop.tally.sums_UM[1::2, 0].sum() <= 1.0
    return won_a_view(settings, lists.won_U, lists.views_U)


def test_a_list_is_worth_more_to_whom_it_was_made_for() -> None:
    assert _own_less_anothers(SMALL).low > 0.05


def test_with_one_taste_anothers_list_is_as_good_as_ones_own() -> None:
    own = _own_less_anothers(SMALL.replace(["tastes=shared"]))
    assert own.value == pytest.approx(0.0, abs=0.005)

"""Which shops do the tests share? Small ones, with a recommender that is right in this process."""

from deploy.storefront.policies import OraclePolicy
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from deploy.storefront.world import HOUR_MS

START_MS = 1_700_000_040_000
SMALL = Settings(num_users=600, num_items=600, new_items_per_hour=30)


def open_for(storefront: Storefront, hours: float) -> None:
    """Let a shop run from where it is until `hours` after its start."""
    for _ in storefront.events(START_MS + round(hours * HOUR_MS)):
        pass


def with_oracle(settings: Settings, *, warm_up_h: float = 1.0) -> Storefront:
    """Return a warm shop whose treated half is served the oracle's lists."""
    storefront = Storefront(settings, START_MS)
    open_for(storefront, warm_up_h)
    storefront.serve_halves()
    oracle = OraclePolicy(storefront.behaviour, settings)
    storefront.serve((storefront.popular, oracle))
    return storefront

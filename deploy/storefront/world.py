"""Who shops and what is on offer? The truth that no recommender is told.

Users have tastes over categories and a latent vector; items have a category, a topic inside it, a
skewed appeal that moves in slow waves, and a lifetime. Items arrive by the hour without end: those
of hour h are a pure function of (seed, h), so that a shop may stay open for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.storefront.settings import Settings

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
TOPICS_PER_CATEGORY = 5
LATENT = 6
_USERS, _LINKS, _ITEMS = 1, 2, 3
# Log-odds for the first, second and third liked category, and for all the others.
_LIKED = (1.8, 1.3, 0.9)
_UNLIKED = -0.5
# Most of a taste is for kinds of things; so much (log-odds) is for the single item.
_LATENT_SPREAD = 0.5
# Pull of the last opened item on its own category, on its topic, and on two categories after it.
_SAME_CATEGORY, _SAME_TOPIC = 0.8, 0.9
_FOLLOWS = (1.2, 0.7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """The shoppers: U users, C categories, L latent dimensions.

    Attributes:
        ids: wire ids.
        taste_UC: log-odds by category.
        latent_UL: taste inside a category.
        habit_U: how strongly the last opened item pulls.
        stay_U: probability to go on after a page.
        activity_U: share of all sessions.
        devices: `mobile` or `desktop`.
    """

    ids: list[str]
    taste_UC: NDArray[np.float64]
    latent_UL: NDArray[np.float64]
    habit_U: NDArray[np.float64]
    stay_U: NDArray[np.float64]
    activity_U: NDArray[np.float64]
    devices: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """All items that were ever published, in order of publishing: I items.

    Attributes:
        category_I: category of each.
        topic_I: topic, numbered over all categories.
        latent_IL: what attracts a taste inside the category.
        appeal_I: lasting log-odds.
        period_ms_I: period of the slow wave of its appeal.
        phase_I: the wave's phase.
        published_ms_I: when it became available.
        price_I: in units of money.
    """

    category_I: NDArray[np.int64]
    topic_I: NDArray[np.int64]
    latent_IL: NDArray[np.float64]
    appeal_I: NDArray[np.float64]
    period_ms_I: NDArray[np.float64]
    phase_I: NDArray[np.float64]
    published_ms_I: NDArray[np.int64]
    price_I: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.category_I)


class World:
    """A shop's users and its growing catalogue.

    `advance` makes items until the end of the hour of `now_ms`; item numbers never change. Nothing
    here depends on what anybody was shown.
    """

    def __init__(self, settings: Settings, start_ms: int) -> None:
        self.settings = settings
        self.start_ms = start_ms
        self.lifetime_ms = round(settings.num_items / settings.new_items_per_hour * HOUR_MS)
        self.users = draw_users(settings, _generator(settings.seed, _USERS))
        self.follow_CC = draw_follow(settings.num_categories, _generator(settings.seed, _LINKS))
        self._share_C = _category_shares(settings.num_categories)
        self._first_hour = -(-self.lifetime_ms // HOUR_MS)
        self._next_hour = -self._first_hour
        self.items = self._draw_hour(self._next_hour)
        self._next_hour += 1
        self.advance(start_ms)

    def advance(self, now_ms: int) -> None:
        """Make the items of every hour up to and including that of `now_ms`."""
        last_hour = (now_ms - self.start_ms) // HOUR_MS
        if self._next_hour > last_hour:
            return
        chunks = [self._draw_hour(hour) for hour in range(self._next_hour, last_hour + 1)]
        self.items = _concatenate([self.items, *chunks])
        self._next_hour = last_hour + 1

    def item_id(self, item: int) -> str:
        """Return the wire id of an item number."""
        return f"s{self.settings.seed}-i{item:06d}"

    def item_number(self, item_id: str) -> int | None:
        """Return the number of a wire id, or None for an item that this shop never had."""
        prefix = f"s{self.settings.seed}-i"
        digits = item_id.removeprefix(prefix)
        if digits == item_id or not digits.isdecimal() or int(digits) >= len(self.items):
            return None
        return int(digits)

    def availability(self, now_ms: int) -> NDArray[np.bool_]:
        """Tell which items are on offer: published, and not yet past their lifetime."""
        age_ms_I = now_ms - self.items.published_ms_I
        return (age_ms_I >= 0) & (age_ms_I < self.lifetime_ms)

    def is_available(self, item: int, now_ms: int) -> bool:
        """Tell whether one item is on offer."""
        return 0 <= now_ms - int(self.items.published_ms_I[item]) < self.lifetime_ms

    def appeal(self, now_ms: int) -> NDArray[np.float64]:
        """Return each item's log-odds for an average shopper now; -inf where not on offer."""
        items, settings = self.items, self.settings
        age_ms_I = now_ms - items.published_ms_I
        wave_I = np.sin(2 * np.pi * (now_ms - self.start_ms) / items.period_ms_I + items.phase_I)
        with np.errstate(over="ignore"):
            fresh_I = np.exp2(-np.maximum(age_ms_I, 0) / (settings.freshness_half_life_h * HOUR_MS))
        logit_I = (
            settings.base_logit
            + settings.appeal_spread * items.appeal_I
            + settings.drift * wave_I
            + settings.freshness * fresh_I
        )
        return np.where(self.availability(now_ms), logit_I, -np.inf)

    def _draw_hour(self, hour: int) -> Items:
        rng = np.random.default_rng([self.settings.seed, _ITEMS, hour + self._first_hour])
        opens_ms = self.start_ms + hour * HOUR_MS
        return draw_items(self.settings, self._share_C, opens_ms, rng)


def draw_users(settings: Settings, rng: np.random.Generator) -> Users:
    """Draw the shoppers; `tastes=shared` copies one taste to all and takes their habits away."""
    num_users, num_categories = settings.num_users, settings.num_categories
    taste_UC = np.full((num_users, num_categories), _UNLIKED)
    shares = _category_shares(num_categories)
    for user in range(num_users):
        liked = rng.choice(num_categories, size=len(_LIKED), replace=False, p=shares)
        taste_UC[user, liked] = _LIKED
    latent_UL = rng.normal(size=(num_users, LATENT))
    habit_U = rng.uniform(0.6, 1.4, size=num_users)
    if settings.tastes == "shared":
        taste_UC[:] = taste_UC[0]
        latent_UL[:] = latent_UL[0]
        habit_U[:] = 0.0
    stay_U = rng.beta(
        settings.stay * settings.stay_spread, (1 - settings.stay) * settings.stay_spread, num_users
    )
    activity_U = rng.lognormal(sigma=0.8, size=num_users)
    return Users(
        ids=[f"s{settings.seed}-u{user:05d}" for user in range(num_users)],
        taste_UC=taste_UC,
        latent_UL=latent_UL,
        habit_U=habit_U,
        stay_U=stay_U,
        activity_U=activity_U / activity_U.sum(),
        devices=["mobile" if mobile else "desktop" for mobile in rng.random(num_users) < 0.65],
    )


def draw_follow(num_categories: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw what an opened item of one category (row) adds to each category's log-odds (column)."""
    follow_CC = np.eye(num_categories) * _SAME_CATEGORY
    for category in range(num_categories):
        others = [other for other in range(num_categories) if other != category]
        follow_CC[category, rng.choice(others, size=len(_FOLLOWS), replace=False)] = _FOLLOWS
    return follow_CC


def draw_items(
    settings: Settings, share_C: NDArray[np.float64], opens_ms: int, rng: np.random.Generator
) -> Items:
    """Draw the items published in the hour that begins at `opens_ms`, in time order."""
    num_items = settings.new_items_per_hour
    category_I = rng.choice(settings.num_categories, size=num_items, p=share_C)
    topic_I = category_I * TOPICS_PER_CATEGORY + rng.integers(TOPICS_PER_CATEGORY, size=num_items)

    return Items(
        category_I=category_I,
        topic_I=topic_I,
        latent_IL=_LATENT_SPREAD * rng.normal(size=(num_items, LATENT)) / np.sqrt(LATENT),
        appeal_I=rng.normal(size=num_items),
        period_ms_I=rng.uniform(2, 8, size=num_items) * HOUR_MS,
        phase_I=rng.uniform(0, 2 * np.pi, size=num_items),
        published_ms_I=np.sort(opens_ms + rng.integers(HOUR_MS, size=num_items)),
        price_I=np.round(rng.lognormal(3.2, 0.8, size=num_items), 2),
    )


def topic_pull() -> float:
    """Return what an opened item adds to the log-odds of the other items of its topic."""
    return _SAME_TOPIC


def _category_shares(num_categories: int) -> NDArray[np.float64]:
    share_C = 1.0 / np.sqrt(np.arange(1, num_categories + 1))
    return np.asarray(share_C / share_C.sum())


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose])


def _concatenate(parts: list[Items]) -> Items:
    return Items(
        category_I=np.concatenate([part.category_I for part in parts]),
        topic_I=np.concatenate([part.topic_I for part in parts]),
        latent_IL=np.concatenate([part.latent_IL for part in parts]),
        appeal_I=np.concatenate([part.appeal_I for part in parts]),
        period_ms_I=np.concatenate([part.period_ms_I for part in parts]),
        phase_I=np.concatenate([part.phase_I for part in parts]),
        published_ms_I=np.concatenate([part.published_ms_I for part in parts]),
        price_I=np.concatenate([part.price_I for part in parts]),
    )

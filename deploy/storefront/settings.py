"""Which shop is simulated? Its size, shoppers and pace, and how `--set key=value` changes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

Tastes = Literal["personal", "shared"]
Histories = Literal["own", "shuffled"]
Halves = Literal["ab", "aa"]


_POSITIVE = (
    "num_users",
    "num_items",
    "num_categories",
    "new_items_per_hour",
    "slate_size",
    "sessions_per_user_hour",
    "freshness_half_life_h",
    "habit_half_life_min",
    "stay",
    "stay_spread",
    "dwell_median_s",
    "browse_median_s",
    "popularity_half_life_min",
    "backfill_hours",
    "live_sessions_per_s",
    "hurry",
)
_SHARES = ("stay", "satiation", "organic_share", "exploration")


class SettingsError(ValueError):
    """One or more settings cannot be used; the message lists all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that shapes a simulated shop.

    The defaults were fitted to the marginals of a real click log (`calibration`), never to the
    score of a ranker.

    Attributes:
        seed: fixes the world and every draw; equal seeds give equal shops.
        num_users: shoppers.
        num_items: items on offer at any moment; as many are withdrawn as arrive.
        num_categories: kinds of items.
        new_items_per_hour: arrivals; `num_items` over it is an item's lifetime in hours.
        slate_size: items shown by one page, at most the length of a served list.
        tastes: `shared` gives every shopper one taste and no habits, so that nothing in a
            shopper's past says what they will open next.
        histories: `shuffled` sends every page under the id of another shopper of the same half,
            so that a history says nothing about who reads the list.
        halves: `aa` serves the recent-popularity list to both halves.
        sessions_per_user_hour: mean sessions a shopper opens in an hour of simulated time.
        base_logit: log-odds of opening an examined item that is average in all respects.
        appeal_spread: scale of the skewed differences between items' appeal.
        drift: amplitude of the slow waves of an item's appeal.
        freshness: extra log-odds of an item just published.
        freshness_half_life_h: hours in which that extra halves.
        taste_strength: weight of the match between shopper and item.
        habit_strength: weight of what was opened last.
        habit_half_life_min: minutes in which the pull of the last item halves.
        position_bias: an item at position k is examined with probability k ** -position_bias.
        satiation: factor on the probability to open an item a second time.
        organic_share: share of page views that come from search or a link, without a list.
        organic_sharpness: exponent that concentrates such views on what appeals most.
        stay: mean probability to go on after a page.
        stay_spread: concentration of that probability among shoppers (a beta's a + b).
        dwell_median_s: median seconds spent on an opened item.
        dwell_sigma: spread of the logarithm of that time.
        browse_median_s: median seconds until the next page where nothing was opened.
        popularity_half_life_min: half-life of the opens that the baseline counts, in minutes.
        exploration: share of positions that the logging policy of the backfill fills at random.
        backfill_hours: simulated hours that are replayed before going live.
        live_sessions_per_s: sessions that open in a second of live time.
        hurry: factor by which live shoppers are quicker, so that two minutes hold whole sessions.
    """

    seed: int = 1
    num_users: int = 3_000
    num_items: int = 1_500
    num_categories: int = 20
    new_items_per_hour: int = 60
    slate_size: int = 10
    tastes: Tastes = "personal"
    histories: Histories = "own"
    halves: Halves = "ab"
    sessions_per_user_hour: float = 2.9
    base_logit: float = -10.7
    appeal_spread: float = 2.0
    drift: float = 0.6
    freshness: float = 5.0
    freshness_half_life_h: float = 3.0
    taste_strength: float = 1.0
    habit_strength: float = 1.5
    habit_half_life_min: float = 20.0
    position_bias: float = 0.7
    satiation: float = 0.03
    organic_share: float = 0.15
    organic_sharpness: float = 1.3
    stay: float = 0.68
    stay_spread: float = 40.0
    dwell_median_s: float = 35.0
    dwell_sigma: float = 2.2
    browse_median_s: float = 6.0
    popularity_half_life_min: float = 6.0
    exploration: float = 0.2
    backfill_hours: float = 6.0
    live_sessions_per_s: float = 8.0
    hurry: float = 8.0

    def __post_init__(self) -> None:
        problems = list(_range_problems(self))
        if problems:
            raise SettingsError("; ".join(problems))

    def replace(self, assignments: Iterable[str]) -> Settings:
        """Return these settings with `key=value` strings applied.

        Raises:
            SettingsError: every unknown key and unusable value, all in one message.

        >>> Settings().replace(["tastes=shared", "num_users=100"]).num_users
        100
        """
        values, problems = _parse(assignments)
        if problems:
            raise SettingsError("; ".join(problems))
        return dataclasses.replace(self, **values)


def _parse(assignments: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    kinds = get_type_hints(Settings)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or key not in kinds:
            known = ", ".join(sorted(kinds))
            problems.append(f"found {assignment!r}, expected KEY=VALUE with KEY one of: {known}")
            continue
        try:
            values[key] = _value(kinds[key], text)
        except ValueError as error:
            problems.append(f"{key}: {error}")
    return values, problems


def _value(kind: object, text: str) -> object:
    if kind is int or kind is float:
        expected = "an integer" if kind is int else "a number"
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            raise ValueError(f"found {text!r}, expected {expected}") from None
    choices = get_args(kind)
    if text not in choices:
        raise ValueError(f"found {text!r}, expected one of: {', '.join(choices)}")
    return text


def _range_problems(settings: Settings) -> Iterable[str]:
    for name in _POSITIVE:
        value = getattr(settings, name)
        if not 0 < value < float("inf"):
            yield f"{name}: found {value}, expected a number above 0"
    for name in _SHARES:
        value = getattr(settings, name)
        if not 0 <= value < 1:
            yield f"{name}: found {value}, expected at least 0 and below 1"
    if settings.num_users < 2:
        yield f"num_users: found {settings.num_users}, expected at least 2, one for each half"
    if settings.num_categories < 4:
        yield f"num_categories: found {settings.num_categories}, expected at least 4"
    if settings.slate_size * 2 > settings.num_items:
        yield f"slate_size: found {settings.slate_size}, expected at most half of num_items"

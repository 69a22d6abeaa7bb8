from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from deploy.storefront.events import Action, Visit
from deploy.storefront.settings import Settings
from deploy.storefront.storefront import Storefront
from deploy.storefront.world import HOUR_MS, World
from tests.deploy.storefront.shops import SMALL, START_MS

# Without satiation what one opened may be opened again by the same and by others alike.
HABITUAL = SMALL.replace(["satiation=0.99", "habit_strength=1.5", "organic_share=0.5"])


def _opens(settings: Settings) -> tuple[World, list[Action]]:
    storefront = Storefront(settings, START_MS)
    events = list(storefront.events(START_MS + 3 * HOUR_MS))
    opens = [e for e in events if isinstance(e, Action) and e.action in ("click", "view")]
    return storefront.world, opens


def _number(world: World, action: Action) -> int:
    number = world.item_number(action.item_id)
    assert number is not None
    return number


def _pull_of_the_previous(settings: Settings) -> tuple[float, float]:
    """Return by how much an id's last open pulls its next one, beyond the next one of anybody.

    The pull is the world's own table of follow-on categories; with its standard error.
    """
    world, opens = _opens(settings)
    category_I = world.items.category_I
    last: dict[str, int] = {}
    differences = []
    for action, anybodys in pairwise(opens):
        category = int(category_I[_number(world, action)])
        previous = last.get(action.user_id)
        if previous is not None:
            pull_C = world.follow_CC[previous]
            other = int(category_I[_number(world, anybodys)])
            differences.append(pull_C[category] - pull_C[other])
        last[action.user_id] = category
    return float(np.mean(differences)), float(np.std(differences) / np.sqrt(len(differences)))


def _taste_for_what_was_opened(settings: Settings) -> float:
    """Return the mean taste that the named shopper has for the categories they opened."""
    world, opens = _opens(settings)
    rows = {user_id: row for row, user_id in enumerate(world.users.ids)}
    return float(
        np.mean(
            [
                world.users.taste_UC[
                    rows[action.user_id], world.items.category_I[_number(world, action)]
                ]
                for action in opens
            ]
        )
    )


def test_an_own_history_tells_what_comes_next_and_a_shuffled_one_does_not() -> None:
    own, own_error = _pull_of_the_previous(HABITUAL)
    assert own > 4 * own_error
    shuffled, error = _pull_of_the_previous(HABITUAL.replace(["histories=shuffled"]))
    assert abs(shuffled) < 3 * error


def test_an_own_history_tells_the_taste_and_a_shuffled_one_does_not() -> None:
    own = _taste_for_what_was_opened(SMALL)
    shuffled = _taste_for_what_was_opened(SMALL.replace(["histories=shuffled"]))
    world, opens = _opens(SMALL)
    anybodys_C = world.users.activity_U @ world.users.taste_UC
    categories = [int(world.items.category_I[_number(world, action)]) for action in opens]
    anybody = float(np.mean(anybodys_C[categories]))
    assert own > anybody + 0.2
    assert shuffled == pytest.approx(anybody, abs=0.1)


def test_every_shuffled_page_is_a_session_of_its_own_id() -> None:
    storefront = Storefront(SMALL.replace(["histories=shuffled"]), START_MS)
    users: defaultdict[str, set[str]] = defaultdict(set)
    num_visits = 0
    for event in storefront.events(START_MS + HOUR_MS):
        if isinstance(event, Visit):
            num_visits += 1
        if isinstance(event, Visit | Action):
            users[event.session_id].add(event.user_id)
    assert all(len(ids) == 1 for ids in users.values())
    assert num_visits == len(users)

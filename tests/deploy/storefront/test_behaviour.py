import numpy as np
import pytest

from deploy.storefront.behaviour import Behaviour, Draws
from deploy.storefront.settings import Settings
from deploy.storefront.world import HOUR_MS, MINUTE_MS, World

START_MS = 1_700_000_040_000


def _behaviour(settings: Settings) -> tuple[World, Behaviour]:
    world = World(settings, START_MS)
    return world, Behaviour(world, settings)


def _related(world: World, item: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    items, on_offer = world.items, world.availability(START_MS)
    related = (items.topic_I == items.topic_I[item]) & on_offer
    related[item] = False
    return np.asarray(related)


def test_choices_have_the_stated_probabilities() -> None:
    _, behaviour = _behaviour(Settings(slate_size=3, position_bias=1.0))
    probability_K = np.array([0.5, 0.4, 0.9])
    draws = np.linspace(0, 1, 10_000, endpoint=False)
    chosen = np.array([behaviour.choose(probability_K, draw) for draw in draws])
    # e = 1, 1/2, 1/3: .5, then .5 * .2, then .5 * .8 * .3.
    for index, expected in ((0, 0.5), (1, 0.1), (2, 0.12), (-1, 0.28)):
        assert np.mean(chosen == index) == pytest.approx(expected, abs=2e-4)
    assert behaviour.click_probability(probability_K) == pytest.approx(0.72)


def test_falling_order_is_the_best_order() -> None:
    _, behaviour = _behaviour(Settings())
    probability_K = np.sort(np.random.default_rng(1).random(10))[::-1]
    best = behaviour.click_probability(probability_K)
    for seed in range(50):
        shuffled = np.random.default_rng(seed).permutation(probability_K)
        assert behaviour.click_probability(shuffled) <= best + 1e-12


def test_the_last_opened_item_raises_related_ones_and_the_pull_fades() -> None:
    world, behaviour = _behaviour(Settings())
    item = int(np.argmax(np.where(world.availability(START_MS), world.items.appeal_I, -9)))
    related = _related(world, item)
    before = behaviour.probabilities(5, slice(None), START_MS)[related].mean()
    behaviour.open(5, item, START_MS)
    after = behaviour.probabilities(5, slice(None), START_MS + 1)[related].mean()
    later = behaviour.probabilities(5, slice(None), START_MS + 6 * HOUR_MS)
    behaviour_of_nobody = _behaviour(Settings())[1]
    untouched = behaviour_of_nobody.probabilities(5, slice(None), START_MS + 6 * HOUR_MS)
    assert after > 1.3 * before
    assert later[: len(related)][related] == pytest.approx(untouched[: len(related)][related])


def test_new_items_are_opened_more_than_the_same_items_later() -> None:
    world, behaviour = _behaviour(Settings(drift=0.0))
    new = np.flatnonzero(
        world.availability(START_MS) & (world.items.published_ms_I > START_MS - 30 * MINUTE_MS)
    )
    now = behaviour.probabilities(0, new, START_MS)
    later = behaviour.probabilities(0, new, START_MS + 3 * HOUR_MS)
    assert np.all(later < now)


def test_an_opened_item_is_hardly_opened_again_and_a_hidden_one_never() -> None:
    _, behaviour = _behaviour(Settings(habit_strength=0.0))
    items = np.array([3, 4, 5]) + 1_500
    before = behaviour.probabilities(1, items, START_MS)
    behaviour.open(1, int(items[0]), START_MS)
    behaviour.hide(1, int(items[1]))
    after = behaviour.probabilities(1, items, START_MS)
    assert after == pytest.approx(before * [0.03, 0.0, 1.0])
    whole = behaviour.probabilities(1, slice(None), START_MS)
    assert whole[items] == pytest.approx(after)


def test_draws_have_the_asked_median() -> None:
    draws = Draws(np.random.default_rng(1))
    sample = [draws.lognormal(30.0, 1.5) for _ in range(20_000)]
    assert np.median(sample) == pytest.approx(30.0, rel=0.05)

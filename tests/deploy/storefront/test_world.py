import numpy as np
import pytest

from deploy.storefront.settings import Settings, SettingsError
from deploy.storefront.world import HOUR_MS, World

START_MS = 1_700_000_040_000


def test_equal_seeds_make_equal_worlds_and_others_do_not() -> None:
    one, same = World(Settings(), START_MS), World(Settings(), START_MS)
    other = World(Settings(seed=2), START_MS)
    assert np.array_equal(one.users.latent_UL, same.users.latent_UL)
    assert np.array_equal(one.items.appeal_I, same.items.appeal_I)
    assert not np.array_equal(one.items.appeal_I, other.items.appeal_I)


def test_items_do_not_depend_on_how_the_world_was_advanced() -> None:
    jumped, walked = World(Settings(), START_MS), World(Settings(), START_MS)
    jumped.advance(START_MS + 5 * HOUR_MS)
    for hour in range(6):
        walked.advance(START_MS + hour * HOUR_MS)
    assert np.array_equal(jumped.items.appeal_I, walked.items.appeal_I)
    assert np.array_equal(jumped.items.published_ms_I, walked.items.published_ms_I)


def test_as_many_items_are_withdrawn_as_arrive() -> None:
    settings = Settings()
    world = World(settings, START_MS)
    for hour in (0, 7, 30):
        now_ms = START_MS + hour * HOUR_MS
        world.advance(now_ms)
        num_on_offer = int(world.availability(now_ms).sum())
        assert abs(num_on_offer - settings.num_items) <= settings.new_items_per_hour


def test_what_appeals_drifts_within_hours_even_without_arrivals() -> None:
    world = World(Settings(freshness=0.0), START_MS)
    now = world.appeal(START_MS)
    later = world.appeal(START_MS + 2 * HOUR_MS)[: len(now)]
    both = np.isfinite(now) & np.isfinite(later)
    assert 0.2 < np.std(later[both] - now[both]) < 2.0


def test_an_item_off_offer_cannot_appeal() -> None:
    world = World(Settings(), START_MS)
    assert np.all(np.isinf(world.appeal(START_MS)) == ~world.availability(START_MS))


def test_item_ids_and_numbers_are_inverse_and_foreign_ids_are_nobody() -> None:
    world = World(Settings(seed=3), START_MS)
    assert world.item_number(world.item_id(17)) == 17
    for foreign in ("s4-i000017", "s3-i", "s3-i999999", "s3-i-00001", "s3-i²"):
        assert world.item_number(foreign) is None


def test_one_taste_leaves_nothing_to_tell_shoppers_apart() -> None:
    users = World(Settings(tastes="shared"), START_MS).users
    assert np.all(users.taste_UC == users.taste_UC[0])
    assert np.all(users.latent_UL == users.latent_UL[0])
    assert np.all(users.habit_U == 0)


def test_settings_report_every_bad_assignment_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings().replace(["tastes=odd", "num_users=many", "colour=red", "seed"])
    for found in ("'odd'", "'many'", "'colour=red'", "'seed'"):
        assert found in str(caught.value)


@pytest.mark.parametrize("assignment", ["num_users=1", "stay=1", "hurry=0", "slate_size=9999"])
def test_settings_refuse_what_cannot_run(assignment: str) -> None:
    with pytest.raises(SettingsError, match=assignment.partition("=")[0]):
        Settings().replace([assignment])

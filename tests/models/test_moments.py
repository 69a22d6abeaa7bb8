"""The moments at which lists were made, which the next action is learned with."""

from models.moments import Moments
from models.side_features import SideFeatures

SIDE = SideFeatures(context=("device",))
PHONE = SIDE.context_codes({"device": "phone"}, 0)


def test_an_event_is_told_the_one_before_it() -> None:
    moments = Moments(SIDE)
    assert moments.pass_on("a", 5, {"device": "phone"}) == (0, (0,))
    assert moments.pass_on("b", 6, None) == (0, (0,))
    assert moments.pass_on("a", 7, {"device": None}) == (5, PHONE)
    assert moments.pass_on("a", 8, {}) == (7, (0,))


def test_those_who_were_away_longest_are_forgotten() -> None:
    moments = Moments(SIDE, max_users=2)
    for user, at_s in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        moments.pass_on(user, at_s, None)
    assert moments.pass_on("a", 5, None).at_s == 3
    assert moments.pass_on("b", 6, None).at_s == 0


def test_what_is_restored_goes_on_within_the_bound() -> None:
    moments, fewer = Moments(SIDE), Moments(SIDE, max_users=2)
    for number in range(5):
        moments.pass_on(f"u{number}", number + 1, {"device": "phone"})
    fewer.restore(moments.arrays())
    assert len(fewer.arrays()["users"]) == 2
    assert fewer.pass_on("u4", 9, None) == (5, PHONE)
    same = Moments(SIDE)
    same.restore(moments.arrays())
    assert [same.pass_on(f"u{n}", 9, None).at_s for n in range(5)] == [1, 2, 3, 4, 5]

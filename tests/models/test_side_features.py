import pytest

from models.side_features import NO_SIDE, SideFeatures


def test_all_categories_and_only_the_listed_attributes_are_read() -> None:
    side = SideFeatures(attributes=("brand",))
    both = side.attribute_codes(["shoes", "winter"], {"brand": "b", "price": 9.0})
    assert both == side.attribute_codes(["winter", "shoes"], {"brand": "b", "price": 10.0})
    assert len(both) == 3
    assert set(both) > set(side.attribute_codes(["shoes"], {"brand": None}))
    assert side.attribute_codes([], {"price": 9.0}) == ()


def test_a_value_of_one_name_is_not_that_of_another() -> None:
    side = SideFeatures(attributes=("brand",), num_attribute_codes=1 << 20)
    assert side.attribute_codes(["red"], {}) != side.attribute_codes([], {"brand": "red"})
    two = SideFeatures(context=("device", "os"), num_context_codes=255)
    assert len(set(two.context_codes({"device": "x", "os": "x"}, 0))) == 2


def test_values_are_told_apart_whatever_their_type_and_nothing_is_zero() -> None:
    side = SideFeatures(context=("n",), num_context_codes=255)
    codes = {side.context_codes({"n": value}, 0) for value in (1, "one", 2.5, True)}
    assert len(codes) == 4
    assert side.context_codes({"n": None}, 0) == side.context_codes(None, 0) == (0,)


def test_hour_and_weekday_are_of_the_moment_and_no_context_replaces_them() -> None:
    side = SideFeatures(context=("hour", "weekday"))
    monday_1970_01_05 = 4 * 86_400
    assert side.context_codes({"hour": "x"}, monday_1970_01_05 + 5 * 3600) == (6, 5)
    assert side.context_codes({"hour": "x"}, 0) == (0, 0)


def test_codes_are_the_same_in_every_process() -> None:
    side = SideFeatures(attributes=("brand",))
    assert side.attribute_codes(["shoes"], {"brand": "b"}) == (144, 2948)
    assert side.context_codes({"device": "mobile"}, 0) == (56,)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"num_attribute_codes": 0}, "num_attribute_codes at least 1"),
        ({"num_context_codes": 23}, "num_context_codes from 24 to 255"),
        ({"num_context_codes": 256}, "num_context_codes from 24 to 255"),
        ({"context": ("a", "a")}, "each name in context once"),
    ],
)
def test_what_cannot_be_coded_is_refused(wrong: dict[str, int], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        SideFeatures(**wrong)  # type: ignore[arg-type]


def test_a_log_without_side_features_has_no_contexts() -> None:
    assert NO_SIDE.context_codes({"device": "mobile"}, 5) == ()

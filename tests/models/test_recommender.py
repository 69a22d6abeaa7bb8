import numpy as np

from models.recommenders.popularity import PopularityRecommender


def test_scores_are_asked_for_at_the_last_action_unless_told_otherwise() -> None:
    model = PopularityRecommender()
    assert model.sequence("u", ["a", "b"], times_s=[10, 20]).moment_s == 20
    assert model.sequence("u", ["a", "b"], times_s=[10, 20], now_s=90).moment_s == 90
    assert model.sequence("u", ["a"], times_s=[10], now_s=0).moment_s == 0
    assert model.sequence("u", []).moment_s == 0
    assert isinstance(model.sequence("u", ["a"], times_s=[10]).moment_s, int)


def test_items_outside_the_catalogue_have_no_code() -> None:
    assert PopularityRecommender().sequence("u", ["a"]).items.tolist() == [-1]
    np.testing.assert_array_equal(PopularityRecommender().sequence("u", ["a"]).actions, [1])

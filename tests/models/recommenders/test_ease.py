import numpy as np
import pytest

from models.bags import user_bags
from models.recommenders.ease import LinearAutoencoder
from tests.models.histories import history_of
from tests.models.recommenders.planted import grouped_rows, names_of_best


def _fitted(rows: list[tuple[str, str]], **settings: float | None) -> LinearAutoencoder:
    model = LinearAutoencoder(**settings)  # type: ignore[arg-type]
    for _ in model.fit(history_of(rows)):
        pass
    return model


def test_planted_groups_are_recovered() -> None:
    model = _fitted(grouped_rows(num_users=300, num_groups=5, group_size=8), l2=10.0)
    (scores,) = model.scores([model.sequence("new", ["g2-0"])])
    expected = {f"g2-{member}" for member in range(1, 8)}
    assert names_of_best(model.item_ids, scores, 7) == expected


def test_weights_are_the_constrained_minimum() -> None:
    history = history_of(grouped_rows(num_users=60, num_groups=3, group_size=6))
    l2 = 3.0
    model = LinearAutoencoder(l2=l2)
    for _ in model.fit(history):
        pass
    weight = model.weights()["weight"].astype(np.float64)
    bags = user_bags(history)
    bag = np.zeros((len(bags), len(history.item_ids)))
    bag[bags.owners, bags.item_Z] = 1
    # Stationary in every weight but the diagonal, which is held at 0 (Steck 2019, eq. 5 to 8).
    gradient = bag.T @ (bag @ weight - bag) + l2 * weight
    np.testing.assert_allclose(gradient - np.diag(gradient.diagonal()), 0, atol=1e-4)
    np.testing.assert_array_equal(weight.diagonal(), 0)


def test_half_life_turns_to_the_newest_item_and_the_papers_bag_does_not() -> None:
    rows = grouped_rows(num_users=300, num_groups=5, group_size=8)
    asked = ["g1-0", "g1-1", "g1-2", "g3-0"]
    newest = _fitted(rows, l2=10.0, half_life=0.5)
    (scores,) = newest.scores([newest.sequence("new", asked)])
    assert names_of_best(newest.item_ids, scores, 1) <= {f"g3-{m}" for m in range(8)}
    alike = _fitted(rows, l2=10.0, half_life=None)
    orders = alike.scores([alike.sequence("new", asked), alike.sequence("new", asked[::-1])])
    np.testing.assert_array_equal(orders[0], orders[1])


def test_items_that_are_not_modelled_are_ordered_by_popularity() -> None:
    rows = [(f"u{n}", item) for n in range(6) for item in ("a", "b")]
    rows += [("u0", "c"), ("u1", "c"), ("u2", "d")]
    model = _fitted(rows, max_items=2)
    (scores,) = model.scores([model.sequence("new", ["c"])])
    assert [model.item_ids[code] for code in np.argsort(-scores, kind="stable")] == list("abcd")


def test_no_regularisation_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0 expected"):
        LinearAutoencoder(l2=0.0)

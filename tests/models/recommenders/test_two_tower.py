from typing import Any

import numpy as np
import pytest

from models.leave_one_out import leave_one_out, target_ranks
from models.recommenders.two_tower import TwoTowerRecommender
from tests.models.histories import history_of
from tests.models.transformer.logs import history_of as history_of_events
from tests.models.transformer.logs import planted_events

_NETWORK = {"length": 6, "item_width": 16, "model_width": 32}
_SCALE = 1 / 0.07
_POPULAR, _RARE = 8, 60


def _popular_and_rare_rows() -> list[tuple[str, str]]:
    """One action a user: half of them upon a few popular items, half upon many rare ones."""
    generator = np.random.default_rng(0)
    rows = []
    for user in range(4000):
        popular = generator.random() < 0.5
        number = int(generator.integers(_POPULAR if popular else _RARE))
        rows.append((f"u{user}", f"{'popular' if popular else 'rare'}-{number}"))
    return rows


def _fitted(rows: list[tuple[str, str]], **settings: Any) -> TwoTowerRecommender:  # noqa: ANN401
    model = TwoTowerRecommender(**{"network": _NETWORK, **settings})
    for _ in model.fit(history_of(rows)):
        pass
    return model


@pytest.mark.parametrize(("corrects_sampling", "expected"), [(True, 7.5), (False, 1.3)])
def test_correction_ranks_popular_items_by_their_chance_and_not_too_low(
    corrects_sampling: bool,  # noqa: FBT001
    expected: float,
) -> None:
    model = _fitted(
        _popular_and_rare_rows(),
        corrects_sampling=corrects_sampling,
        training={"batch_size": 8, "max_epochs": 4, "warm_up_steps": 50},
    )
    (scores,) = model.scores([model.sequence("new", [])])
    popular = np.array([item.startswith("popular") for item in model.item_ids])
    odds = np.exp(_SCALE * (scores[popular].mean() - scores[~popular].mean()))
    # A popular item is 7.5 times as likely as a rare one; in a batch of 8 it is 6 times as often
    # a negative, which is all that is left without the correction.
    assert odds == pytest.approx(expected, rel=0.3)


def test_a_planted_rule_is_learned() -> None:
    split = leave_one_out(history_of_events(planted_events(600, seed=1)))
    model = TwoTowerRecommender(
        network=_NETWORK, training={"max_epochs": 20, "batch_size": 64, "warm_up_steps": 20}
    )
    for _ in model.fit(split.training):
        pass
    assert (target_ranks(model, split.test) == 1).mean() > 0.9


def test_index_finds_what_the_scores_say() -> None:
    model = _fitted(_popular_and_rare_rows()[:500], training={"max_epochs": 1})
    asked = [model.sequence("new", ["popular-1", "rare-3"]), model.sequence("new", [])]
    items, products = model.index().nearest(model.user_vectors(asked), 10)
    scores = model.scores(asked)
    np.testing.assert_array_equal(items, np.argsort(-scores, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(products, np.take_along_axis(scores, items, 1), rtol=1e-5)


@pytest.mark.parametrize(("user_dropout", "same"), [(1.0, True), (0.3, False)])
def test_hidden_users_change_nothing_and_shown_ones_do(user_dropout: float, *, same: bool) -> None:
    rows = _popular_and_rare_rows()[:500]
    model = _fitted(
        rows, network={**_NETWORK, "user_dropout": user_dropout}, training={"max_epochs": 1}
    )
    first, second = (model.sequence(user, ["rare-1"]) for user in ("u1", "u2"))
    assert np.array_equal(model.scores([first]), model.scores([second])) == same


def test_users_who_never_came_are_alike() -> None:
    network = {**_NETWORK, "user_dropout": 0.3, "num_user_buckets": 1 << 20}
    model = _fitted(_popular_and_rare_rows()[:500], network=network, training={"max_epochs": 1})
    known, first, second = (model.sequence(user, ["rare-1"]) for user in ("u1", "new", "newer"))
    np.testing.assert_array_equal(model.scores([first]), model.scores([second]))
    assert not np.array_equal(model.scores([known]), model.scores([first]))

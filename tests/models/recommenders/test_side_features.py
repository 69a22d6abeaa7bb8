"""Planted logs that only a model which reads side features can answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.history import History
from models.leave_one_out import leave_one_out, target_ranks
from models.recommender import Recommender
from models.registry import new_recommender
from tests.models.recommenders.described import (
    DAY_S,
    DESKTOP,
    MOBILE,
    by_device,
    by_hour,
    category_of,
    loyal_history,
)
from tests.models.recommenders.planted import names_of_best

_TOKENS = {"length": 8, "item_width": 16, "model_width": 16, "num_user_buckets": 8}
_PASSES = {"max_epochs": 12, "warm_up_steps": 20, "averaging": 0.98}
_SMALL: dict[str, dict[str, Any]] = {
    "lstm": {
        "network": {**_TOKENS, "state_width": 16},
        "training": {**_PASSES, "max_batch_tokens": 64},
    },
    "transformer": {
        "network": {**_TOKENS, "feed_forward_width": 32},
        "training": {**_PASSES, "max_batch_tokens": 256},
    },
    "two_tower": {
        "network": {"length": 6, "item_width": 16, "model_width": 32},
        "training": {"max_epochs": 12, "batch_size": 64, "warm_up_steps": 20},
    },
    "tensor": {
        "factors": {"num_factors": 16, "user_start": 1.0, "num_candidates": 4, "rate": 0.1},
        "passes": {"max_passes": 4, "batch_events": 16},
        "fold_in": {"rate": 0.3},
    },
    "autoencoder": {
        "network": {"model_width": 16},
        "training": {"max_epochs": 12, "batch_size": 64, "warm_up_steps": 20},
    },
    "youtube": {
        "network": {"length": 6, "item_width": 16, "model_width": 32, "num_layers": 2},
        "num_user_examples": 6,
        "training": {"max_epochs": 12, "batch_size": 64, "warm_up_steps": 20},
    },
}
_WITH_ATTRIBUTES = ("lstm", "transformer", "two_tower", "youtube")
_WITH_CONTEXT = ("autoencoder", "lstm", "tensor", "transformer", "two_tower", "youtube")


def _fitted(name: str, history: History) -> Recommender:
    model = new_recommender(name, **_SMALL[name])
    for _ in model.fit(history):
        pass
    return model


def _share_of_the_users_category(model: Recommender) -> float:
    """How many of the ten best items are of the category that was acted upon, on the average."""
    shares = []
    for category in "abcd":
        (scores,) = model.scores([model.sequence("new", [f"{category}{n}" for n in range(3)])])
        best = names_of_best(model.item_ids, scores, 10)
        shares.append(np.mean([category_of(item) == category for item in best]))
    return float(np.mean(shares))


@pytest.mark.parametrize("name", _WITH_ATTRIBUTES)
def test_a_category_says_what_items_that_hardly_met_have_in_common(name: str) -> None:
    described, bare = loyal_history(), loyal_history()
    bare.describe({})
    assert _share_of_the_users_category(_fitted(name, described)) > 0.9
    assert _share_of_the_users_category(_fitted(name, bare)) < 0.7


@pytest.mark.parametrize("name", _WITH_ATTRIBUTES)
def test_an_item_without_any_action_is_listed_for_those_who_like_its_category(name: str) -> None:
    model = _fitted(name, loyal_history())
    asked = [model.sequence("new", [f"{category}{n}" for n in range(3)]) for category in "abcd"]
    new = [model.item_ids.index(f"{category}-new") for category in "abcd"]
    scores = model.scores(asked)
    # Of the four new items each is best for those who like its category, and above most items.
    np.testing.assert_array_equal(scores[:, new].argmax(1), range(4))
    for place, code in enumerate(new):
        assert (scores[place] > scores[place, code]).mean() < 0.25


@pytest.mark.parametrize("name", _WITH_CONTEXT)
def test_the_device_decides_what_is_listed(name: str) -> None:
    model = _fitted(name, by_device())
    asked = [model.sequence("new", ["m1", "d2"], context=one) for one in (MOBILE, DESKTOP)]
    for device, scores in zip("md", model.scores(asked), strict=True):
        best = names_of_best(model.item_ids, scores, 8)
        assert {category_of(item) for item in best} == {device}


def test_an_autoencoder_of_whole_bags_is_asked_in_contexts_that_it_does_not_read() -> None:
    model = new_recommender("autoencoder", **{**_SMALL["autoencoder"], "reads_moments": False})
    for _ in model.fit(by_device()):
        pass
    asked = model.sequence("new", ["m1", "d2"])
    scores = model.scores([replace(asked, contexts=codes) for codes in ((), (3,), (3, 5))])
    assert np.array_equal(scores, np.repeat(scores[:1], 3, axis=0))


@pytest.mark.parametrize("name", _WITH_CONTEXT)
def test_held_out_actions_are_asked_about_with_their_contexts(name: str) -> None:
    split = leave_one_out(by_device())
    model = _fitted(name, split.training)
    # Twelve items remain of 24: whoever knows the device hits twice as often.
    assert (target_ranks(model, split.test, filters_seen=False) <= 12).mean() > 0.95


def test_the_time_decides_what_an_autoencoder_lists_unless_it_reads_whole_bags() -> None:
    """The hours that are asked about are of days that come after the log's end."""
    shares = []
    for reads_moments in (True, False):
        settings = {**_SMALL["autoencoder"], "reads_moments": reads_moments}
        model = new_recommender("autoencoder", **settings)
        for _ in model.fit(by_hour()):
            pass
        for hour, letter in ((3, "m"), (9, "m"), (15, "e"), (21, "e")):
            now_s = 5000 * DAY_S + 3600 * hour
            (scores,) = model.scores([model.sequence("new", ["m1", "e2"], now_s=now_s)])
            best = names_of_best(model.item_ids, scores, 8)
            shares.append(np.mean([category_of(item) == letter for item in best]))
    assert np.mean(shares[:4]) > 0.95
    assert np.mean(shares[4:]) == pytest.approx(0.5)

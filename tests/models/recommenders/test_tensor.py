from collections.abc import Iterator

import numpy as np
import pytest

from models.history import History, HistoryEvent
from models.recommender import Recommender
from models.recommenders.bprmf import BprRecommender
from models.recommenders.tensor import TensorRecommender
from models.side_features import SideFeatures

_DAY_S, _HOUR_S = 86_400, 3600
_MORNING_H, _EVENING_H = 8, 20
_NUM_OF_KIND = 8
_FACTORS = {
    "num_factors": 16,
    "user_start": 0.5,
    "num_candidates": 1,
    "rate": 0.1,
    "regularisation": 0.02,
}


def _events(*, returns: bool = True) -> Iterator[HistoryEvent]:
    """Two tastes, each with its items of the morning and its items of the evening.

    Where nobody returns, every action is a new user's.
    """
    generator = np.random.default_rng(6)
    for day in range(6 if returns else 60):
        for hour, moment in ((_MORNING_H, "m"), (_EVENING_H, "e")):
            for user in range(60):
                taste = "ab"[user % 2]
                yield HistoryEvent(
                    user_id=f"{taste}{user}" if returns else f"{day} {hour} {user}",
                    time_s=day * _DAY_S + hour * _HOUR_S + user,
                    action=1,
                    item_id=f"{taste}{moment}{generator.integers(_NUM_OF_KIND)}",
                )


def _fitted(model: Recommender, *, returns: bool = True) -> Recommender:
    history = History()
    history.append(_events(returns=returns), from_offset=0, to_offset=1)
    for _ in model.fit(history):
        pass
    return model


def _tensor(*contexts: str, max_passes: int = 20) -> TensorRecommender:
    return TensorRecommender(
        contexts=contexts,
        factors=_FACTORS,
        passes={"max_passes": max_passes, "batch_events": 16},
        fold_in={"num_candidates": 8, "rate": 0.3},
    )


def _first(model: Recommender, taste: str, hour: int, user_id: str) -> list[str]:
    """Return the kinds of the items that lead at this hour for who did as much at both."""
    done = [f"{taste}{moment}{number}" for number in range(2) for moment in "me"]
    times_s = [7 * _DAY_S + half * _DAY_S // 2 + _MORNING_H * _HOUR_S for half in range(len(done))]
    now_s = 10 * _DAY_S + hour * _HOUR_S
    asked = model.sequence(user_id, done, times_s=times_s, now_s=now_s)
    (scores_N,) = model.scores([asked])
    leading = np.argsort(-scores_N, kind="stable")[:_NUM_OF_KIND]
    return [model.item_ids[code][:2] for code in leading.tolist()]


@pytest.mark.parametrize("user_id", ["known", "a0", "b1"])
def test_same_user_is_shown_what_suits_the_hour(user_id: str) -> None:
    model = _fitted(_tensor("hour"))
    for taste in "ab":
        assert _first(model, taste, _MORNING_H, user_id).count(f"{taste}m") >= _NUM_OF_KIND - 2
        assert _first(model, taste, _EVENING_H, user_id).count(f"{taste}e") >= _NUM_OF_KIND - 2


@pytest.mark.parametrize(
    "model", [_tensor(), BprRecommender(factors=_FACTORS, passes={"max_passes": 3})]
)
def test_without_contexts_the_hour_cannot_matter(model: Recommender) -> None:
    _fitted(model)
    for taste in "ab":
        assert _first(model, taste, _MORNING_H, "u") == _first(model, taste, _EVENING_H, "u")


def test_first_visit_is_served_by_the_hour_alone() -> None:
    # In one pass nothing is known of anybody yet; in more, users explain what they did themselves.
    model = _fitted(_tensor("hour", "weekday", max_passes=1), returns=False)
    for hour, moment in ((_MORNING_H, "m"), (_EVENING_H, "e")):
        asked = model.sequence("nobody", [], now_s=3 * _DAY_S + hour * _HOUR_S)
        (scores_N,) = model.scores([asked])
        leading = np.argsort(-scores_N, kind="stable")[: 2 * _NUM_OF_KIND]
        kinds = [model.item_ids[code][1] for code in leading.tolist()]
        assert kinds.count(moment) >= 2 * _NUM_OF_KIND - 2


def test_a_context_that_is_untold_or_never_came_changes_nothing() -> None:
    """A log that names a context without ever telling it is learned like one that does not."""
    plain, silent = History(), History(side=SideFeatures(context=("device",)))
    models = []
    for history in (plain, silent):
        history.append(_events(), from_offset=0, to_offset=1)
        models.append(_tensor("hour", max_passes=2))
        for _ in models[-1].fit(history):
            pass
    asked = [model.sequence("u", ["am0", "be1"], now_s=_DAY_S) for model in models]
    first, second = (model.scores([one]) for model, one in zip(models, asked, strict=True))
    np.testing.assert_array_equal(first, second)
    told = models[1].sequence("u", ["am0", "be1"], now_s=_DAY_S, context={"device": "new"})
    np.testing.assert_array_equal(models[1].scores([told]), second)


def test_without_a_request_time_the_last_actions_hour_counts() -> None:
    model = _fitted(_tensor("hour"))
    time_s = 9 * _DAY_S + _EVENING_H * _HOUR_S
    unasked = model.sequence("u", ["am0"], times_s=[time_s])
    asked = model.sequence("u", ["am0"], times_s=[time_s], now_s=time_s)
    np.testing.assert_array_equal(model.scores([unasked]), model.scores([asked]))


@pytest.mark.parametrize("contexts", [("minute",), ("hour", "hour")])
def test_contexts_that_do_not_exist_are_refused(contexts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected some of hour, weekday"):
        _tensor(*contexts)

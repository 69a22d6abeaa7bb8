from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from models.history import History, HistoryEvent
from models.recommender import Recommender
from models.recommenders.bprmf import BprRecommender
from models.recommenders.popularity import PopularityRecommender

_NUM_ITEMS = 12
# Of so few items one candidate is plain BPR; with more, all of a taste would be ranked against it.
_PLAIN = {"num_factors": 4, "num_candidates": 1, "rate": 0.1, "regularisation": 0.05}


def _new(**passes: Any) -> BprRecommender:  # noqa: ANN401 - fields of PassesConfig
    return BprRecommender(
        factors=_PLAIN,
        passes={"max_passes": 15, "batch_events": 16, **passes},
        fold_in={"num_candidates": 8},
    )


def _history(events: Iterable[tuple[str, int, str]]) -> History:
    history = History()
    history.append(
        (
            HistoryEvent(user_id=user, time_s=time_s, action=1, item_id=item)
            for user, time_s, item in events
        ),
        from_offset=0,
        to_offset=1,
    )
    return history


def _tastes(*, times: bool = True) -> Iterator[tuple[str, int, str]]:
    """Users of two tastes, who each leave out half of their taste's items; the second has fewer."""
    generator = np.random.default_rng(3)
    for user in range(150):
        taste = "b" if user % 3 == 0 else "a"
        for step, item in enumerate(generator.permutation(_NUM_ITEMS)[:6].tolist()):
            yield f"{taste}{user}", 60 * step if times else 0, f"{taste}{item}"


def _fitted(model: Recommender, history: History) -> Recommender:
    for _ in model.fit(history):
        pass
    return model


def _share_of_taste(model: Recommender, scores_N: npt.NDArray[np.float32], taste: str) -> float:
    """Return how much of a taste is among as many items that rank first."""
    first = np.argsort(-scores_N, kind="stable")[:_NUM_ITEMS]
    found = [model.item_ids[code][0] for code in first.tolist()]
    return found.count(taste) / _NUM_ITEMS


def test_tastes_are_found_that_popularity_cannot_know() -> None:
    model, popularity = _fitted(_new(), _history(_tastes())), PopularityRecommender()
    _fitted(popularity, _history(_tastes()))
    for taste in "ab":
        for user in (f"{taste}0", "never seen"):
            asked = model.sequence(user, [f"{taste}0", f"{taste}1"])
            assert _share_of_taste(model, model.scores([asked])[0], taste) >= 0.75
    known_b = popularity.sequence("b0", ["b0", "b1"])
    assert _share_of_taste(popularity, popularity.scores([known_b])[0], "b") < 0.5


def test_without_actions_popularity_is_what_is_known() -> None:
    events = [("u", n, "rare") for n in range(2)]
    events += [(f"u{n}", n, f"i{n % 3}") for n in range(60)]
    model = _fitted(_new(), _history(events))
    (scores_N,) = model.scores([model.sequence("nobody", [])])
    assert model.item_ids[int(scores_N.argmin())] == "rare"


def test_one_pass_in_order_follows_the_newer_of_two_fashions() -> None:
    # Everybody turns from fashion a to fashion b, and as many actions are of each.
    generator = np.random.default_rng(5)
    walked = [
        (f"u{user}", 1000 * step + user, f"{'a' if step < 5 else 'b'}{generator.integers(20)}")
        for user in range(100)
        for step in range(10)
    ]
    generator.shuffle(walked)
    in_time, backwards = (
        sorted(walked, key=lambda one: one[1]),
        [(user, 40_000 - time_s, item) for user, time_s, item in walked],
    )
    for events, newer, older in ((in_time, "b", "a"), (backwards, "a", "b")):
        model = _fitted(_new(max_passes=1, batch_events=1), _history(events))
        (scores_N,) = model.scores([model.sequence("nobody", [])])
        mean = {
            fashion: np.mean([scores_N[model.item_ids.index(f"{fashion}{n}")] for n in range(20)])
            for fashion in (newer, older)
        }
        assert mean[newer] > mean[older] + 0.15


def test_logs_without_times_are_learned_however_their_rows_lie() -> None:
    by_user = sorted(_tastes(times=False), key=lambda one: one[0])
    model = _fitted(_new(), _history(by_user))
    for taste in "ab":
        asked = model.sequence("never seen", [f"{taste}0", f"{taste}1"])
        assert _share_of_taste(model, model.scores([asked])[0], taste) >= 0.75


def test_what_a_user_acts_upon_is_never_ranked_below() -> None:
    everything = _history([("u", n, f"i{n % 4}") for n in range(40)])
    model = _fitted(_new(), everything)
    (scores_N,) = model.scores([model.sequence("u", [])])
    np.testing.assert_array_equal(scores_N, np.zeros(4))


def test_best_pass_is_kept_and_training_ends_when_it_gets_worse() -> None:
    judged = iter([0.1, 0.4, 0.3, 0.2, 0.1, 0.9])
    model = _new(patience=3)
    steps = list(model.fit(_history(_tastes()), validate=lambda _model: next(judged)))
    found = [step.validation for step in steps if step.validation is not None]
    assert found == [0.1, 0.4, 0.3, 0.2, 0.1]
    two_passes = _fitted(_new(max_passes=2), _history(_tastes()))
    np.testing.assert_array_equal(model.weights()["item"], two_passes.weights()["item"])


def test_loss_falls_from_pass_to_pass() -> None:
    steps = list(_new().fit(_history(_tastes())))
    ended = {step.epoch: step.loss for step in steps if step.done * 15 == step.epoch}
    assert ended[15] is not None
    assert ended[1] is not None
    assert ended[15] < 0.7 * ended[1]

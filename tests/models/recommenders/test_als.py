from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from models.history import History, HistoryEvent
from models.recommender import Recommender, item_counts
from models.recommenders.als import AlsRecommender

_BLOCK = 8
_BLOCKS = 3


def _block_history(*, action_of_block: tuple[int, ...] = (1, 1, 1)) -> History:
    """Users of three blocks of items; of the third there are four times as many."""
    generator = np.random.default_rng(0)
    events = [
        HistoryEvent(
            user_id=f"u{block}-{user}",
            time_s=0,
            action=action_of_block[block],
            item_id=f"i{block}-{item}",
        )
        for block, num_users in enumerate((15, 15, 60))
        for user in range(num_users)
        for item in generator.permutation(_BLOCK)[:4].tolist()
    ]
    history = History()
    history.append(events, from_offset=0, to_offset=1)
    return history


def _fitted(model: AlsRecommender, history: History) -> AlsRecommender:
    for _ in model.fit(history):
        pass
    return model


def _small(
    *,
    newest: float = 10.0,
    decay: float = 0.8,
    action_weights: dict[str, float] | None = None,
    max_passes: int = 15,
) -> AlsRecommender:
    return AlsRecommender(
        num_factors=3,
        newest=newest,
        decay=decay,
        action_weights=action_weights,
        max_passes=max_passes,
    )


def _mean_by_block(model: Recommender, scores_N: npt.NDArray[np.float32]) -> list[float]:
    blocks = np.array([int(item[1]) for item in model.item_ids])
    return [float(scores_N[blocks == block].mean()) for block in range(_BLOCKS)]


@pytest.mark.parametrize("user_id", ["u0-0", "never seen"])
def test_items_of_the_users_block_lead_however_popular_another_is(user_id: str) -> None:
    model = _fitted(_small(), _block_history())
    for block in range(_BLOCKS):
        (scores_N,) = model.scores([model.sequence(user_id, [f"i{block}-0", f"i{block}-1"])])
        unseen = [
            float(scores_N[code])
            for code, item in enumerate(model.item_ids)
            if item[1] == str(block) and item[3] not in "01"
        ]
        others = [
            float(scores_N[code])
            for code, item in enumerate(model.item_ids)
            if item[1] != str(block)
        ]
        assert min(unseen) > max(others) + 0.2


def test_user_factors_solve_equation_4_of_the_paper() -> None:
    model = _fitted(_small(), _block_history())
    items_ND = model.weights()["item"].astype(np.float64)
    codes = [3, 5, 3, 9]
    (found_N,) = model.scores([model.sequence("anyone", [model.item_ids[code] for code in codes])])
    # The newest action counts 10, the one before 8, and so on; item 3 was acted upon twice.
    confidence_N = np.ones(len(items_ND))
    for code, worth in zip(codes, (5.12, 6.4, 8.0, 10.0), strict=True):
        confidence_N[code] += 10.0 * worth
    liked_N = (confidence_N > 1).astype(float)
    (strength,) = model.weights()["lambda"]
    weighted_ND = confidence_N[:, None] * items_ND
    user_D = np.linalg.solve(
        items_ND.T @ weighted_ND + strength * np.eye(3), weighted_ND.T @ liked_N
    )
    np.testing.assert_allclose(found_N, items_ND @ user_D, rtol=1e-3, atol=1e-4)


def _turned(decay: float) -> tuple[list[float], list[float]]:
    """Block means of who went from block 0 to block 1, and of who went back."""
    model = _fitted(_small(newest=1.0, decay=decay), _block_history())
    turned = ["i0-0", "i0-1", "i0-2", "i1-0", "i1-1", "i1-2"]
    sequences = [model.sequence("u", items) for items in (turned, turned[::-1])]
    forward, backward = (_mean_by_block(model, scores_N) for scores_N in model.scores(sequences))
    return forward, backward


def test_newest_actions_decide() -> None:
    forward, backward = _turned(decay=0.1)
    assert forward[1] > 1.3 * forward[0]
    assert backward[0] > 1.3 * backward[1]


def test_without_decay_the_order_of_actions_says_nothing() -> None:
    forward, backward = _turned(decay=1.0)
    np.testing.assert_allclose(forward, backward, atol=1e-5)


def test_heavier_actions_say_more_of_a_taste() -> None:
    weights = {"2": 20.0}
    plain, weighing = (
        _fitted(_small(newest=1.0, decay=1.0, action_weights=given), _block_history())
        for given in (None, weights)
    )
    asked = plain.sequence("u", ["i0-0", "i1-0"], actions=[2, 1])
    before, after = (_mean_by_block(model, model.scores([asked])[0]) for model in (plain, weighing))
    assert after[0] - after[1] > before[0] - before[1] + 0.1


def test_actions_of_no_weight_train_nothing_more_than_that_they_happened() -> None:
    history = _block_history(action_of_block=(1, 7, 1))
    heavy, none = (
        _fitted(_small(action_weights={"7": weight}, max_passes=3), history)
        for weight in (1.0, 0.0)
    )
    assert not np.allclose(heavy.weights()["item"], none.weights()["item"])


def test_best_pass_is_kept_and_training_ends_when_it_gets_worse() -> None:
    judged: Iterator[float] = iter([0.1, 0.4, 0.3, 0.2, 0.1, 0.9])
    model = AlsRecommender(num_factors=3, patience=3)
    progress = list(model.fit(_block_history(), validate=lambda _model: next(judged)))
    assert [step.validation for step in progress] == [0.1, 0.4, 0.3, 0.2, 0.1]
    two_passes = _fitted(_small(max_passes=2), _block_history())
    np.testing.assert_array_equal(model.weights()["item"], two_passes.weights()["item"])


def test_few_actions_a_user_are_not_learned_by_heart() -> None:
    # No tastes at all: what is popular is the best that can be said.
    generator = np.random.default_rng(0)
    chances = 1 / np.arange(1, 301)
    drawn = generator.choice(300, (1500, 3), p=chances / chances.sum())
    events = [
        HistoryEvent(user_id=f"u{user}", time_s=0, action=1, item_id=f"i{item}")
        for user, items in enumerate(drawn)
        for item in items.tolist()
    ]
    history = History()
    history.append(events, from_offset=0, to_offset=1)
    model = _fitted(AlsRecommender(), history)
    popular_N = item_counts(history)
    shares = []
    for items in drawn[:200]:
        (scores_N,) = model.scores([model.sequence("u", [f"i{item}" for item in items])])
        best = np.argsort(-scores_N)[:20]
        shares.append(popular_N[best].sum() / np.sort(popular_N)[-20:].sum())
    # Learned by heart, with a lambda ten times smaller, it is .24.
    assert np.mean(shares) > 0.5


@pytest.mark.parametrize("weights", [{"view": 1.0}, {"256": 1.0}, {"3": -1.0}])
def test_weights_of_what_is_no_action_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a code from 0 to 255"):
        AlsRecommender(action_weights=weights)


def test_one_more_pass_goes_on_from_the_factors_and_does_not_begin_anew() -> None:
    history = _block_history()
    model = AlsRecommender(num_factors=3, warm_passes=1)
    settled = _fitted(model, history).scores([model.sequence("u", ["i0-0"])])
    for _ in model.continue_fit(history):
        pass
    anew = _fitted(AlsRecommender(num_factors=3, max_passes=1), history)
    continued, fresh = (one.scores([one.sequence("u", ["i0-0"])]) for one in (model, anew))
    assert np.abs(continued - settled).max() < 0.2 * np.abs(fresh - settled).max()


def test_items_that_came_later_are_learned_when_it_goes_on() -> None:
    history = _block_history()
    model = _fitted(_small(), history.before(15 * 4))
    assert len(model.item_ids) == _BLOCK
    for _ in model.continue_fit(history):
        pass
    (scores_N,) = model.scores([model.sequence("u", ["i2-0", "i2-1"])])
    means = _mean_by_block(model, scores_N)
    assert means[2] > max(means[:2]) + 0.2

"""What every registered next-item model must do, on logs so small that each fit takes a moment."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from models.bundle import BundleRefused, load_bundle
from models.history import History, HistoryEvent
from models.recommender import Recommender, UserSequence
from models.registry import RECOMMENDERS, SERVABLE, load_recommender, new_recommender
from models.served import load_served
from models.side_features import NO_SIDE, SideFeatures

_SMALL: dict[str, dict[str, Any]] = {
    name: {
        "seed": 3,
        "network": {"length": 8, "item_width": 16, "model_width": 16, "num_user_buckets": 16},
        "training": {"max_epochs": 3, "warm_up_steps": 5},
    }
    for name in ("lstm", "transformer")
}
_SMALL["autoencoder"] = {
    "seed": 3,
    "network": {"model_width": 16},
    "training": {"max_epochs": 3, "warm_up_steps": 5},
}
_SMALL["two_tower"] = {
    **_SMALL["lstm"],
    "network": {**_SMALL["lstm"]["network"], "user_dropout": 0.3},
}
_SMALL["youtube"] = {
    "seed": 3,
    "num_user_examples": 4,
    "network": {"length": 8, "item_width": 16, "model_width": 16, "num_layers": 2},
    "training": {"max_epochs": 3, "warm_up_steps": 5},
}
_SMALL["lstm"] = {
    **_SMALL["lstm"],
    "network": {**_SMALL["lstm"]["network"], "num_blocks": 2, "state_width": 24},
}
_ARRAYS = ("items", "actions", "times_s")

pytestmark = pytest.mark.parametrize("name", sorted(RECOMMENDERS))


def _history(num_users: int = 40, num_items: int = 12, seed: int = 0) -> History:
    """Users who walk round the items, each from one of their own."""
    generator = np.random.default_rng(seed)
    events = []
    for user in range(num_users):
        first, steps = int(generator.integers(num_items)), int(generator.integers(1, 7))
        events += [
            HistoryEvent(
                user_id=f"u{user}",
                time_s=1000 + 60 * step,
                action=1 + step % 2,
                item_id=f"i{(first + step) % num_items}",
            )
            for step in range(steps)
        ]
    return _history_of(events)


def _events(history: History) -> list[HistoryEvent]:
    """A history taken apart; users get other names."""
    columns = (history.users, history.items, history.actions, history.times_s)
    return [
        HistoryEvent(
            user_id=f"u{user}", time_s=time_s, action=action, item_id=history.item_ids[item]
        )
        for user, item, action, time_s in zip(*(c.tolist() for c in columns), strict=True)
    ]


def _described(history: History) -> History:
    """The same actions, with all side features that there can be, and two items without a row."""
    side = SideFeatures(context=("device", "hour"), num_attribute_codes=32)
    events = [
        replace(
            event,
            asked_s=event.time_s - 30,
            contexts=side.context_codes({"device": f"d{number % 2}"}, event.time_s - 30),
        )
        for number, event in enumerate(_events(history))
    ]
    found = _history_of(events, side)
    number_of = {item: n for n, item in enumerate([*found.item_ids, "new", "newer"])}
    codes = {item: side.attribute_codes([f"c{n % 3}"], {}) for item, n in number_of.items()}
    found.describe(codes, joining=["new", "newer"])
    return found


def _history_of(events: Iterable[HistoryEvent], side: SideFeatures | None = None) -> History:
    history = History(side=side)
    history.append(events, from_offset=0, to_offset=1)
    return history


def _new(name: str) -> Recommender:
    return new_recommender(name, **_SMALL.get(name, {}))


def _fitted(name: str, history: History) -> Recommender:
    model = _new(name)
    for _ in model.fit(history):
        pass
    return model


def _asked(model: Recommender) -> list[UserSequence]:
    return [
        model.sequence("u0", ["i1", "i2", "i3"]),
        model.sequence("u1", ["i4"], actions=[2], times_s=[5], now_s=90_000),
        model.sequence("u0", [f"i{n % 12}" for n in range(30)]),
    ]


def _columns(history: History) -> dict[str, npt.NDArray[Any]]:
    return {name: getattr(history, name).copy() for name in (*_ARRAYS, "users", "visits_s")}


def test_scores_are_finite_and_cover_the_catalogue(name: str) -> None:
    history = _history()
    model = _fitted(name, history)
    scores = model.scores(_asked(model))
    assert scores.shape == (3, len(history.item_ids))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert list(model.item_ids) == history.item_ids


def test_same_seed_gives_the_same_scores(name: str) -> None:
    first, second = (_fitted(name, _history()) for _ in range(2))
    np.testing.assert_array_equal(first.scores(_asked(first)), second.scores(_asked(second)))


def test_fitting_again_forgets_the_first_fit(name: str) -> None:
    fresh, used = _fitted(name, _history()), _fitted(name, _history(seed=5))
    for _ in used.fit(_history()):
        pass
    np.testing.assert_array_equal(fresh.scores(_asked(fresh)), used.scores(_asked(used)))


def test_loaded_model_scores_as_the_saved_one(name: str, tmp_path: Path) -> None:
    model = _fitted(name, _history())
    before = model.scores(_asked(model))
    model.save(tmp_path / "bundle", metrics={"ndcg_10": 0.5})
    loaded = load_recommender(load_bundle(tmp_path / "bundle"))
    assert type(loaded) is type(model)
    assert loaded.settings() == model.settings()
    np.testing.assert_array_equal(loaded.scores(_asked(loaded)), before)


def test_what_is_served_live_scores_as_the_model(name: str, tmp_path: Path) -> None:
    model = _fitted(name, _history())
    bundle = model.save(tmp_path / "bundle")
    if name not in SERVABLE:
        with pytest.raises(BundleRefused, match=name):
            load_served(bundle)
        return
    served = load_served(bundle)
    asked = [*_asked(model), model.sequence("nobody", []), model.sequence("nobody", ["never seen"])]
    assert list(served.item_ids) == list(model.item_ids)
    np.testing.assert_allclose(served.scores(asked), model.scores(asked), rtol=1e-4, atol=1e-5)
    assert served.scores([]).shape == (0, 12)


def test_side_features_are_saved_and_served_as_they_were_learned(name: str, tmp_path: Path) -> None:
    model = _fitted(name, _described(_history()))
    bundle = model.save(tmp_path / "bundle")
    asked = [
        model.sequence("u0", ["i1", "i2"], times_s=[5, 9000], context={"device": "d1"}),
        model.sequence("u0", ["i1", "i2"], times_s=[5, 9000], context={"device": "d0"}),
        model.sequence("u0", ["new", "i3"]),
        model.sequence("u0", [], now_s=50_000, context={"device": "never met"}),
    ]
    scores = model.scores(asked)
    assert scores.shape == (4, 14)
    assert np.isfinite(scores).all()
    loaded = load_recommender(bundle)
    assert loaded.side == model.side
    np.testing.assert_array_equal(loaded.scores(asked), scores)
    if name in SERVABLE:
        served = load_served(bundle)
        assert served.side == model.side
        np.testing.assert_allclose(served.scores(asked), scores, rtol=1e-4, atol=1e-5)


def test_a_log_without_side_features_is_learned_as_ever(name: str) -> None:
    history = _history()
    empty = History(side=NO_SIDE)
    empty.append(_events(history), from_offset=0, to_offset=1)
    plain, with_nothing = _fitted(name, _history_of(_events(history))), _fitted(name, empty)
    np.testing.assert_array_equal(
        plain.scores(_asked(plain)), with_nothing.scores(_asked(with_nothing))
    )


def test_another_models_bundle_is_refused(name: str, tmp_path: Path) -> None:
    other = "vsknn" if name == "popularity" else "popularity"
    _fitted(other, _history()).save(tmp_path / "bundle")
    with pytest.raises(BundleRefused, match=name):
        type(_new(name)).from_bundle(load_bundle(tmp_path / "bundle"))


def test_inputs_are_not_changed(name: str) -> None:
    history = _history()
    before = _columns(history)
    model = _fitted(name, history)
    sequences = _asked(model)
    arrays = [getattr(sequence, array) for sequence in sequences for array in _ARRAYS]
    copies = [array.copy() for array in arrays]
    model.scores(sequences)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    for column, values in before.items():
        np.testing.assert_array_equal(getattr(history, column), values)


def test_unknown_user_and_items_are_served(name: str) -> None:
    model = _fitted(name, _history())
    scores = model.scores(
        [model.sequence("nobody", ["i1", "never seen"]), model.sequence("nobody", ["never seen"])]
    )
    assert np.isfinite(scores).all()


def test_empty_sequence_and_no_sequence_are_served(name: str) -> None:
    model = _fitted(name, _history())
    assert np.isfinite(model.scores([model.sequence("nobody", [])])).all()
    assert model.scores([]).shape == (0, 12)


def test_scores_do_not_depend_on_who_else_is_asked_about(name: str) -> None:
    model = _fitted(name, _history())
    sequences = _asked(model)
    alone = np.concatenate([model.scores([sequence]) for sequence in sequences])
    np.testing.assert_allclose(model.scores(sequences), alone, rtol=1e-4, atol=1e-5)


def test_empty_history_gives_an_empty_catalogue(name: str) -> None:
    model = _fitted(name, History())
    assert model.scores([model.sequence("u", ["x"])]).shape == (1, 0)


def test_catalogue_of_one_item_is_served(name: str) -> None:
    model = _fitted(
        name,
        _history_of(
            HistoryEvent(user_id=f"u{n}", time_s=n, action=1, item_id="only") for n in range(3)
        ),
    )
    scores = model.scores([model.sequence("u0", ["only"]), model.sequence("u9", [])])
    assert scores.shape == (2, 1)
    assert np.isfinite(scores).all()


def test_actions_without_items_are_no_obstacle(name: str) -> None:
    history = _history_of(
        HistoryEvent(user_id="u", time_s=n, action=2, item_id="i" if n == 3 else None)
        for n in range(5)
    )
    model = _fitted(name, history)
    assert np.isfinite(model.scores([model.sequence("u", ["i"])])).all()


def test_catalogue_grows_when_fitted_again(name: str) -> None:
    model = _fitted(name, _history())
    for _ in model.fit(_history(num_items=20)):
        pass
    assert len(model.item_ids) == 20
    assert model.scores([model.sequence("u0", ["i19"])]).shape == (1, 20)


def test_later_actions_never_change_an_earlier_score(name: str) -> None:
    model = _fitted(name, _history())
    before = model.sequence("u0", ["i1", "i2"])
    scores = model.scores([before])
    longer = model.sequence("u0", ["i1", "i2", "i7"])
    both = model.scores([before, longer])
    np.testing.assert_allclose(both[:1], scores, rtol=1e-4, atol=1e-5)


def test_validation_is_asked_of_a_model_that_can_score(name: str) -> None:
    seen: list[tuple[int, ...]] = []

    def validate(model: Recommender) -> float:
        seen.append(model.scores([model.sequence("u0", ["i1"])]).shape)
        return 1.0

    progress = list(_new(name).fit(_history(), validate=validate))
    assert all(shape == (1, 12) for shape in seen)
    assert [step.done for step in progress] == sorted(step.done for step in progress)
    assert sum(step.validation is not None for step in progress) == len(seen)


def test_a_model_that_goes_on_knows_the_grown_log_and_begins_when_it_is_told(name: str) -> None:
    history = _history()
    model = _fitted(name, history.before(len(history.items) // 4))
    before = model.scores([model.sequence("u0", ["i1"])])
    steps = model.continue_fit(history)
    np.testing.assert_array_equal(model.scores([model.sequence("u0", ["i1"])]), before)
    if steps is None:
        return
    done = [progress.done for progress in steps]
    assert done == sorted(done)
    assert list(model.item_ids) == history.item_ids
    assert np.isfinite(model.scores(_asked(model))).all()

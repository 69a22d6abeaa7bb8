"""What every registered ranker of slates must do (models/rankers/slate_ranker.py), on tiny data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from models.bundle import BundleRefused
from models.rankers.ranker_bundle import RankerHead, RankerProvenance, ServedRanker
from models.rankers.registry import OF_WATCH_TIMES, RANKERS, new_ranker
from models.rankers.slate_ranker import RankerRefused, SlateRanker, SlateShape

NUM_RELEVANCE, NUM_POSITIONS, NUM_TASTES = 8, 6, 4
PROVENANCE = RankerProvenance(created_ms=1, cutoff_offset=2, cutoff_ms=3, metrics={"auc": 0.5})
SHAPE = SlateShape(offsets=np.array([0, 8, 12, 18]), num_relevance=2)


class Slate(NamedTuple):
    relevance: npt.NDArray[np.int32]
    examination: npt.NDArray[np.int32]
    labels: npt.NDArray[np.bool_]
    watch_times: npt.NDArray[np.float64]


def slates(count: int, seed: int = 1) -> Iterator[Slate]:
    """Return slates whose one click, if any, follows quality, and position much more.

    What is clicked is watched for 20 s.
    """
    draws = np.random.default_rng(seed)
    for _ in range(count):
        quality = draws.integers(0, NUM_RELEVANCE, NUM_POSITIONS)
        taste = draws.integers(0, NUM_TASTES, NUM_POSITIONS) + NUM_RELEVANCE
        position = np.arange(NUM_POSITIONS) + NUM_RELEVANCE + NUM_TASTES
        p = np.append(np.exp(0.5 * quality - 0.5 * np.arange(NUM_POSITIONS)), 4.0)
        labels = np.arange(NUM_POSITIONS) == draws.choice(NUM_POSITIONS + 1, p=p / p.sum())
        relevance = np.stack([quality, taste], axis=1).astype(np.int32)
        watch_times = np.where(labels, 20.0, np.nan)
        yield Slate(relevance, position[:, None].astype(np.int32), labels, watch_times)


@pytest.fixture(params=sorted(RANKERS))
def name(request: pytest.FixtureRequest) -> str:
    """Each of them."""
    chosen: str = request.param
    return chosen


DRAWING = {name for name in RANKERS if name.startswith("xgboost_")} | {"watch_time", "wide_deep"}


def learned(name: str, made: list[Slate], *, seed: int = 1) -> SlateRanker:
    ranker = new_ranker(name, SHAPE, seed=seed)
    for slate in made:
        ranker.learn(*slate)
    return ranker.refresh() or ranker


def answers(ranker: SlateRanker) -> list[float]:
    asked = list(slates(5, seed=9))
    return [
        *np.concatenate([ranker.predicted(one.relevance, one.examination) for one in asked]),
        *np.concatenate([ranker.scores(one.relevance) for one in asked]),
    ]


def test_probabilities_are_some_and_scores_are_finite(name: str) -> None:
    for ranker in (new_ranker(name, SHAPE), learned(name, list(slates(200)))):
        for slate in slates(20, seed=5):
            predicted = ranker.predicted(slate.relevance, slate.examination)
            assert predicted.shape == (NUM_POSITIONS,)
            assert np.isfinite(predicted).all()
            assert np.isfinite(ranker.scores(slate.relevance)).all()
            if ranker.predicts == "clicks":
                assert ((predicted >= 0) & (predicted <= 1)).all()
            elif ranker.predicts == "watch_time":
                assert (predicted >= 0).all()


def test_a_seed_decides_what_is_drawn_and_nothing_else(name: str) -> None:
    made = list(slates(200))
    first, same, other = (answers(learned(name, made, seed=seed)) for seed in (3, 3, 4))
    assert first == same
    assert (first != other) == (name in DRAWING)


def test_those_of_watch_times_are_named(name: str) -> None:
    """By this name a log without watch times is refused before anything is learned."""
    assert (new_ranker(name, SHAPE).predicts == "watch_time") == (name in OF_WATCH_TIMES)


def test_probabilities_add_up_to_the_clicks(name: str) -> None:
    ranker = learned(name, list(slates(1500)))
    if ranker.predicts != "clicks":
        return
    later = list(slates(500, seed=6))
    expected = sum(ranker.predicted(one.relevance, one.examination).sum() for one in later)
    assert expected / sum(one.labels.sum() for one in later) == pytest.approx(1.0, abs=0.1)


def test_what_is_good_is_learned_whatever_the_position(name: str) -> None:
    ranker = learned(name, list(slates(1500)))
    quality = np.stack([np.arange(8), np.full(8, 9)], axis=1).astype(np.int32)
    scores = ranker.scores(quality)
    assert scores[[6, 7]].min() > scores[[0, 1]].max()


def test_serving_order_knows_no_position_but_as_shown_it_counts(name: str) -> None:
    ranker = learned(name, list(slates(1500)))
    alike = np.tile(np.array([[5, 9]], np.int32), (NUM_POSITIONS, 1))
    positions = next(slates(1)).examination
    assert len(set(ranker.scores(alike).tolist())) == 1
    predicted = ranker.predicted(alike, positions)
    assert predicted[0] > predicted[-1]


def test_nothing_that_is_given_is_changed(name: str) -> None:
    made = list(slates(60))
    before = [[part.copy() for part in slate] for slate in made]
    answers(learned(name, made))
    for slate, parts in zip(made, before, strict=True):
        for now, then in zip(slate, parts, strict=True):
            np.testing.assert_array_equal(now, then)


def test_the_same_slates_teach_the_same(name: str) -> None:
    made = list(slates(150))
    assert answers(learned(name, made)) == answers(learned(name, made))


def test_a_bundle_says_what_was_saved_and_goes_on_learning_from_there(
    name: str, tmp_path: Path
) -> None:
    head, ranker = RankerHead(name=name, shape=SHAPE), learned(name, list(slates(150)))
    again = head.load(head.save(tmp_path / "bundle", ranker, PROVENANCE))
    assert answers(again) == answers(ranker)
    assert answers(again) != answers(new_ranker(name, SHAPE))
    if ranker.refresh() is None:
        for one in (ranker, again):
            one.learn(*next(slates(1, seed=3)))
        assert answers(again) == answers(ranker)


@pytest.mark.parametrize(
    "other",
    [
        SlateShape(offsets=np.array([0, 8, 12, 19]), num_relevance=2),
        SlateShape(offsets=np.array([0, 8, 12, 18]), num_relevance=1),
        SlateShape(offsets=np.array([0, 8, 12, 18]), num_relevance=2, meaning="other features"),
    ],
)
def test_a_bundle_of_other_features_is_refused(
    name: str, other: SlateShape, tmp_path: Path
) -> None:
    bundle = RankerHead(name=name, shape=SHAPE).save(
        tmp_path / "bundle", new_ranker(name, SHAPE), PROVENANCE
    )
    with pytest.raises(BundleRefused, match=r"of feature_layout \['"):
        RankerHead(name=name, shape=other).load(bundle)


def test_arrays_of_another_ranker_are_refused_and_change_nothing(name: str) -> None:
    ranker = learned(name, list(slates(150)))
    before = answers(ranker)
    for arrays in ({"weights": np.zeros(3)}, broken(ranker.arrays())):
        with pytest.raises(RankerRefused):
            ranker.restore(arrays)
        assert answers(ranker) == before


def broken(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The same with half of one array."""
    name, values = max(arrays.items(), key=lambda one: one[1].nbytes)
    return {**arrays, name: values[: len(values) // 2]}


def test_untrained_it_saves_and_loads_too(name: str, tmp_path: Path) -> None:
    head = RankerHead(name=name, shape=SHAPE)
    again = head.load(head.save(tmp_path / "bundle", head.untrained(), PROVENANCE))
    assert answers(again) == answers(head.untrained())


def test_slates_are_served_alike_whatever_stands_beside_them(name: str, tmp_path: Path) -> None:
    head, made = RankerHead(name=name, shape=SHAPE), [one.relevance for one in slates(40, seed=8)]
    ranker = learned(name, list(slates(300)))
    served = ServedRanker(head, head.save(tmp_path / "bundle", ranker, PROVENANCE))
    sizes = np.array([len(one) for one in made])
    together = np.split(served.scores(np.concatenate(made), sizes), np.cumsum(sizes)[:-1])
    for relevance, scores in zip(made, together, strict=True):
        assert scores.tolist() == served.scores(relevance, sizes[:1]).tolist()
        expected = ranker.scores(relevance)
        if name in OF_WATCH_TIMES:
            expected = np.exp(expected)
        assert scores.tolist() == expected.tolist()


def test_users_and_items_never_met_are_served(name: str) -> None:
    """Their features were never learned: bins that no slate so far had."""
    known = [one for one in slates(300) if (one.relevance[:, 0] < 6).all()]
    ranker = learned(name, known)
    unknown = np.array([[7, 11], [7, 8]], np.int32)
    assert np.isfinite(ranker.scores(unknown)).all()
    assert np.isfinite(ranker.predicted(unknown, np.array([[12], [17]], np.int32))).all()


def test_slates_of_one_and_of_none_are_taken(name: str) -> None:
    ranker = new_ranker(name, SHAPE)
    none = Slate(
        np.empty((0, 2), np.int32),
        np.empty((0, 1), np.int32),
        np.empty(0, np.bool_),
        np.empty(0),
    )
    one = Slate(
        np.array([[1, 9]], np.int32),
        np.array([[12]], np.int32),
        np.array([True]),
        np.array([20.0]),
    )
    for slate in (none, one, none, *slates(20)):
        ranker.learn(*slate)
    ranker = ranker.refresh() or ranker
    assert ranker.predicted(*one[:2]).shape == (1,)
    assert ranker.scores(none.relevance).shape == (0,)


def test_what_comes_later_never_changes_what_was_said(name: str) -> None:
    ranker = learned(name, list(slates(100)))
    slate = next(slates(1, seed=9))
    said = ranker.predicted(slate.relevance, slate.examination), ranker.scores(slate.relevance)
    then = [one.copy() for one in said]
    for other in slates(50, seed=4):
        ranker.learn(*other)
    later = ranker.refresh() or ranker
    assert (later.predicted(slate.relevance, slate.examination) != then[0]).any()
    assert all((one == before).all() for one, before in zip(said, then, strict=True))


def test_a_training_leaves_alone_what_serves_meanwhile(name: str) -> None:
    ranker = new_ranker(name, SHAPE)
    assert ranker.refresh() is None
    for slate in slates(50):
        ranker.learn(*slate)
    before = answers(ranker)
    ranker.refresh()
    assert answers(ranker) == before

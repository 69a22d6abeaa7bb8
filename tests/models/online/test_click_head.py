"""p(click): progressive, calibrated, ranking without positions, restored bit by bit."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import ClickEvaluation
from models.online.click_head import ClickHead, ClickHeadConfig
from models.online.tables import TableSet

Engine = Literal["slate", "ftrl", "river"]
NUM_ITEMS, NUM_RELEVANCE, NUM_POSITIONS = 10, 40, 10
NUM_WEIGHTS = NUM_RELEVANCE + NUM_POSITIONS

Slate = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]


def slates(count: int, seed: int = 3, *, at_most_one: bool = False) -> list[Slate]:
    """Slates whose clicks follow a logistic model with position bias, or one choice among them."""
    generator = np.random.default_rng(seed)
    relevance_weights = generator.normal(0, 1, NUM_RELEVANCE)
    position_weights = np.linspace(-1, -3, NUM_POSITIONS)
    made = []
    for _ in range(count):
        relevance = generator.integers(0, NUM_RELEVANCE, (NUM_ITEMS, 3), dtype=np.int32)
        positions = np.arange(NUM_POSITIONS, dtype=np.int32)[:, None] + np.int32(NUM_RELEVANCE)
        logits = relevance_weights[relevance].sum(axis=1) + position_weights
        if at_most_one:
            p = np.append(np.exp(logits), 1.0)
            labels = np.arange(NUM_ITEMS) == generator.choice(NUM_ITEMS + 1, p=p / p.sum())
        else:
            labels = generator.random(NUM_ITEMS) < 1 / (1 + np.exp(-logits))
        made.append((relevance, positions, labels))
    return made


def new_head(engine: Engine) -> ClickHead:
    return ClickHead(ClickHeadConfig(engine=engine), NUM_WEIGHTS)


@pytest.mark.parametrize("engine", get_args(Engine))
def test_progressive_predictions_beat_the_base_rate_and_are_calibrated(engine: Engine) -> None:
    head, both, relevance_alone = new_head(engine), ClickEvaluation(), ClickEvaluation()
    for number, (relevance, examination, labels) in enumerate(
        slates(1200, at_most_one=engine == "slate")
    ):
        if number >= 400:
            both.add(head.slate_probabilities(relevance, examination), labels)
            relevance_alone.add(head.slate_probabilities(relevance), labels)
        head.learn(relevance, examination, labels)
    report = both.report()
    assert report.ne is not None
    assert report.ne < 0.8
    assert report.calibration == pytest.approx(1.0, abs=0.05)
    assert report.auc is not None
    assert report.auc > 0.8
    without = relevance_alone.report()
    assert without.auc is not None
    assert 0.65 < without.auc < report.auc


@pytest.mark.parametrize("engine", get_args(Engine))
def test_ranking_ignores_position_altogether(engine: Engine) -> None:
    head = new_head(engine)
    for relevance, examination, labels in slates(50):
        head.learn(relevance, examination, labels)
    relevance, examination, _ = slates(1, seed=9)[0]
    served = head.logits(relevance)
    shown = head.logits(relevance, examination) - head.logits(relevance, examination[::-1])
    assert not np.allclose(shown, 0)
    assert head.logits(relevance).tolist() == served.tolist()


@pytest.mark.parametrize("engine", get_args(Engine))
def test_a_restored_learner_goes_on_bit_by_bit(engine: Engine) -> None:
    head = new_head(engine)
    tables = TableSet([head.table])
    seen = slates(40)
    for slate in seen[:25]:
        head.learn(*slate)
    again = new_head(engine)
    others = TableSet([again.table])
    others.restore(tables.snapshot())
    again.refresh()
    for slate in seen[25:]:
        for model in (head, again):
            model.learn(*slate)
        assert head.logits(slate[0], slate[1]).tolist() == again.logits(*slate[:2]).tolist()
    assert others.snapshot() == tables.snapshot()


@pytest.mark.parametrize("engine", get_args(Engine))
def test_a_replica_scores_like_the_learner_after_every_delta(engine: Engine) -> None:
    head, replica = new_head(engine), new_head(engine)
    learned, followed = TableSet([head.table]), TableSet([replica.table])
    for number, (relevance, examination, labels) in enumerate(slates(12)):
        head.learn(relevance, examination, labels)
        learned.advance(number + 1)
        followed.apply_delta(learned.take_delta().payload)
        learned.delta_acknowledged()
        replica.refresh()
        assert replica.logits(relevance).tolist() == head.logits(relevance).tolist()


def test_inverse_rate_weights_make_up_for_sampled_negatives() -> None:
    everything, sampled = new_head("ftrl"), new_head("ftrl")
    generator = np.random.default_rng(5)
    for relevance, examination, labels in slates(1500):
        everything.learn(relevance, examination, labels)
        kept = labels | (generator.random(NUM_ITEMS) < 0.25)
        weights = np.where(labels, 1.0, 4.0)[kept]
        sampled.learn(relevance[kept], examination[kept], labels[kept], weights)
    report = ClickEvaluation()
    for relevance, examination, labels in slates(1900)[1500:]:
        report.add(sampled.probabilities(relevance, examination), labels)
    assert report.report().calibration == pytest.approx(1.0, abs=0.08)


def test_learning_leaves_its_inputs_as_they_were_and_takes_empty_slates() -> None:
    head = new_head("ftrl")
    relevance, examination, labels = slates(1)[0]
    copies = [array.copy() for array in (relevance, examination, labels)]
    head.learn(relevance, examination, labels)
    for array, copy in zip((relevance, examination, labels), copies, strict=True):
        assert array.tolist() == copy.tolist()
    before = head.logits(relevance).tolist()
    head.learn(relevance[:0], examination[:0], labels[:0])
    assert head.logits(relevance).tolist() == before
    assert head.probabilities(relevance[:0]).tolist() == []


def test_evidence_is_about_the_number_of_clicks() -> None:
    head, clicks = new_head("ftrl"), 0
    for relevance, examination, labels in slates(1000):
        head.learn(relevance, examination, labels)
        clicks += int(labels.sum())
    assert 0.4 * clicks < head.evidence < clicks

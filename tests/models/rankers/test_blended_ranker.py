"""Trees and the online head as one ranker: what each adds, and the offset that puts p right."""

import numpy as np
import pytest

from models.rankers.blended_ranker import BlendConfig, BlendedRanker
from models.rankers.online_ranker import OnlineRanker
from models.rankers.xgboost_ranker import XgboostConfig, XgboostRanker
from tests.contracts.test_rankers import SHAPE, Slate, slates


def taught(made: list[Slate], config: BlendConfig | None = None) -> BlendedRanker:
    ranker = BlendedRanker.of(SHAPE, config or BlendConfig())
    for slate in made:
        ranker.learn(*slate)
    return ranker


def refreshed(ranker: BlendedRanker) -> BlendedRanker:
    trained = ranker.refresh()
    assert trained is not None
    return trained


def test_until_there_are_trees_the_head_ranks() -> None:
    made, (asked,) = list(slates(50)), slates(1, seed=3)
    online = OnlineRanker(SHAPE, "slate")
    for slate in made:
        online.learn(*slate)
    ranker = taught(made)
    said = ranker.predicted(asked.relevance, asked.examination)
    assert said.tolist() == online.predicted(asked.relevance, asked.examination).tolist()
    assert ranker.scores(asked.relevance).tolist() == online.scores(asked.relevance).tolist()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_it_orders_by_the_weighted_mean_of_both(share: float) -> None:
    made, (asked,) = list(slates(200)), slates(1, seed=3)
    trees, online = XgboostRanker(SHAPE, XgboostConfig()), OnlineRanker(SHAPE, "slate")
    for slate in made:
        trees.learn(*slate)
        online.learn(*slate)
    grown = trees.refresh()
    assert grown is not None
    ranker = refreshed(taught(made, BlendConfig(online_share=share)))
    expected = (1 - share) * grown.scores(asked.relevance) + share * online.scores(asked.relevance)
    np.testing.assert_allclose(ranker.scores(asked.relevance), expected)


def test_a_ranker_in_training_takes_over_what_is_learned_meanwhile() -> None:
    made, (asked,) = list(slates(250)), slates(1, seed=3)
    in_use = taught(made[:200])
    trained = refreshed(in_use)
    before = trained.scores(asked.relevance)
    for slate in made[200:]:
        in_use.learn(*slate)
    assert (trained.scores(asked.relevance) != before).any()
    # The log is shared as well: the next trees know of it.
    assert (refreshed(trained).scores(asked.relevance) != before).any()


def test_the_offset_learns_that_something_is_always_clicked() -> None:
    """The trees' small leaves alone leave a few per cent of chance that nothing is."""
    made = [one for one in slates(1500) if one.labels.any()]
    half = len(made) // 2
    ranker = refreshed(taught(made[:half], BlendConfig(online_share=0.0)))
    sums = []
    for slate in made[half:]:
        sums.append(ranker.predicted(slate.relevance, slate.examination).sum())
        ranker.learn(*slate)
    assert sums[0] < 0.99
    assert np.mean(sums) == pytest.approx(1.0, abs=0.02)
    assert np.mean(sums[-100:]) > 0.99


def test_the_offset_goes_on_in_a_ranker_in_training_and_in_what_is_saved() -> None:
    made, (asked,) = list(slates(250)), slates(1, seed=3)
    config = BlendConfig(online_share=0.0)
    in_use = refreshed(taught(made[:200], config))
    trained = refreshed(in_use)
    before = trained.predicted(asked.relevance, asked.examination)
    for slate in made[200:]:
        in_use.learn(*slate)
    after = trained.predicted(asked.relevance, asked.examination)
    assert (after != before).any()
    again = BlendedRanker.of(SHAPE, config)
    again.restore(trained.arrays())
    assert again.predicted(asked.relevance, asked.examination).tolist() == after.tolist()

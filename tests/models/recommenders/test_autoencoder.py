import numpy as np
import pytest

from models.recommenders.autoencoder import AutoencoderRecommender
from tests.models.histories import history_of
from tests.models.recommenders.planted import grouped_rows, names_of_best

_TRAINING = {"max_epochs": 30, "warm_up_steps": 10, "batch_size": 64, "averaging": 0.9}


def _fitted(*, half_life: float | None) -> AutoencoderRecommender:
    model = AutoencoderRecommender(
        half_life=half_life, network={"model_width": 16}, training=_TRAINING
    )
    rows = grouped_rows(num_users=400, num_groups=6, group_size=8)
    model_losses = [step.loss for step in model.fit(history_of(rows)) if step.loss is not None]
    assert model_losses[-1] < model_losses[0]
    return model


@pytest.fixture(scope="module")
def of_the_paper() -> AutoencoderRecommender:
    return _fitted(half_life=None)


def test_planted_groups_are_recovered_from_co_occurrence(
    of_the_paper: AutoencoderRecommender,
) -> None:
    model = of_the_paper
    for group in range(6):
        (scores,) = model.scores([model.sequence("new", [f"g{group}-0", f"g{group}-3"])])
        expected = {f"g{group}-{member}" for member in range(8)}
        assert names_of_best(model.item_ids, scores, 8) == expected


def test_the_papers_bag_knows_no_order_and_a_half_life_does(
    of_the_paper: AutoencoderRecommender,
) -> None:
    asked = ["g1-0", "g1-1", "g1-2", "g3-0"]
    both = [of_the_paper.sequence("new", asked), of_the_paper.sequence("new", asked[::-1])]
    forwards, backwards = of_the_paper.scores(both)
    np.testing.assert_allclose(forwards, backwards, rtol=1e-5, atol=1e-6)
    newest = _fitted(half_life=0.5)
    (scores,) = newest.scores([newest.sequence("new", asked)])
    assert names_of_best(newest.item_ids, scores, 8) == {f"g3-{member}" for member in range(8)}


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_share_that_leaves_nothing_is_refused(dropout: float) -> None:
    with pytest.raises(ValueError, match="below 1 expected"):
        AutoencoderRecommender(network={"dropout": dropout})

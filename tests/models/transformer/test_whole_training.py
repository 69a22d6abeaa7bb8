import numpy as np
import pytest
import torch
from torch.nn import functional

from models.history import History
from models.leave_one_out import leave_one_out, target_ranks, validation_ndcg
from models.recommender import FitProgress, Recommender
from models.recommenders.lstm import LstmRecommender
from models.recommenders.transformer import TransformerRecommender
from models.transformer.whole_training import keep_tangent
from tests.models.transformer.logs import history_of, planted_events

_NETWORK = {"length": 10, "num_user_buckets": 64}


@pytest.fixture(scope="module")
def planted() -> History:
    return history_of(planted_events(600, seed=1))


@pytest.mark.parametrize("model_class", [TransformerRecommender, LstmRecommender])
def test_a_planted_rule_is_learned_from_whole_histories(
    planted: History, model_class: type[TransformerRecommender] | type[LstmRecommender]
) -> None:
    split = leave_one_out(planted)
    model = model_class(network=_NETWORK, training={"max_epochs": 12, "max_batch_tokens": 128})
    progress = list(model.fit(split.training))
    ranks = target_ranks(model, split.test)
    assert (ranks == 1).mean() > 0.9
    assert progress[-1].loss is not None
    assert progress[0].loss == pytest.approx(np.log(60), abs=1)
    assert progress[-1].loss < 1.5
    assert (progress[-1].done, progress[-1].epoch) == (1, 12)


@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_golden_loss(planted: History, products: str) -> None:
    model = TransformerRecommender(
        network=_NETWORK, training={"max_epochs": 2, "products": products}
    )
    losses = [step.loss for step in model.fit(planted)]
    # Three decimals hold on any machine; a change of the model or of the batches moves them.
    assert losses[0] == pytest.approx(4.7875, abs=2e-3)
    assert losses[-1] == pytest.approx(4.6070, abs=2e-3)


def test_training_ends_when_validation_does_and_keeps_the_best_weights(planted: History) -> None:
    split = leave_one_out(planted)
    judged = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    scores_of_best: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []

    def validate(model: Recommender) -> float:
        found = next(judged)
        if found == 0.5:
            scores_of_best.append(model.scores([split.test[0].sequence]))
        return found

    model = TransformerRecommender(network=_NETWORK, training={"patience": 2})
    ends = [
        step for step in model.fit(split.training, validate=validate) if step.validation is not None
    ]
    assert [step.validation for step in ends] == [0.1, 0.5, 0.4, 0.3]
    np.testing.assert_array_equal(model.scores([split.test[0].sequence]), scores_of_best[0])


def test_judging_does_not_change_what_is_learned(planted: History) -> None:
    split = leave_one_out(planted)

    def losses(*, judges: bool) -> list[float | None]:
        model = TransformerRecommender(network=_NETWORK, training={"max_epochs": 2})

        def validate(model: Recommender) -> float:
            return validation_ndcg(model, split.validation[:20])

        steps: list[FitProgress] = list(
            model.fit(split.training, validate=validate if judges else None)
        )
        return [step.loss for step in steps]

    assert losses(judges=True) == losses(judges=False)


def test_hidden_users_change_nothing_and_shown_ones_do(planted: History) -> None:
    for share, same in ((1.0, True), (0.3, False)):
        model = TransformerRecommender(
            network={**_NETWORK, "user_dropout": share}, training={"max_epochs": 1}
        )
        for _ in model.fit(planted):
            pass
        first, second = (model.sequence(user, ["item-1"]) for user in ("1-1", "1-2"))
        assert np.array_equal(model.scores([first]), model.scores([second])) == same


def test_too_low_a_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="overflow"):
        TransformerRecommender(network={"temperature": 0.001})


def test_products_of_an_unknown_type_are_refused() -> None:
    with pytest.raises(ValueError, match="'float16'; one of fastest"):
        TransformerRecommender(training={"products": "float16"})


def test_the_gradient_of_unit_vectors_is_that_of_normalised_ones() -> None:
    torch.manual_seed(8)
    weights = torch.randn(20, 6)
    unit = functional.normalize(torch.randn(20, 6), dim=-1).requires_grad_()
    normalised = (functional.normalize(unit, dim=-1).exp() * weights).sum()
    (expected,) = torch.autograd.grad(normalised, unit)
    unit.grad = (unit.exp() * weights).detach()
    keep_tangent(unit)
    torch.testing.assert_close(unit.grad, expected)

import numpy as np
import numpy.typing as npt
import pytest

from models.factors import Factors, FoldIn, draws, unsureness

_NO_CONTEXT = np.zeros((0, 4), np.float32)


def _factors(num_items: int = 30, num_contexts: int = 0) -> Factors:
    generator = np.random.default_rng(2)
    return Factors(
        item_ND=generator.normal(0, 0.5, (num_items, 4)).astype(np.float32),
        bias_N=generator.normal(0, 0.1, num_items).astype(np.float32),
        context_CD=generator.normal(1, 0.3, (num_contexts, 4)).astype(np.float32),
    )


def _folded(
    factors: Factors, item_BS: list[list[int]], config: FoldIn | None = None
) -> npt.NDArray[np.float32]:
    items = np.array(item_BS)
    contexts = np.zeros((*items.shape, 0), np.int64)
    return factors.fold_in(items, contexts, config or FoldIn(), start=0.0, seed=1)


def test_scores_are_sums_of_products_of_all_modes() -> None:
    factors = _factors(num_contexts=5)
    user_D = np.array([0.5, -1.0, 2.0, 0.25], np.float32)
    (scores_N,) = factors.scores(user_D[None], np.array([[1, 4]]))
    expected = [
        factors.bias_N[item]
        + sum(
            user_D[d]
            * factors.item_ND[item, d]
            * factors.context_CD[1, d]
            * factors.context_CD[4, d]
            for d in range(4)
        )
        for item in range(30)
    ]
    np.testing.assert_allclose(scores_N, expected, rtol=1e-5)


def test_one_action_moves_a_user_by_one_step_of_bpr() -> None:
    factors = _factors(num_contexts=3)
    config = FoldIn(rate=0.5, regularisation=0.2, num_candidates=3)
    start, context_D = 0.7, factors.context_CD[2]
    (user_D,) = factors.fold_in(np.array([[5]]), np.array([[[2]]]), config, start=start, seed=1)
    drawn_K = draws(1, 1, np.arange(3), 30)
    scores_N = (start * context_D) @ factors.item_ND.T + factors.bias_N
    below = max(drawn_K.tolist(), key=lambda item: float(scores_N[item]))
    margin = scores_N[5] - scores_N[below]
    difference_D = factors.item_ND[5] - factors.item_ND[below]
    expected_D = start + 0.5 / (1 + np.exp(margin)) * difference_D * context_D
    np.testing.assert_allclose(user_D, expected_D, rtol=1e-5)


def test_steps_forget_at_the_rate_of_the_regularisation() -> None:
    factors = _factors(num_items=1)
    config = FoldIn(rate=0.5, regularisation=0.2)
    moved_D = np.array([[0.3, 0.1, 0.0, -0.2]], np.float32)
    factors.item_ND[0] = moved_D[0]
    # With one item there is nothing to rank below, so that forgetting is all that happens.
    np.testing.assert_array_equal(_folded(factors, [[0, 0]], config), np.zeros((1, 4)))


def test_items_like_the_sequences_rank_first() -> None:
    item_ND = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    factors = Factors(item_ND=item_ND, bias_N=np.zeros(40, np.float32), context_CD=_NO_CONTEXT)
    user_BD = _folded(factors, [[0, 1, 2], [10, 11, 12]])
    scores_BN = factors.scores(user_BD, np.zeros((2, 0), np.int64))
    assert set(np.argsort(-scores_BN[0])[:10].tolist()) == set(range(10))
    assert set(np.argsort(-scores_BN[1])[:10].tolist()) == set(range(10, 20))


def test_newer_actions_weigh_more_than_older_ones() -> None:
    item_ND = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    factors = Factors(item_ND=item_ND, bias_N=np.zeros(40, np.float32), context_CD=_NO_CONTEXT)
    turned = [0, 1, 2, 3, 10, 11, 12, 13]
    user_BD = _folded(factors, [turned, turned[::-1]], FoldIn(regularisation=0.3))
    assert user_BD[0, 1] > user_BD[0, 0] + 0.1
    assert user_BD[1, 0] > user_BD[1, 1] + 0.1


def test_a_sequence_is_folded_in_alike_beside_longer_ones() -> None:
    factors = _factors()
    alone = _folded(factors, [[3, 7]])
    beside = _folded(factors, [[-1, -1, -1, 3, 7], [1, 2, 3, 4, 5]])
    np.testing.assert_allclose(beside[:1], alone, rtol=1e-6)


def test_nobody_keeps_the_start() -> None:
    user_BD = _factors().fold_in(
        np.full((2, 3), -1), np.zeros((2, 3, 0), np.int64), FoldIn(), start=0.4, seed=1
    )
    np.testing.assert_array_equal(user_BD, np.full((2, 4), 0.4, np.float32))


def test_who_has_seen_everything_is_not_pushed_away_from_anything() -> None:
    factors = _factors(num_items=3)
    np.testing.assert_array_equal(_folded(factors, [[0, 1, 2, 0]]), np.zeros((1, 4)))


def test_draws_are_even_and_never_change() -> None:
    drawn_Z = draws(7, 3, np.arange(100_000), 10)
    np.testing.assert_allclose(np.bincount(drawn_Z, minlength=10), 10_000, rtol=0.05)
    assert draws(7, 3, np.arange(6), 1000).tolist() == [937, 568, 7, 704, 769, 354]
    assert (draws(7, 2, np.arange(100), 1000) != draws(7, 3, np.arange(100), 1000)).any()
    assert (draws(8, 3, np.arange(100), 1000) != draws(7, 3, np.arange(100), 1000)).any()


def test_unsureness_keeps_the_type() -> None:
    assert unsureness(np.array([200.0, -200.0], np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"num_candidates": 0}, {"num_recent": 0}, {"regularisation": 1.0}]
)
def test_what_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FoldIn(**wrong)  # type: ignore[arg-type]

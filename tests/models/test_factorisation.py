from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from models.factorisation import UNTOLD, Factorisation, FactorisationConfig
from models.online.tables import DeltaOutcome, TableSet

_NUM_ITEMS = 20
_SIZES = (3, 2)


def _new(
    *,
    context_sizes: tuple[int, ...] = (),
    num_factors: int = 4,
    num_candidates: int = 4,
    rate: float = 0.05,
    regularisation: float = 0.0,
    user_start: float = 0.5,
    num_user_buckets: int = 64,
    seed: int = 1,
) -> Factorisation:
    learned = Factorisation(
        FactorisationConfig(
            num_factors=num_factors,
            num_candidates=num_candidates,
            num_user_buckets=num_user_buckets,
            rate=rate,
            regularisation=regularisation,
            user_start=user_start,
        ),
        seed=seed,
        context_sizes=context_sizes,
    )
    learned.grow(_NUM_ITEMS)
    return learned


def _users(*numbers: int) -> npt.NDArray[np.uint64]:
    return np.array(numbers, np.uint64)


def _margin(
    learned: Factorisation, user: int, above: int, below: int, contexts: tuple[int, ...]
) -> float:
    rows = learned.context_rows(np.array([contexts], np.int64).reshape(1, -1))
    scores_N = learned.factors.scores(learned.user_factors(_users(user)), rows)[0]
    return float(scores_N[above] - scores_N[below])


def _all_cells(learned: Factorisation) -> npt.NDArray[np.float64]:
    columns = [column for table in learned.tables for column in table.columns.values()]
    return np.concatenate([column.values.ravel().astype(np.float64) for column in columns[:-1]])


@pytest.mark.parametrize("contexts", [(), (2, 1)])
def test_a_step_climbs_the_likelihood_along_its_gradient(contexts: tuple[int, ...]) -> None:
    learned = _new(context_sizes=_SIZES[: len(contexts)], rate=1e-3)
    before, margin = _all_cells(learned), _margin(learned, 5, 3, 9, contexts)
    (loss,) = learned.learn(
        _users(5), np.array([3]), np.array([[9]]), np.array([contexts], np.int64).reshape(1, -1)
    )
    assert loss == pytest.approx(np.log1p(np.exp(-margin)))
    step = (_all_cells(learned) - before) / 1e-3
    # To first order the margin grows by rate times |its gradient|^2 sigma(-margin); any other
    # direction of a step of this length gains less.
    pull = 1 / (1 + np.exp(margin))
    gained = (_margin(learned, 5, 3, 9, contexts) - margin) / 1e-3
    assert gained == pytest.approx((step @ step) / pull, rel=1e-2)
    assert np.count_nonzero(step) == 4 * (3 + len(contexts)) + 2


def test_what_is_untold_of_a_context_is_one_for_good() -> None:
    learned = _new(context_sizes=_SIZES)
    begun = learned.factors.context_CD.copy()
    contexts = np.array([[2, UNTOLD], [2, UNTOLD], [UNTOLD, UNTOLD]])
    for _ in range(5):
        learned.learn(_users(5, 6, 7), np.array([3, 4, 5]), np.array([[9], [9], [9]]), contexts)
    moved = (learned.factors.context_CD != begun).any(1)
    assert np.flatnonzero(moved).tolist() == [2]
    assert (learned.factors.context_CD[-1] == 1).all()
    # The user's and the item's factors alone.
    scores_N = learned.user_factors(_users(7))[0] @ learned.factors.item_ND.T
    expected = scores_N + learned.factors.bias_N
    assert _margin(learned, 7, 3, 9, (UNTOLD, UNTOLD)) == pytest.approx(expected[3] - expected[9])


def test_steps_of_one_call_are_the_sum_of_what_each_would_be_alone() -> None:
    user_B, item_B = _users(1, 1, 2), np.array([3, 4, 3])
    candidate_BK = np.array([[7], [3], [7]])
    together = _new(regularisation=0.1)
    start = _all_cells(together)
    together.learn(user_B, item_B, candidate_BK)
    alone = []
    for place in range(3):
        one, learned = slice(place, place + 1), _new(regularisation=0.1)
        learned.learn(user_B[one], item_B[one], candidate_BK[one])
        alone.append(_all_cells(learned) - start)
    np.testing.assert_allclose(_all_cells(together) - start, sum(alone), atol=1e-6)


def test_the_highest_scored_candidate_is_ranked_below() -> None:
    learned = _new()
    scores_N = learned.factors.scores(learned.user_factors(_users(1)), np.zeros((1, 0), np.int64))[
        0
    ]
    drawn = np.array([[2, 11, 6, -1]])
    highest = max((2, 11, 6), key=lambda item: float(scores_N[item]))
    learned.learn(_users(1), np.array([0]), drawn)
    assert np.flatnonzero(learned.factors.bias_N).tolist() == sorted((0, highest))
    assert learned.factors.bias_N[highest] < 0 < learned.factors.bias_N[0]


def test_without_a_candidate_nothing_is_learned() -> None:
    learned = _new(regularisation=0.1)
    before = _all_cells(learned)
    losses = learned.learn(_users(1, 2), np.array([3, 4]), np.array([[-1, -1], [4, -1]]))
    assert len(losses) == 0
    np.testing.assert_array_equal(_all_cells(learned), before)


def test_regularisation_pulls_towards_where_everything_began() -> None:
    free, pulled = _new(context_sizes=(3,)), _new(context_sizes=(3,), regularisation=2.0)
    for learned in (free, pulled):
        for _ in range(100):
            learned.learn(_users(1), np.array([3]), np.array([[9]]), np.array([[1]]))
    user = [abs(learned.user_factors(_users(1)) - 0.5).sum() for learned in (free, pulled)]
    context = [abs(learned.factors.context_CD[1] - 1).sum() for learned in (free, pulled)]
    item = [abs(learned.factors.item_ND[3]).sum() for learned in (free, pulled)]
    for without, with_pull in (user, context, item):
        assert 0 < with_pull < 0.5 * without


def test_candidates_are_a_function_of_the_events_number() -> None:
    whole, parts = _new(), _new()
    drawn = whole.candidates(5)
    events = (_users(1, 2, 3), np.array([1, 2, 3]), parts.candidates(3))
    parts.learn(*events)
    np.testing.assert_array_equal(np.r_[events[2], parts.candidates(2)], drawn)
    assert drawn.min() >= 0
    assert drawn.max() < _NUM_ITEMS


def _log(tastes: list[range], num_users: int = 6, repeats: int = 60) -> Iterator[tuple[int, int]]:
    """Users who follow these tastes one after the other."""
    generator = np.random.default_rng(4)
    for taste in tastes:
        for _ in range(repeats):
            for user in range(num_users):
                yield user, int(generator.choice(taste))


def _taught(log: Iterator[tuple[int, int]]) -> Factorisation:
    learned = _new(user_start=0.0, regularisation=0.01, rate=0.3, num_candidates=1)
    for user, item in log:
        learned.learn(_users(user), np.array([item]), learned.candidates(1))
    return learned


def _mean_score(learned: Factorisation, user: int, items: range) -> float:
    factors_BD = learned.user_factors(_users(user))
    return float(learned.factors.scores(factors_BD, np.zeros((1, 0), np.int64))[0, items].mean())


def test_newer_taste_wins_over_the_older() -> None:
    first, second = range(6), range(10, 16)
    for tastes in ([first, second], [second, first]):
        learned = _taught(_log(tastes))
        for user in range(6):
            assert _mean_score(learned, user, tastes[1]) > _mean_score(learned, user, tastes[0]) + 1


def test_tastes_are_each_users_own() -> None:
    generator = np.random.default_rng(1)
    log = [
        (user, int(generator.integers(10)) + 10 * (user % 2))
        for _ in range(150)
        for user in range(8)
    ]
    learned = _taught(iter(log))
    for user in range(8):
        own, other = (range(start, start + 10) for start in (10 * (user % 2), 10 - 10 * (user % 2)))
        assert _mean_score(learned, user, own) > _mean_score(learned, user, other) + 1


def test_replica_with_every_delta_equals_the_learner() -> None:
    learner, replica = (_new(context_sizes=_SIZES, num_user_buckets=8) for _ in range(2))
    learning, serving = TableSet(learner.tables), TableSet(replica.tables)
    for offset in range(1, 4):
        users = _users(offset, 5)
        learner.learn(
            users, np.array([offset, 7]), learner.candidates(2), np.array([[1, 0], [2, 1]])
        )
        if offset == 2:
            learner.grow(_NUM_ITEMS + 3)
            learner.drop(np.array([7]))
        learning.advance(offset)
        assert serving.apply_delta(learning.take_delta().payload) is DeltaOutcome.APPLIED
        learning.delta_acknowledged()
    assert serving.snapshot() == learning.snapshot()
    np.testing.assert_array_equal(replica.factors.item_ND, learner.factors.item_ND)


def test_tables_of_other_seeds_contexts_or_buckets_are_not_exchanged() -> None:
    schemas = [
        str([table.schema() for table in learned.tables])
        for learned in (
            _new(),
            _new(seed=2),
            _new(context_sizes=(3,)),
            _new(num_user_buckets=32),
        )
    ]
    assert len(set(schemas)) == 4


def test_dropped_items_begin_anew() -> None:
    learned, fresh = _new(), _new()
    for _ in range(5):
        learned.learn(_users(1), np.array([3]), np.array([[9]]))
    learned.drop(np.array([3]))
    np.testing.assert_array_equal(learned.factors.item_ND[3], fresh.factors.item_ND[3])
    assert learned.factors.bias_N[3] == 0
    assert learned.factors.bias_N[9] < 0


def test_a_context_that_a_whole_call_shares_does_not_overshoot() -> None:
    learned = _new(context_sizes=(2,), rate=0.4, num_candidates=2)
    generator = np.random.default_rng(1)
    for _ in range(300):
        # All are of one hour, as in a live log.
        learned.learn(
            generator.integers(0, 2**63, 256).astype(np.uint64),
            generator.integers(0, 5, 256),
            learned.candidates(256),
            np.zeros((256, 1), np.int64),
        )
    assert np.isfinite(_all_cells(learned)).all()
    assert abs(learned.factors.context_CD).max() < 100


def test_users_share_a_bounded_number_of_rows() -> None:
    learned = _new(num_user_buckets=8)
    learned.learn(_users(3), np.array([3]), np.array([[9]]))
    np.testing.assert_array_equal(learned.user_factors(_users(3)), learned.user_factors(_users(11)))
    assert (learned.user_factors(_users(3)) != learned.user_factors(_users(4))).all()
    learned.learn(_users(2**63), np.array([3]), np.array([[9]]))
    assert learned.tables[1].num_rows == 8


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"num_factors": 0}, {"num_candidates": 0}, {"regularisation": 20.0}]
)
def test_what_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FactorisationConfig(**wrong)  # type: ignore[arg-type]

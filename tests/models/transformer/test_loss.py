import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.transformer.counters import CounterInputs
from models.transformer.loss import Candidates, competition, draw_candidates, item_loss

_NUM_ITEMS, _NUM_POSITIONS, _WIDTH = 40, 600, 8


def _counters(generator: np.random.Generator) -> CounterInputs:
    shape = (_NUM_POSITIONS, 5)
    listed = np.stack([generator.permutation(_NUM_ITEMS + 3)[:5] for _ in range(_NUM_POSITIONS)])
    return CounterInputs(
        popularity_TN=generator.normal(size=(3, _NUM_ITEMS)).astype(np.float32),
        snapshot_P=generator.integers(0, 3, _NUM_POSITIONS),
        item_PK=np.where(generator.random(shape) < 0.2, -1, listed),
        lift_PK=generator.normal(size=shape).astype(np.float32),
    )


def _plain_loss(
    logits_PN: Tensor,
    weight_P3: Tensor,
    target_P: np.ndarray[tuple[int], np.dtype[np.int64]],
    counters: CounterInputs,
    candidates: Candidates,
    seen: list[set[int]],
) -> Tensor:
    """The same loss, one position after the other."""
    losses = []
    for position, target in enumerate(target_P.tolist()):
        popularity = torch.from_numpy(counters.popularity_TN[counters.snapshot_P[position]])
        logits = logits_PN[position] + weight_P3[position, 0] * popularity
        for item, lift in zip(
            counters.item_PK[position].tolist(), counters.lift_PK[position].tolist(), strict=True
        ):
            if 0 <= item < _NUM_ITEMS:
                extra = weight_P3[position, 1] * lift + weight_P3[position, 2]
                logits = logits + extra * functional.one_hot(torch.tensor(item), _NUM_ITEMS)
        others = [
            logits[item] - float(log_probability)
            for item, log_probability in zip(
                candidates.items_C.tolist(), candidates.log_probability_C, strict=True
            )
            if item != target and item not in seen[position]
        ]
        losses.append(torch.logsumexp(torch.stack([logits[target], *others]), 0) - logits[target])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("max_full", [100, 10])
def test_fused_loss_and_gradients_equal_the_plain_ones(max_full: int) -> None:
    generator = np.random.default_rng(3)
    torch.manual_seed(3)
    target_P = generator.integers(0, _NUM_ITEMS, _NUM_POSITIONS)
    seen_PL = generator.integers(-1, _NUM_ITEMS, (_NUM_POSITIONS, 2))
    seen_PL[seen_PL == target_P[:, None]] = -1
    counters = _counters(generator)
    candidates = draw_candidates(
        np.ones(_NUM_ITEMS), generator, num_negatives=30, max_full=max_full
    )
    query = torch.randn(_NUM_POSITIONS, _WIDTH, requires_grad=True)
    weight = torch.randn(_NUM_POSITIONS, 3, requires_grad=True)
    items = torch.randn(_NUM_ITEMS, _WIDTH, requires_grad=True)
    leaves = (query, weight, items)
    fused = item_loss(
        query,
        weight,
        items[torch.from_numpy(target_P)],
        items[torch.from_numpy(candidates.items_C)],
        competition(target_P, candidates, counters, seen_PL, num_items=_NUM_ITEMS),
    )
    plain = _plain_loss(
        query @ items.T,
        weight,
        target_P,
        counters,
        candidates,
        [set(row) for row in seen_PL.tolist()],
    )
    assert fused.item() == pytest.approx(plain.item(), rel=1e-5)
    # A factor, since losses are added up before they are differentiated.
    of_fused = torch.autograd.grad(3 * fused, leaves)
    of_plain = torch.autograd.grad(3 * plain, leaves)
    for mine, reference in zip(of_fused, of_plain, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-7)


def test_small_catalogue_is_taken_whole() -> None:
    candidates = draw_candidates(np.ones(7), np.random.default_rng(0), num_negatives=2, max_full=7)
    assert candidates.items_C.tolist() == list(range(7))
    assert not candidates.log_probability_C.any()


def test_sampled_partition_function_is_unbiased() -> None:
    generator = np.random.default_rng(5)
    popularity = generator.exponential(size=500) ** 4
    logits = generator.normal(size=500)
    sampled = []
    for _ in range(3000):
        drawn = draw_candidates(popularity, generator, num_negatives=80, max_full=10)
        assert len(set(drawn.items_C.tolist())) == len(drawn.items_C)
        sampled.append(np.exp(logits[drawn.items_C] - drawn.log_probability_C).sum())
    error = np.std(sampled) / np.sqrt(len(sampled))
    assert abs(np.mean(sampled) - np.exp(logits).sum()) < 4 * error
    assert error < 0.01 * np.exp(logits).sum()

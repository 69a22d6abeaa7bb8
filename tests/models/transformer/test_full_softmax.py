import numpy as np
import pytest
import torch
from torch.nn import functional

from models.transformer.counters import empty_counters
from models.transformer.full_softmax import full_softmax_loss
from models.transformer.loss import competition, draw_candidates, item_loss

_NUM_ITEMS, _NUM_POSITIONS, _WIDTH = 40, 600, 8


def test_loss_and_gradients_equal_those_of_the_loss_with_counters() -> None:
    generator = np.random.default_rng(3)
    torch.manual_seed(3)
    target_P = generator.integers(0, _NUM_ITEMS, _NUM_POSITIONS)
    seen_PL = generator.integers(-1, _NUM_ITEMS, (_NUM_POSITIONS, 4))
    seen_PL[seen_PL == target_P[:, None]] = -1
    query = (7 * functional.normalize(torch.randn(_NUM_POSITIONS, _WIDTH), dim=-1)).requires_grad_()
    items = functional.normalize(torch.randn(_NUM_ITEMS, _WIDTH), dim=-1).requires_grad_()
    fast = full_softmax_loss(query, items, torch.from_numpy(target_P), seen_PL)
    candidates = draw_candidates(np.ones(_NUM_ITEMS), generator, num_negatives=1, max_full=100)
    plain = item_loss(
        query,
        torch.zeros(_NUM_POSITIONS, 3),
        items[torch.from_numpy(target_P)],
        items,
        competition(
            target_P,
            candidates,
            empty_counters(_NUM_POSITIONS, _NUM_ITEMS),
            seen_PL,
            num_items=_NUM_ITEMS,
        ),
    )
    assert fast.item() == pytest.approx(plain.item(), rel=1e-5)
    of_fast = torch.autograd.grad(3 * fast, (query, items))
    of_plain = torch.autograd.grad(3 * plain, (query, items))
    for mine, reference in zip(of_fast, of_plain, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-7)


def test_longest_allowed_queries_do_not_overflow() -> None:
    items = functional.normalize(torch.randn(5, 3), dim=-1)
    query = (80 * items).requires_grad_()
    loss = full_softmax_loss(query, items, torch.arange(5), np.full((5, 1), -1))
    (gradient,) = torch.autograd.grad(loss, query)
    assert torch.isfinite(gradient).all()
    assert 0 <= loss.item() < 1

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
    rows = functional.normalize(torch.randn(_NUM_ITEMS + 1, _WIDTH), dim=-1).requires_grad_()
    items = rows[1:]
    fast = full_softmax_loss(query, rows, torch.from_numpy(target_P), torch.from_numpy(seen_PL))
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
    of_fast = torch.autograd.grad(3 * fast, (query, rows))
    of_plain = torch.autograd.grad(3 * plain, (query, rows))
    for mine, reference in zip(of_fast, of_plain, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-7)


def test_rounded_products_err_by_less_than_a_hundredth() -> None:
    torch.manual_seed(6)
    rows = functional.normalize(torch.randn(500, 64), dim=-1).requires_grad_()
    target_P = torch.randint(499, (_NUM_POSITIONS,))
    near = rows[target_P + 1].detach() + 0.3 * torch.randn(_NUM_POSITIONS, 64)
    query = (20 * functional.normalize(near, dim=-1)).requires_grad_()
    seen_PL = torch.randint(-1, 499, (_NUM_POSITIONS, 9))
    seen_PL[seen_PL == target_P[:, None]] = -1

    def loss_and_gradients(product_type: torch.dtype) -> list[torch.Tensor]:
        loss = full_softmax_loss(query, rows, target_P, seen_PL, product_type=product_type)
        return [loss.detach(), *torch.autograd.grad(loss, (query, rows))]

    exact = loss_and_gradients(torch.float32)
    assert exact[0] > 0.5
    for rounded, reference in zip(loss_and_gradients(torch.bfloat16), exact, strict=True):
        assert rounded.dtype == torch.float32
        error = ((rounded - reference).norm() / reference.norm()).item()
        assert 0 < error < 0.01


@pytest.mark.parametrize("product_type", [torch.float32, torch.bfloat16])
def test_longest_allowed_queries_do_not_overflow(product_type: torch.dtype) -> None:
    torch.manual_seed(7)
    rows = functional.normalize(torch.randn(6, 3), dim=-1)
    query = (80 * rows[1:]).requires_grad_()
    none_PL = torch.full((5, 1), -1)
    loss = full_softmax_loss(query, rows, torch.arange(5), none_PL, product_type=product_type)
    (gradient,) = torch.autograd.grad(loss, query)
    assert torch.isfinite(gradient).all()
    # bfloat16 holds an exponent of 80 to within 0.2.
    assert -0.2 < loss.item() < 1

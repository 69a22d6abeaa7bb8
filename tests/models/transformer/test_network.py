import numpy as np
import pytest
import torch
from torch import Tensor

from models.transformer.network import MaskPool, Network, NetworkConfig

_CONFIG = NetworkConfig(length=12, num_user_buckets=16)


def _network() -> Network:
    torch.manual_seed(1)
    network = Network(_CONFIG)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.eval()


def _tokens(num: int, length: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {
        "item_BLI": torch.randn(num, length, _CONFIG.item_width, generator=generator),
        "action_BL": torch.randint(0, 33, (num, length), generator=generator),
        "gap_BL": torch.randint(0, 42, (num, length), generator=generator),
        "time_BL": torch.randint(0, 900, (num, length), generator=generator).cumsum(1).float(),
        "user_B": torch.randint(0, 16, (num,), generator=generator),
    }


def _encode(network: Network, tokens: dict[str, Tensor], hidden: Tensor | None = None) -> Tensor:
    return network.encode(
        tokens["item_BLI"],
        tokens["action_BL"],
        tokens["gap_BL"],
        tokens["time_BL"],
        tokens["user_B"],
        hidden_user_B=hidden,
    )


@pytest.mark.parametrize("changed", range(1, 12))
@torch.inference_mode()
def test_a_later_action_never_changes_an_earlier_state(changed: int) -> None:
    network, tokens = _network(), _tokens(3, 12)
    before = _encode(network, tokens)
    tokens["item_BLI"][:, changed:] = 7
    tokens["action_BL"][:, changed:] = 5
    tokens["gap_BL"][:, changed:] = 3
    tokens["time_BL"][:, changed:] += 4000
    after = _encode(network, tokens)
    torch.testing.assert_close(before[:, :changed], after[:, :changed], rtol=0, atol=0)
    assert not torch.allclose(before[:, changed:], after[:, changed:])


@torch.inference_mode()
def test_padding_changes_nothing() -> None:
    network, tokens = _network(), _tokens(3, 12)
    padded = _encode(network, tokens)
    cut = {name: value[:, :5] if value.ndim > 1 else value for name, value in tokens.items()}
    torch.testing.assert_close(padded[:, :5], _encode(network, cut), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_hidden_user_is_like_any_other() -> None:
    network, tokens = _network(), _tokens(2, 4)
    everyone = torch.ones(2, dtype=torch.bool)
    first = _encode(network, tokens, everyone)
    tokens["user_B"] = (tokens["user_B"] + 1) % 16
    torch.testing.assert_close(first, _encode(network, tokens, everyone))
    assert not torch.allclose(first, _encode(network, tokens))


@torch.inference_mode()
def test_untrained_network_leaves_the_order_to_the_counters() -> None:
    torch.manual_seed(1)
    network = Network(_CONFIG)
    state = torch.randn(4, _CONFIG.model_width)
    query, weight = network.queries(state, torch.zeros(4).long(), torch.ones(4).long())
    assert weight.tolist() == [[1.0, 1.0, 0.0]] * 4
    trust = query.norm(dim=1) * _CONFIG.temperature
    np.testing.assert_allclose(trust, torch.sigmoid(torch.tensor(-2.0)), rtol=1e-5)


def test_masks_drop_the_stated_share_and_keep_the_mean() -> None:
    pool = MaskPool(0.25, torch.Generator().manual_seed(0), size=4096)
    masked = pool.apply(torch.ones(300, 300))
    assert float((masked == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(masked.mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(MaskPool(0, torch.Generator()).apply(masked), masked)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_heads"):
        NetworkConfig(model_width=64, num_heads=5)
    with pytest.raises(ValueError, match="at least 2"):
        NetworkConfig(length=1)

import torch

from models.transformer.network import MaskPool
from models.transformer.recurrent import RecurrentConfig, RecurrentNetwork

_CONFIG = RecurrentConfig(length=12, num_user_buckets=16, state_width=24, num_blocks=1)


def _states(
    network: RecurrentNetwork, items: torch.Tensor, masks: MaskPool | None = None
) -> torch.Tensor:
    num, length, _ = items.shape
    return network.encode(
        items,
        torch.ones(num, length).long(),
        torch.zeros(num, length).long(),
        None,
        torch.zeros(num).long(),
        masks,
    )


@torch.inference_mode()
def test_states_depend_on_no_later_token() -> None:
    torch.manual_seed(1)
    network = RecurrentNetwork(_CONFIG).eval()
    items = torch.randn(2, 9, _CONFIG.item_width)
    changed = items.clone()
    changed[:, 5:] += 1
    before, after = _states(network, items), _states(network, changed)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@torch.inference_mode()
def test_masks_act_in_training_alone() -> None:
    torch.manual_seed(1)
    network = RecurrentNetwork(_CONFIG)
    items = torch.randn(2, 9, _CONFIG.item_width)
    masks = MaskPool(0.5, torch.Generator().manual_seed(0))
    assert torch.equal(_states(network, items), _states(network, items))
    assert not torch.allclose(_states(network, items), _states(network, items, masks))

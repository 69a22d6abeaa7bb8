from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.encoder import SequenceEncoder
from models.encoder_inputs import ActionSequence, EncoderInputs, hash_user, user_buckets
from models.side_features import NO_SIDE, SideFeatures, context_rows
from models.transformer.bundling import Provenance, write_state
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState
from models.transformer.windows import gather, training_sequences
from tests.models.transformer.logs import history_of, planted_events

_TARGET_ACTION = 1


def _key(item_id: str) -> int:
    return 1 + int(item_id.removeprefix("item-"))


def _random_state(
    config: NetworkConfig, item_ids: list[str], side: SideFeatures = NO_SIDE
) -> TrainingState:
    state = TrainingState(config, item_ids, seed=1, learning_rate=0.01, side=side)
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in state.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        if state.network.contexts is not None:
            # Training leaves the vectors of what is untold at 0.
            state.network.contexts.vectors[:: 1 + side.num_context_codes] = 0
    state.network.eval()
    return state


def _encoder(folder: Path, state: TrainingState) -> SequenceEncoder:
    provenance = Provenance(created_ms=1, cutoff_offset=2, cutoff_ms=3, metrics={})
    write_state(folder, state, provenance, target_action=_TARGET_ACTION)
    return SequenceEncoder.load(folder, key_of=_key)


@torch.inference_mode()
def _by_torch(
    state: TrainingState, inputs: EncoderInputs, contexts: list[tuple[int, ...]]
) -> list[np.ndarray]:
    network = state.network
    vectors = functional.normalize(state.items.vectors, dim=-1)
    hidden = network.encode(
        vectors[torch.from_numpy(inputs.item_BL)],
        torch.from_numpy(inputs.action_BL),
        torch.from_numpy(inputs.gap_BL),
        torch.from_numpy(inputs.time_BL),
        torch.from_numpy(user_buckets(inputs.user_B, network.config.num_user_buckets)),
    )
    last = hidden[torch.arange(len(hidden)), torch.from_numpy(inputs.length_B) - 1]
    gap = torch.from_numpy(inputs.request_gap_B)
    told = torch.from_numpy(context_rows(contexts, network.side))
    query, weight = network.queries(last, gap, torch.full_like(gap, _TARGET_ACTION), told)
    chance = network.action_logits(last, gap, told).softmax(-1)
    return [query.numpy(), weight.numpy(), chance.numpy()]


@pytest.mark.parametrize("side", [NO_SIDE, SideFeatures(context=("device", "plan"))])
@pytest.mark.parametrize(
    ("num_blocks", "num_heads", "length", "num_actions"),
    [(2, 2, 50, 80), (1, 4, 8, 8), (3, 1, 2, 5), (2, 2, 50, 0)],
)
def test_graph_equals_the_network(
    tmp_path: Path,
    num_blocks: int,
    num_heads: int,
    length: int,
    num_actions: int,
    side: SideFeatures,
) -> None:
    config = NetworkConfig(
        length=length, num_blocks=num_blocks, num_heads=num_heads, num_user_buckets=32
    )
    state = _random_state(config, [f"item-{number}" for number in range(30)], side)
    encoder = _encoder(tmp_path / "bundle", state)
    generator = np.random.default_rng(6)
    batch = []
    for user in range(17):
        num = int(generator.integers(0, num_actions + 1))
        batch.append(
            ActionSequence(
                # Keys up to 36: some items are unknown to the bundle, 0 is none.
                keys=generator.integers(0, 37, num).astype(np.uint64),
                actions=generator.integers(0, 50, num).astype(np.uint8),
                times_s=1_700_000_000 + generator.integers(0, 90_000, num).cumsum(),
                user=hash_user(str(user)),
                request_gap_s=int(generator.integers(0, 5000)),
                contexts=tuple(generator.integers(0, 65, len(side.context)).tolist()),
            )
        )
    inputs, contexts = encoder.inputs(batch), [sequence.contexts for sequence in batch]
    expected = _by_torch(state, inputs, contexts)
    for mine, reference in zip(encoder.run(inputs, contexts), expected, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-5, atol=1e-5)
    encoded = encoder.encode(batch)
    np.testing.assert_allclose(encoded.query_BI, expected[0], rtol=1e-4, atol=1e-4)


def test_serving_sees_what_training_saw(tmp_path: Path) -> None:
    history = history_of(planted_events(40, seed=1))
    state = _random_state(NetworkConfig(length=10, num_user_buckets=32), history.item_ids)
    encoder = _encoder(tmp_path / "bundle", state)
    users = np.unique(history.users)
    # Every user's last action as the target: serving gets what came before it.
    rows = [np.flatnonzero(history.users == user) for user in users]
    sequences = training_sequences(history, from_row=0, to_row=history.end_row, length=10)
    batch = gather(history, sequences)
    served = encoder.inputs(
        [
            ActionSequence(
                keys=np.array(
                    [_key(history.item_ids[i]) for i in history.items[r[:-1]]], np.uint64
                ),
                actions=history.actions[r[:-1]],
                times_s=history.times_s[r[:-1]].astype(np.int64),
                user=int(user),
            )
            for user, r in zip(users, rows, strict=True)
        ]
    )
    place = {int(user): index for index, user in enumerate(batch.inputs.user_B)}
    order = [place[int(user)] for user in users]
    trained = batch.inputs
    # With length 10 each of these users (6 actions) is one or two sequences; the last one counts.
    length = served.item_BL.shape[1]
    for name in ("item_BL", "action_BL", "gap_BL", "time_BL"):
        np.testing.assert_array_equal(
            getattr(trained, name)[order][:, :length], getattr(served, name), err_msg=name
        )
    np.testing.assert_array_equal(trained.length_B[order], served.length_B)

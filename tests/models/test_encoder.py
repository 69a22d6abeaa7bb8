import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import (
    BundleConfig,
    BundleRefused,
    load_bundle,
    write_bundle,
)
from models.encoder import SequenceEncoder, side_read_by
from models.encoder_inputs import NO_GAP, START_ACTION, ActionSequence
from models.side_features import NO_SIDE, SideFeatures
from models.transformer.bundling import Provenance, write_state
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState

_ITEMS = ["a", "b", "c"]
_LENGTH = 6


def _key(item_id: str) -> int:
    return ord(item_id)


def _sequence(items: str, *, user: int = 1, gap_s: int = 0, step_s: int = 10) -> ActionSequence:
    return ActionSequence(
        keys=np.array([ord(item) for item in items], np.uint64),
        actions=np.ones(len(items), np.uint8),
        times_s=1_700_000_000 + step_s * np.arange(len(items)),
        user=user,
        request_gap_s=gap_s,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = NetworkConfig(length=_LENGTH, num_user_buckets=8)
    state = TrainingState(config, _ITEMS, seed=1, learning_rate=0.01)
    path = tmp_path_factory.mktemp("bundles") / "b"
    provenance = Provenance(created_ms=1, cutoff_offset=1, cutoff_ms=1, metrics={})
    write_state(path, state, provenance, target_action=1)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SequenceEncoder:
    return SequenceEncoder.load(folder, key_of=_key)


def test_short_history_begins_with_the_start_token_and_long_one_is_cut(
    encoder: SequenceEncoder,
) -> None:
    inputs = encoder.inputs([_sequence(""), _sequence("ab"), _sequence("cabcabca")])
    assert inputs.length_B.tolist() == [1, 3, _LENGTH]
    assert inputs.item_BL[1, :3].tolist() == [0, 1, 2]
    assert inputs.action_BL[:2, 0].tolist() == [START_ACTION] * 2
    assert inputs.item_BL[2].tolist() == [2, 3, 1, 2, 3, 1]
    assert inputs.action_BL[2].tolist() == [1] * _LENGTH


def test_unknown_item_and_none_share_a_row(encoder: SequenceEncoder) -> None:
    inputs = encoder.inputs([_sequence("azc\0")])
    assert inputs.item_BL[0].tolist() == [0, 1, 0, 3, 0]


def test_request_gap_of_a_user_without_actions_is_none(encoder: SequenceEncoder) -> None:
    inputs = encoder.inputs([_sequence("", gap_s=50), _sequence("a"), _sequence("a", gap_s=1)])
    assert inputs.request_gap_B.tolist() == [NO_GAP, 0, 2]


def test_everyone_gets_their_own_query_whoever_else_is_asked_for(encoder: SequenceEncoder) -> None:
    generator = np.random.default_rng(2)
    batch = [
        _sequence("".join(generator.choice(list("abcz"), generator.integers(0, 9))), user=number)
        for number in range(150)
    ]
    together = encoder.encode(batch)
    assert together.query_BI.shape == (150, 64)
    for number in (0, 1, 77, 149):
        alone = encoder.encode([batch[number]])
        np.testing.assert_allclose(together.query_BI[number], alone.query_BI[0], atol=1e-5)
        np.testing.assert_allclose(
            together.action_chance_BA[number], alone.action_chance_BA[0], atol=1e-6
        )
    np.testing.assert_allclose(together.action_chance_BA.sum(1), 1, rtol=1e-5)


def test_history_and_its_order_matter(encoder: SequenceEncoder) -> None:
    queries = encoder.encode([_sequence("ab"), _sequence("ba"), _sequence("ab", step_s=900)])
    assert len(np.unique(queries.query_BI.round(6), axis=0)) == 3


def test_nobody_asked_gives_nothing(encoder: SequenceEncoder) -> None:
    assert encoder.encode([]).query_BI.shape == (0, 64)


def test_item_vectors_have_unit_length(encoder: SequenceEncoder) -> None:
    assert encoder.vectors_NI.shape == (3, 64)
    np.testing.assert_allclose(np.linalg.norm(encoder.vectors_NI, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "graph", "rows", "message"),
    [
        ("two-tower", b"", 4, "'transformer' expected"),
        ("transformer", b"no graph", 4, "cannot load the graph"),
        ("transformer", b"", 2, "item matrix"),
    ],
)
def test_bundle_that_cannot_be_served_is_refused(
    tmp_path: Path, kind: str, graph: bytes, rows: int, message: str
) -> None:
    bundle = write_bundle(
        tmp_path / "b",
        config=BundleConfig(
            kind=kind,
            created_ms=1,
            cutoff_offset=1,
            cutoff_ms=1,
            metrics={},
            settings={"length": 5, "num_user_buckets": 8, "target_action": 1, "item_width": 4},
        ),
        item_ids=_ITEMS,
        weights={"items": np.ones((rows, 4), np.float32)},
        graph=graph,
    )
    with pytest.raises(BundleRefused, match=message):
        SequenceEncoder(bundle, key_of=_key)


def test_a_bundle_says_which_contexts_it_reads(folder: Path) -> None:
    bundle = load_bundle(folder)
    told = SideFeatures(context=("plan",))
    for settings, expected in (({}, NO_SIDE), ({"side": asdict(told)}, told)):
        config = replace(bundle.config, settings=settings)
        assert side_read_by(replace(bundle, config=config)) == expected
    later = replace(bundle, config=replace(bundle.config, settings={"side": {"moon": True}}))
    with pytest.raises(BundleRefused, match="moon"):
        side_read_by(later)


def test_serving_needs_no_torch(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from models.encoder import SequenceEncoder; "
        "import models.transformer_source; "
        "SequenceEncoder.load(Path(sys.argv[1]), key_of=ord); "
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert done.returncode == 0

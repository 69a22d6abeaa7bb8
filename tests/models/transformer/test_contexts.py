"""What a refreshed transformer makes of the contexts in which lists were made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import load_bundle
from models.history import History, HistoryEvent
from models.side_features import SideFeatures
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.evaluation import rank_targets
from models.transformer.network import CONTEXTS, NetworkConfig
from models.transformer.state import TrainingState
from models.transformer.training import TrainingConfig, fit

_SIDE = SideFeatures(context=("device", "plan"))
_NETWORK = NetworkConfig(length=4, num_user_buckets=16, item_width=16, model_width=16, num_blocks=1)
_RATE = TrainingConfig().learning_rate
_NUM_ITEMS = 8


def _on_devices(num: int, *, side: SideFeatures = _SIDE) -> History:
    """Single actions of new users: the device at which their lists were made decides the half."""
    generator = np.random.default_rng(5)
    history = History(side=side)
    events = []
    for number in range(num):
        device, item = generator.integers(2), generator.integers(_NUM_ITEMS // 2)
        codes = side.context_codes({"device": f"d{device}"}, 0)
        events.append(
            HistoryEvent(
                user_id=f"u{number}",
                time_s=1_000_000 + number,
                action=1,
                item_id=f"{device}-{item}",
                asked_s=1_000_000 + number,
                contexts=codes,
            )
        )
    history.append(events, from_offset=0, to_offset=1)
    return history


def _trained(history: History, *, side: SideFeatures) -> TrainingState:
    state = TrainingState(_NETWORK, history.item_ids, seed=1, learning_rate=_RATE, side=side)
    _fit(state, history)
    return state


def _fit(state: TrainingState, history: History) -> None:
    config = TrainingConfig(epochs=6, chunk_rows=200)
    rows = history.end_row - 100
    for _ in fit(state, history, from_row=0, to_row=rows, config=config, seed=2):
        pass


def _share_in_the_half(state: TrainingState, history: History) -> float:
    """How many of the last hundred actions are ranked among half of the items."""
    end = history.end_row
    rank_P = rank_targets(state, history, from_row=end - 100, to_row=end).rank_P
    return float((rank_P <= _NUM_ITEMS // 2).mean())


def _bundled(state: TrainingState, folder: Path, side: SideFeatures) -> TrainingState:
    provenance = Provenance(created_ms=1, cutoff_offset=1, cutoff_ms=1, metrics={})
    write_state(folder, state, provenance, target_action=1)
    return restore_state(load_bundle(folder), learning_rate=_RATE, side=side)


@pytest.fixture(scope="module")
def history() -> History:
    return _on_devices(1100)


@pytest.fixture(scope="module")
def trained(history: History) -> TrainingState:
    return _trained(history, side=_SIDE)


def test_a_device_decides_what_follows_for_a_network_that_reads_it(
    history: History, trained: TrainingState
) -> None:
    assert _share_in_the_half(trained, history) > 0.95
    blind = SideFeatures(context=())
    untold = _on_devices(1100, side=blind)
    assert _share_in_the_half(_trained(untold, side=blind), untold) < 0.7


def test_what_is_untold_and_what_never_came_says_nothing(trained: TrainingState) -> None:
    vectors = trained.network.state_dict()[CONTEXTS].numpy()
    told = {codes[0] for codes in (_SIDE.context_codes({"device": f"d{n}"}, 0) for n in range(2))}
    assert set(np.flatnonzero(np.abs(vectors).sum(1)).tolist()) == told


def test_a_bundle_goes_on_with_its_contexts_exactly(
    history: History, trained: TrainingState, tmp_path: Path
) -> None:
    resumed = _bundled(trained, tmp_path / "bundle", _SIDE)
    for name, value in trained.weights().items():
        np.testing.assert_array_equal(value, resumed.weights()[name])
    for name, value in trained.moments().items():
        np.testing.assert_array_equal(value, resumed.moments()[name])
    assert _share_in_the_half(resumed, history) > 0.95


@pytest.mark.parametrize("names", [("plan", "device"), ("hour", "device", "plan")])
def test_contexts_that_stay_are_gone_on_with(
    history: History, trained: TrainingState, tmp_path: Path, names: tuple[str, ...]
) -> None:
    side = replace(_SIDE, context=names)
    resumed = _bundled(trained, tmp_path / "bundle", side)

    weights = resumed.weights()[f"network.{CONTEXTS}"].reshape(len(names), 65, -1)
    before = trained.weights()[f"network.{CONTEXTS}"].reshape(2, 65, -1)
    np.testing.assert_array_equal(weights[names.index("device")], before[0])
    again = _on_devices(1100, side=side)
    assert again.item_ids == history.item_ids
    assert _share_in_the_half(resumed, again) > 0.95


@pytest.mark.parametrize(
    "side", [SideFeatures(context=("plan",)), replace(_SIDE, num_context_codes=32)]
)
def test_other_contexts_are_learned_anew_and_everything_else_is_kept(
    trained: TrainingState, tmp_path: Path, side: SideFeatures
) -> None:
    resumed = _bundled(trained, tmp_path / "bundle", side)

    weights = resumed.weights()
    assert not weights[f"network.{CONTEXTS}"].any()
    for name, value in trained.weights().items():
        if not name.endswith(CONTEXTS):
            np.testing.assert_array_equal(value, weights[name])
    again = _on_devices(1100, side=side)
    resumed.adopt(again.item_ids, {})
    _fit(resumed, again)
    assert (_share_in_the_half(resumed, again) > 0.95) == ("device" in side.context)


@pytest.mark.parametrize("first", [True, False])
def test_contexts_come_and_go(
    history: History, trained: TrainingState, tmp_path: Path, *, first: bool
) -> None:
    """A bundle that reads none is gone on from with some, and the other way round."""
    blind = SideFeatures(context=())
    untold = _on_devices(1100, side=blind)
    begun = _trained(untold, side=blind) if first else trained
    resumed = _bundled(begun, tmp_path / "bundle", _SIDE if first else blind)
    _fit(resumed, history if first else untold)
    share = _share_in_the_half(resumed, history if first else untold)
    assert share > 0.95 if first else share < 0.7


def test_contexts_of_another_meaning_are_refused(history: History, trained: TrainingState) -> None:
    other = _on_devices(200, side=SideFeatures(context=("device",)))
    trained.adopt(other.item_ids, {})
    with pytest.raises(ValueError, match="the history tells them as of"):
        _fit(trained, other)
    trained.adopt(history.item_ids, {})

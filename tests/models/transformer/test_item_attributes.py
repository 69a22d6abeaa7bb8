"""Attributes in a state that is refreshed: learned, saved, and told anew."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import load_bundle
from models.encoder import SequenceEncoder
from models.history import History
from models.side_features import NO_SIDE
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.evaluation import rank_targets
from models.transformer.item_attributes import Described
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState
from models.transformer.training import TrainingConfig, fit
from tests.models.recommenders.described import NUM_CATEGORIES, SIDE, loyal_history

_NETWORK = NetworkConfig(
    length=8, num_user_buckets=8, item_width=16, model_width=16, id_dropout=0.1
)
_RATE = TrainingConfig().learning_rate
_HELD_OUT = 400


def _described(history: History) -> Described:
    return Described(history.attribute_matrix(), SIDE.num_attribute_codes)


def _state(history: History) -> TrainingState:
    state = TrainingState(_NETWORK, history.item_ids, seed=1, learning_rate=_RATE)
    state.adopt(history.item_ids, {}, _described(history))
    return state


def _fit(
    state: TrainingState, history: History, from_row: int, to_row: int, *, epochs: int = 1
) -> None:
    config = TrainingConfig(epochs=epochs, attribute_learning_rate=2e-2, max_batch_tokens=128)
    for _ in fit(state, history, from_row=from_row, to_row=to_row, config=config, seed=3):
        pass


def _codes_moved(state: TrainingState) -> int:
    assert state.attributes is not None
    return int((state.attributes.matrix.steps > 0).sum())


@pytest.fixture(scope="module")
def history() -> History:
    return loyal_history()


@pytest.fixture(scope="module")
def trained(history: History) -> TrainingState:
    state = _state(history)
    _fit(state, history, 0, history.end_row - _HELD_OUT, epochs=12)
    return state


def _bundled(state: TrainingState, folder: Path) -> TrainingState:
    provenance = Provenance(created_ms=1, cutoff_offset=1, cutoff_ms=1, metrics={})
    write_state(folder, state, provenance, target_action=1)
    return restore_state(load_bundle(folder), learning_rate=_RATE, side=NO_SIDE)


def test_a_category_says_what_items_that_hardly_met_have_in_common(
    history: History, trained: TrainingState
) -> None:
    bare = TrainingState(_NETWORK, history.item_ids, seed=1, learning_rate=_RATE)
    first = history.end_row - _HELD_OUT
    _fit(bare, history, 0, first, epochs=12)
    medians = []
    for state in (trained, bare):
        ranks = rank_targets(state, history, from_row=first, to_row=history.end_row)
        # The first of a user's four actions follows from nothing.
        medians.append(np.median(ranks.rank_P[ranks.row_P % 4 > 0]))
    # A quarter of the catalogue is of the user's category.
    assert medians[0] < len(history.item_ids) / NUM_CATEGORIES
    assert medians[1] > 1.5 * medians[0]
    assert _codes_moved(trained) == NUM_CATEGORIES


def test_a_refresh_goes_on_exactly_from_a_bundle(history: History, tmp_path: Path) -> None:
    state = _state(history)
    _fit(state, history, 0, 800)
    resumed = _bundled(state, tmp_path / "bundle")
    for one in (state, resumed):
        one.adopt(history.item_ids, {}, _described(history))
        _fit(one, history, 800, 1200)
    for name, value in state.weights().items():
        np.testing.assert_array_equal(value, resumed.weights()[name])
    for name, value in state.moments().items():
        np.testing.assert_array_equal(value, resumed.moments()[name])


def test_a_bundle_serves_finished_vectors(trained: TrainingState, tmp_path: Path) -> None:
    _bundled(trained, tmp_path / "bundle")
    encoder = SequenceEncoder.load(tmp_path / "bundle", key_of=lambda item: hash(item) % 2**60 + 1)
    np.testing.assert_allclose(
        encoder.vectors_NI, trained.item_vectors()[1:].numpy(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("what", ["moved", "another size", "nothing", "first told"])
def test_items_keep_their_vectors_whatever_is_told_of_them_anew(
    what: str, history: History, trained: TrainingState, tmp_path: Path
) -> None:
    state = _bundled(trained, tmp_path / "bundle")
    codes_NA, num_codes = _described(history)
    if what == "first told":
        state.adopt(history.item_ids, {})
        assert state.attributes is None
    before = state.item_vectors()
    told = {
        "moved": Described(np.roll(codes_NA, 1, axis=0), num_codes),
        "another size": Described(codes_NA, 2 * num_codes),
        "nothing": Described(),
        "first told": Described(codes_NA, num_codes),
    }[what]
    state.adopt(history.item_ids, {}, told)
    torch.testing.assert_close(state.item_vectors(), before, rtol=0, atol=1e-5)
    assert torch.linalg.vector_norm(state.items.vectors, dim=1).sub(1).abs().max() < 1e-4
    if what == "nothing":
        assert state.attributes is None
    else:
        assert _codes_moved(state) == (NUM_CATEGORIES if what == "moved" else 0)


def test_unchanged_items_keep_their_very_own_vectors(
    history: History, trained: TrainingState, tmp_path: Path
) -> None:
    state = _bundled(trained, tmp_path / "bundle")
    wider = np.pad(history.attribute_matrix(), ((0, 0), (0, 1)))
    wider[5, 1] = SIDE.num_attribute_codes
    order = np.arange(len(history.item_ids))[::-1]
    state.adopt(
        [history.item_ids[code] for code in order],
        {},
        Described(wider[order], SIDE.num_attribute_codes),
    )
    same = order[order != 5]
    place = {code: row for row, code in enumerate(order.tolist(), start=1)}
    rows = [place[code] for code in same.tolist()]
    assert torch.equal(state.items.vectors[rows], trained.items.vectors[same + 1])


def test_a_new_item_begins_with_its_neighbours_or_else_with_its_attributes(
    history: History, trained: TrainingState, tmp_path: Path
) -> None:
    state = _bundled(trained, tmp_path / "bundle")
    before = state.item_vectors()
    new = ["met", "unmet", "untold"]
    codes_NA, num_codes = _described(history)
    told_NA = np.concatenate([codes_NA, np.array([[codes_NA[0, 0]], [codes_NA[0, 0]], [0]])])
    neighbour = before[7].numpy()
    state.adopt(
        [*history.item_ids, *new],
        {"met": neighbour},
        Described(told_NA.astype(np.int32), num_codes),
    )
    met, unmet, untold = state.item_vectors()[-3:]
    assert state.attributes is not None
    category = torch.nn.functional.normalize(state.attributes.means()[1], dim=-1)
    mean = torch.nn.functional.normalize(before.mean(0), dim=-1)
    for found, expected in ((met, before[7]), (unmet, category), (untold, mean)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)

from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import load_bundle
from models.history import History, HistoryEvent
from models.side_features import NO_SIDE
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.counters import CounterLog
from models.transformer.evaluation import rank_targets
from models.transformer.network import NetworkConfig
from models.transformer.new_items import first_vectors
from models.transformer.state import TrainingState
from models.transformer.training import Progress, TrainingConfig, fit
from tests.models.transformer.logs import NUM_ITEMS, history_of, planted_events

_NETWORK = NetworkConfig(length=10, num_user_buckets=64)
_RATE = TrainingConfig().learning_rate


def _state(history: History, seed: int = 1) -> TrainingState:
    return TrainingState(_NETWORK, history.item_ids, seed=seed, learning_rate=_RATE)


def _fit(
    state: TrainingState,
    history: History,
    from_row: int,
    to_row: int,
    config: TrainingConfig | None = None,
    counters: CounterLog | None = None,
) -> list[Progress]:
    steps = fit(
        state,
        history,
        from_row=from_row,
        to_row=to_row,
        config=config or TrainingConfig(),
        seed=3,
        counters=counters,
    )
    return list(steps)


def _hit_rate(state: TrainingState, history: History, from_row: int, at: int) -> float:
    ranks = rank_targets(state, history, from_row=from_row, to_row=history.end_row)
    # A user's first action follows from nothing.
    firsts = set(np.unique(history.users, return_index=True)[1].tolist())
    follows = np.array([row not in firsts for row in ranks.row_P.tolist()])
    return float((ranks.rank_P[follows] <= at).mean())


@pytest.fixture(scope="module")
def planted() -> History:
    return history_of([*planted_events(700, seed=1), *planted_events(100, seed=2)])


@pytest.fixture(scope="module")
def trained(planted: History) -> tuple[TrainingState, list[Progress]]:
    state = _state(planted)
    steps = _fit(state, planted, 0, 4200, TrainingConfig(epochs=4, chunk_rows=2000))
    return state, steps


def test_a_planted_rule_is_learned_and_popularity_could_not(
    planted: History, trained: tuple[TrainingState, list[Progress]]
) -> None:
    state, _ = trained
    learned = _hit_rate(state, planted, 4200, at=1)
    most_popular = float(np.bincount(planted.items).max() / planted.end_row)
    assert learned > 0.8
    assert most_popular < 0.05
    assert _hit_rate(_state(planted), planted, 4200, at=1) < 0.1


def test_first_loss_is_that_of_a_uniform_guess_and_falls(
    trained: tuple[TrainingState, list[Progress]],
) -> None:
    _, steps = trained
    assert steps[0].item_loss == pytest.approx(np.log(NUM_ITEMS), abs=0.5)
    assert steps[-1].item_loss < 0.5 * steps[0].item_loss
    assert steps[-1].done == 1
    assert [step.done for step in steps] == sorted(step.done for step in steps)


def test_golden_loss(planted: History) -> None:
    steps = _fit(_state(planted), planted, 0, 600)
    # Three decimals hold on any machine; a change of the model or of the sampling moves them.
    assert steps[0].item_loss == pytest.approx(4.0944, abs=2e-3)
    assert steps[-1].item_loss == pytest.approx(4.012, abs=2e-3)


def test_same_seed_gives_the_same_weights(planted: History) -> None:
    first, second = _state(planted), _state(planted)
    for state in (first, second):
        _fit(state, planted, 0, 300)
    for name, value in first.weights().items():
        np.testing.assert_array_equal(value, second.weights()[name])


def test_warm_start_goes_on_exactly_and_improves(planted: History, tmp_path: Path) -> None:
    state = _state(planted)
    _fit(state, planted, 0, 2000)
    stale = _hit_rate(state, planted, 4200, at=5)
    provenance = Provenance(created_ms=1, cutoff_offset=1, cutoff_ms=1, metrics={})
    write_state(tmp_path / "bundle", state, provenance, target_action=1)
    resumed = restore_state(load_bundle(tmp_path / "bundle"), learning_rate=_RATE, side=NO_SIDE)
    for one in (state, resumed):
        _fit(one, planted, 2000, 4200)
    for name, value in state.weights().items():
        np.testing.assert_array_equal(value, resumed.weights()[name])
    for name, value in state.moments().items():
        np.testing.assert_array_equal(value, resumed.moments()[name])
    assert _hit_rate(resumed, planted, 4200, at=5) > stale + 0.1


def test_grown_catalogue_keeps_old_rows_and_places_new_items_by_their_neighbours(
    planted: History,
) -> None:
    state = _state(planted)
    _fit(state, planted, 0, 600)
    before = {item: state.items.vectors[row + 1].clone() for row, item in enumerate(state.item_ids)}
    grown = history_of(
        [
            HistoryEvent(user_id="z", time_s=1, action=1, item_id="item-3"),
            HistoryEvent(user_id="z", time_s=2, action=1, item_id="new"),
            HistoryEvent(user_id="y", time_s=3, action=1, item_id="lonely"),
            *planted_events(700, seed=1),
        ]
    )
    vectors = state.items.vectors[1:].numpy()
    mean = torch.nn.functional.normalize(state.items.vectors.mean(0), dim=-1)
    state.adopt(grown.item_ids, first_vectors(grown, state.item_ids, vectors))
    row_of = {item: row + 1 for row, item in enumerate(state.item_ids)}
    for item, vector in before.items():
        assert torch.equal(state.items.vectors[row_of[item]], vector)
    torch.testing.assert_close(state.items.vectors[row_of["new"]], before["item-3"])
    torch.testing.assert_close(state.items.vectors[row_of["lonely"]], mean)
    assert state.items.steps[row_of["new"]] == 0
    assert state.items.steps[row_of["item-3"]] > 0


def test_items_that_no_batch_touches_keep_their_vectors() -> None:
    history = history_of(planted_events(300, seed=1))
    history.append(
        [HistoryEvent(user_id="late", time_s=9, action=1, item_id=f"rare-{i}") for i in range(400)],
        from_offset=1,
        to_offset=2,
    )
    state = _state(history)
    before = state.items.vectors.clone()
    config = TrainingConfig(max_full_softmax=10, num_negatives=8, epochs=1)
    _fit(state, history, 0, 120, config)
    moved = (state.items.vectors != before).any(1)
    assert torch.equal(moved, state.items.steps > 0)
    assert 0 < int(moved.sum()) < len(moved)


def test_counters_that_tell_the_answer_are_trusted(planted: History) -> None:
    counters = CounterLog(capacity=planted.end_row)
    counters.append_snapshot(0, np.zeros(len(planted.item_ids), np.float32))
    for row, item in enumerate(planted.items.tolist()):
        counters.append_row(row, np.array([item, (item + 1) % NUM_ITEMS]), np.array([2.0, 0.0]))
    state = _state(planted)
    losses = [step.item_loss for step in _fit(state, planted, 0, 4200, counters=counters)]
    without = [step.item_loss for step in _fit(_state(planted), planted, 0, 4200)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(without[-10:])
    weights = state.network.counter_head.bias.tolist()
    assert weights[1] > 1.05


def test_without_counters_their_weights_stay(planted: History) -> None:
    state = _state(planted)
    _fit(state, planted, 0, 600)
    assert state.network.counter_head.bias.tolist() == [1.0, 1.0, 0.0]
    assert all(parameter.requires_grad for parameter in state.network.parameters())
    assert not state.network.training


def test_another_catalogue_is_refused(planted: History) -> None:
    state = TrainingState(_NETWORK, ["a"], seed=1, learning_rate=_RATE)
    with pytest.raises(ValueError, match="adopt"):
        _fit(state, planted, 0, 10)


def test_repeats_are_no_targets_unless_they_may_be() -> None:
    history = history_of(
        HistoryEvent(user_id=f"u{n // 4}", time_s=n, action=1, item_id=f"i{(n // 2) % 9}")
        for n in range(400)
    )
    everything = rank_targets(
        _state(history), history, from_row=0, to_row=400, predicts_repeats=True
    )
    new = rank_targets(_state(history), history, from_row=0, to_row=400)
    assert len(everything.row_P) == 400
    assert (new.row_P % 2 == 0).all()
    assert len(new.row_P) == 200

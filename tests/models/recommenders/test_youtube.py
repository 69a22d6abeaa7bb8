import numpy as np
import pytest

from models.history import History
from models.leave_one_out import leave_one_out, target_ranks
from models.recommenders.youtube import WatchRecommender
from tests.models.histories import history_of
from tests.models.transformer.logs import history_of as history_of_events
from tests.models.transformer.logs import planted_events

_NETWORK = {"length": 6, "item_width": 16, "model_width": 32, "num_layers": 2}
_SPAN_S = 1_000_000


def _drifting() -> History:
    """Ten items are popular until eight tenths of the log have gone, ten others from then on."""
    generator = np.random.default_rng(0)
    times_s = np.sort(generator.integers(0, _SPAN_S, 3000)).tolist()
    rows = []
    for time_s in times_s:
        age = "fresh" if time_s > 0.8 * _SPAN_S else "old"
        rows.append((f"u{generator.integers(1500)}", f"{age}-{generator.integers(10)}"))
    return history_of(rows, times_s)


def _fresh_share(*, reads_age: bool) -> float:
    """Return how many of the ten best items are fresh, for a user of whom nothing is known."""
    model = WatchRecommender(
        network={**_NETWORK, "reads_age": reads_age},
        num_user_examples=4,
        training={"batch_size": 64, "max_epochs": 6, "warm_up_steps": 20, "averaging": 0.9},
    )
    for _ in model.fit(_drifting()):
        pass
    (scores,) = model.scores([model.sequence("new", [])])
    best = np.argsort(-scores, kind="stable")[:10].tolist()
    return float(np.mean([model.item_ids[code].startswith("fresh") for code in best]))


def test_example_age_lifts_fresh_items() -> None:
    assert _fresh_share(reads_age=True) == 1
    # Four fifths of the log are about the old ones: its average prefers them.
    assert _fresh_share(reads_age=False) == 0


@pytest.mark.parametrize("max_full", [100, 10])
def test_a_planted_rule_is_learned_from_the_whole_and_the_sampled_softmax(max_full: int) -> None:
    split = leave_one_out(history_of_events(planted_events(600, seed=1)))
    model = WatchRecommender(
        # One watch is averaged: the rule is about the last item alone.
        network={**_NETWORK, "length": 1},
        max_full=max_full,
        num_negatives=40,
        num_user_examples=6,
        training={"max_epochs": 20, "batch_size": 64, "warm_up_steps": 20},
    )
    for _ in model.fit(split.training):
        pass
    assert (target_ranks(model, split.test) == 1).mean() > 0.9

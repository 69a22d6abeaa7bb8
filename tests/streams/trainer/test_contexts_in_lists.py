"""What an application says of a moment decides the list that is made then.

Events go through the pipeline to the trainer, and its bundle back to the pipeline.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featurestore.events import Context, Event, UserId
from featurestore.keys import item_key
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from models.transformer.network import NetworkConfig
from models.transformer.training import TrainingConfig
from streams.config import Config
from streams.metrics import TrainerMetrics
from streams.trainer.training_data import TrainingData
from streams.trainer.training_round import Trained, TrainingRound
from tests.streams.stream_events import START_MS, click, visit
from tests.streams.taught import Line, config, live_models

NUM_ITEMS = 12
PLANS = {"free": "f", "paid": "p"}
ITEMS = [f"{letter}{number}" for letter in PLANS.values() for number in range(NUM_ITEMS)]
NETWORK = NetworkConfig(
    length=4,
    num_user_buckets=16,
    num_blocks=1,
    item_width=16,
    model_width=16,
    feed_forward_width=16,
)
TRAINING = TrainingConfig(chunk_rows=500)


def sessions(num: int, seed: int) -> list[list[Event]]:
    """Opened pages say one of two plans, drawn at random, and the click that follows depends on it.

    On nothing else: what was clicked before is no help.
    """
    generator = np.random.default_rng(seed)
    found: list[list[Event]] = []
    for number in range(num):
        user, now_ms = f"{seed}-{number}", START_MS + seed * 100_000_000 + 20_000 * number
        events: list[Event] = []
        for step in range(3):
            plan = str(generator.choice(list(PLANS)))
            item = f"{PLANS[plan]}{generator.integers(NUM_ITEMS)}"
            opened_ms = now_ms + 4_000 * step
            events.append(visit(user, opened_ms, context={"plan": plan}))
            events.append(click(user, item, opened_ms + 1_000))
        found.append(events)
    return found


def trained(settings: Config, line: Line, folder: Path) -> Bundle:
    """What a first training makes of what users have done."""
    data = TrainingData(
        settings.online, topic_id="topic", side=settings.side, capacity=10_000, counter_rows=10_000
    )
    for number, events in enumerate(sessions(400, seed=1)):
        data.append(line.take(*events, wants_lists=False).record, number)
    announced: list[Bundle] = []
    training = TrainingRound(
        settings,
        data,
        TrainerMetrics(),
        folder=folder,
        announce=lambda bundle, _: announced.append(bundle),
        network=NETWORK,
        training=TRAINING,
    )
    assert training.run(is_stopped=lambda: False) is Trained.PROMOTED
    return announced[0]


def first_letters(line: Line, user: str, context: Context | None) -> list[str]:
    """Of the items of the list that an opened page gets."""
    now_ms = START_MS + 500_000_000
    made = line.take(visit(user, now_ms, context=context)).lists[UserId(user)]
    return [entry.item_id[0] for entry in made.items]


@pytest.mark.parametrize("reads", [True, False])
def test_a_page_is_answered_by_the_context_in_which_it_opens(
    tmp_path: Path, *, reads: bool
) -> None:
    settings = config(
        side__context=["plan"] if reads else [],
        ranking__list_size=NUM_ITEMS,
        ranking__slate_sample_rate=0.0,
        retrieval__limits__transformer=NUM_ITEMS,
        retrieval__limits__trending=0,
        retrieval__limits__covisitation=0,
        retrieval__limits__fresh=0,
    )
    line = Line(settings, live_models(settings, [ITEMS]))
    bundle = trained(settings, line, tmp_path)
    line.live.use(SequenceEncoder.load(bundle.folder, key_of=item_key))

    shares = {
        plan: first_letters(line, f"new-{plan}", {"plan": plan}).count(letter) / NUM_ITEMS
        for plan, letter in PLANS.items()
    }

    if reads:
        assert min(shares.values()) > 0.9
        assert set(first_letters(line, "new-untold", None)) == set(PLANS.values())
    else:
        assert sum(shares.values()) == pytest.approx(1.0)

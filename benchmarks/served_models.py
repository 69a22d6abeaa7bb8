"""What does each model cost as a live source: to train, to ask, to keep?

`python -m benchmarks.served_models` prints for each CPU seconds of training a 100,000 actions, as
`headrace train` does it without stopping early, measured on 25,000 actions of 400 users on 5,000
items; the CPU time of asking the served bundle about one user of 200 actions, the median of 100;
and the bundle's size. The transformer is the live one: its training is one refresh on actions that
are new to it, without the counters, and it is asked for every item, as its recall does.
"""

# ruff: noqa: T201  (a benchmark prints)

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import click
import numpy as np

from benchmarks.population import NUM_ACTIONS, NUM_ITEMS, item_name, popular
from featurestore.keys import item_key
from models.bundle import Bundle
from models.encoder import SequenceEncoder
from models.encoder_inputs import ActionSequence
from models.history import History, HistoryEvent
from models.recommender import UserSequence
from models.registry import SERVABLE, new_recommender
from models.served import load_served
from models.side_features import SideFeatures
from models.transformer.bundling import Provenance, write_state
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState
from models.transformer.training import TrainingConfig, fit

_TRANSFORMER: Final = "transformer"
_NUM_ASKED: Final = 100
_NUM_LEARNED: Final = 20_000
_NUM_USERS: Final = 400
_START_S: Final = 1_700_000_000
_CLICK: Final = 1
_SIDE: Final = SideFeatures()


class Trained(NamedTuple):
    """A model that has learned a history.

    Attributes:
        save: Writes it into a folder.
        asked_by: Loads a bundle as a worker does, and returns what asks it about a user.
    """

    save: Callable[[Path], Bundle]
    asked_by: Callable[[Bundle], Callable[[UserSequence], object]]


@click.command(help=__doc__)
@click.option("--model", "names", multiple=True, type=click.Choice((*SERVABLE, _TRANSFORMER)))
def main(names: tuple[str, ...]) -> None:
    """Measure and print."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: threads of BLAS fight for the one core")
    generator = np.random.default_rng(1)
    history = _history(generator)
    users = [
        UserSequence(
            user=user,
            items=popular(generator, NUM_ACTIONS).astype(np.int32),
            actions=np.full(NUM_ACTIONS, _CLICK, np.uint8),
            times_s=(_START_S + np.arange(NUM_ACTIONS)).astype(np.uint32),
            contexts=_on_device(user),
        )
        for user in range(_NUM_ASKED)
    ]
    for name in names or (*SERVABLE, _TRANSFORMER):
        begun_s = time.process_time()
        trained = _transformer(history) if name == _TRANSFORMER else _recommender(name, history)
        per_100_000 = (time.process_time() - begun_s) * 1e5 / len(history.items)
        with tempfile.TemporaryDirectory() as scratch:
            bundle = trained.save(Path(scratch) / "bundle")
            size_mb, ask = bundle.size_bytes / 1e6, trained.asked_by(bundle)
        asked_ms = median(_spent_ms(ask, user) for user in users)
        print(
            f"{name:12s}{per_100_000:7.1f} CPU s a 100,000 actions{asked_ms:8.2f} ms a list"
            f"{size_mb:8.1f} MB",
            flush=True,
        )


def _recommender(name: str, history: History) -> Trained:
    model = new_recommender(name)
    for _ in model.fit(history):
        pass

    def asked_by(bundle: Bundle) -> Callable[[UserSequence], object]:
        served = load_served(bundle)
        return lambda user: served.scores([user])

    return Trained(model.save, asked_by)


def _transformer(history: History) -> Trained:
    training = TrainingConfig()
    state = TrainingState(
        NetworkConfig(),
        history.item_ids,
        seed=1,
        learning_rate=training.learning_rate,
        side=_SIDE,
    )
    for _ in fit(state, history, from_row=0, to_row=history.end_row, config=training, seed=1):
        pass
    provenance = Provenance(created_ms=1, cutoff_offset=0, cutoff_ms=0, metrics={})

    def save(folder: Path) -> Bundle:
        return write_state(folder, state, provenance, target_action=_CLICK)

    def asked_by(bundle: Bundle) -> Callable[[UserSequence], object]:
        encoder = SequenceEncoder(bundle, key_of=item_key)

        def ask(user: UserSequence) -> object:
            encoded = encoder.encode(
                [
                    ActionSequence(
                        keys=encoder.keys_N[user.items],
                        actions=user.actions,
                        times_s=user.times_s.astype(np.int64),
                        user=user.user,
                        contexts=user.contexts,
                    )
                ]
            )
            return encoded.query_BI @ encoder.vectors_NI.T

        return ask

    return Trained(save, asked_by)


def _spent_ms(ask: Callable[[UserSequence], object], user: UserSequence) -> float:
    begun_s = time.process_time()
    ask(user)
    return 1000 * (time.process_time() - begun_s)


def _on_device(number: int) -> tuple[int, ...]:
    return _SIDE.context_codes({"device": number % 3}, _START_S)


def _history(generator: np.random.Generator) -> History:
    """Every item once, by a few users on three devices, then actions on items of a power law."""
    items = [*range(NUM_ITEMS), *popular(generator, _NUM_LEARNED).tolist()]
    history = History(side=_SIDE)
    history.append(
        (
            HistoryEvent(
                user_id=f"user-{number % _NUM_USERS}",
                time_s=_START_S + number,
                action=_CLICK,
                item_id=item_name(item),
                asked_s=_START_S + number - _NUM_USERS,
                contexts=_on_device(number),
            )
            for number, item in enumerate(items)
        ),
        from_offset=0,
        to_offset=1,
    )
    return history


if __name__ == "__main__":
    main()

"""What does a refresh of the transformer cost?

Run as `python -m benchmarks.refresh`.

A catalogue and a history of the size of a news site's four days (16,000 items, 900,000 actions,
five a user), made up here: costs depend on the sizes, not on what users like. Printed are CPU
seconds on one core: a first training on the newest 60,000 actions, and the refresh by an hour's
9,400 with its replay, calibration and all; and the time of encoding users with 50 actions.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from models.encoder import SequenceEncoder
from models.encoder_inputs import ActionSequence
from models.history import History, HistoryEvent
from models.transformer.bundling import Provenance, write_state
from models.transformer.counters import CounterLog
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState
from models.transformer.training import TrainingConfig, fit

_NUM_LISTED = 32


def _events(
    num_actions: int, num_items: int, generator: np.random.Generator
) -> Iterator[HistoryEvent]:
    users = generator.integers(0, num_actions // 5, num_actions).tolist()
    items = np.minimum(generator.zipf(1.2, num_actions), num_items).tolist()
    for number, (user, item) in enumerate(zip(users, items, strict=True)):
        yield HistoryEvent(
            user_id=str(user), time_s=1_700_000_000 + number // 3, action=1, item_id=str(item)
        )


def _counters(history: History, num_rows: int, generator: np.random.Generator) -> CounterLog:
    counters = CounterLog(capacity=num_rows, num_listed=_NUM_LISTED)
    num_items = len(history.item_ids)
    lifts = generator.exponential(size=_NUM_LISTED)
    for row in range(history.end_row - num_rows, history.end_row):
        if row % 150 == 0 or row == history.end_row - num_rows:
            counters.append_snapshot(row, generator.normal(size=num_items).astype(np.float32))
        counters.append_row(row, generator.integers(0, num_items, _NUM_LISTED), lifts)
    return counters


def _fit(state: TrainingState, history: History, counters: CounterLog, num_rows: int) -> float:
    begun_s = time.process_time()
    end_row = history.end_row
    for _ in fit(
        state,
        history,
        from_row=end_row - num_rows,
        to_row=end_row,
        config=TrainingConfig(),
        seed=1,
        counters=counters,
    ):
        pass
    return time.process_time() - begun_s


def _encode(state: TrainingState, generator: np.random.Generator) -> tuple[float, float]:
    """Return milliseconds of one user alone, and users a second in batches."""
    with tempfile.TemporaryDirectory() as folder:
        provenance = Provenance(created_ms=0, cutoff_offset=0, cutoff_ms=0, metrics={})
        write_state(Path(folder) / "bundle", state, provenance, target_action=1)
        encoder = SequenceEncoder.load(Path(folder) / "bundle", key_of=_key)
    users = [
        ActionSequence(
            keys=generator.choice(encoder.keys_N, 50),
            actions=np.ones(50, np.uint8),
            times_s=generator.integers(1, 900, 50).cumsum(),
            user=number,
        )
        for number in range(1024)
    ]
    alone_s = []
    for user in users[:400]:
        begun_s = time.perf_counter()
        encoder.encode([user])
        alone_s.append(time.perf_counter() - begun_s)
    begun_s = time.process_time()
    encoder.encode(users)
    return float(np.median(alone_s)) * 1000, len(users) / (time.process_time() - begun_s)


def _key(item_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(item_id.encode(), digest_size=5).digest(), "big")


@click.command(help=__doc__)
@click.option("--actions", default=900_000, show_default=True)
@click.option("--items", default=16_000, show_default=True)
def main(actions: int, items: int) -> None:
    """Measure and print."""
    generator = np.random.default_rng(1)
    history = History()
    begun_s = time.process_time()
    history.append(_events(actions, items, generator), from_offset=0, to_offset=1)
    click.echo(f"history: {actions} actions in {time.process_time() - begun_s:.1f} CPU s")
    counters = _counters(history, 70_000, generator)
    config = TrainingConfig()
    state = TrainingState(
        NetworkConfig(), history.item_ids, seed=1, learning_rate=config.learning_rate
    )
    click.echo(
        f"first training, 60,000 actions: {_fit(state, history, counters, 60_000):.1f} CPU s"
    )
    click.echo(f"refresh, 9,400 actions: {_fit(state, history, counters, 9_400):.1f} CPU s")
    alone_ms, users_per_s = _encode(state, generator)
    click.echo(f"encode one user of 50 actions: {alone_ms:.2f} ms; batched: {users_per_s:.0f}/s")


if __name__ == "__main__":
    main()

"""What does one user cost: decoding, folding, encoding, features? One core, no server.

`python -m benchmarks.user_state` prints microseconds of CPU time, the least of several runs, and
each as a multiple of a plain loop of 100 additions in the same process.
"""

import platform
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import click
import numpy as np

from featurestore.actions import DEFAULT_ACTIONS, ActionTable
from featurestore.codec import decode_state, encode_state
from featurestore.events import (
    Action,
    Event,
    Impression,
    ItemId,
    ShownItem,
    UserId,
    Visit,
    decode_event,
    encode_event,
)
from featurestore.features import FeatureLayout, SlateInput, slate_features
from featurestore.fold import FoldRules, fold
from featurestore.keys import item_keys
from featurestore.state import EMPTY_STATE, UserState

_RUNS: Final = 7
_START_MS: Final = 1_700_000_000_000
_T = TypeVar("_T")


def main() -> None:
    """Print the table."""
    generator = random.Random(7)  # noqa: S311 - seeded, so that each run measures the same
    rules = FoldRules(table=ActionTable.of(DEFAULT_ACTIONS))
    state = EMPTY_STATE
    for number in range(200):
        state = fold(state, _action(generator, number), rules).state
    value = encode_state(state)
    actions = [_action(generator, 300 + number) for number in range(1_000)]
    impressions = [_impression(generator, 300 + number) for number in range(300)]
    visits = [Visit(event_id=_id(generator), user_id=UserId("u"), ts_ms=_START_MS + 10**6)] * 1_000
    layout = FeatureLayout(source_names=("trending", "covisitation", "fresh", "transformer"))

    plain = _microseconds(lambda _: sum(range(100)), range(10_000))
    click.echo(f"{platform.processor() or platform.machine()}, {datetime.now(UTC):%Y-%m-%d}")
    click.echo(f"a user with 200 actions is {len(value)} bytes")
    for name, did in {
        "decode an action": _microseconds(decode_event, [encode_event(e) for e in actions]),
        "decode a slate of 20": _microseconds(decode_event, [encode_event(e) for e in impressions]),
        "fold and encode an action": _microseconds(_step(state, rules), actions),
        "fold and encode a slate of 20": _microseconds(_step(state, rules), impressions),
        "fold and encode a visit": _microseconds(_step(state, rules), visits),
        "decode a state": _microseconds(decode_state, [value] * 1_000),
        "features of 300 candidates": _microseconds(
            lambda slate: slate_features(layout, state, slate), [_slate(300)] * 100
        ),
        "features of a slate of 20": _microseconds(
            lambda slate: slate_features(layout, state, slate), [_slate(20)] * 100
        ),
    }.items():
        click.echo(f"{name:32}{did:8.1f} us{did / plain:8.1f} x 100 additions")


def _step(state: UserState, rules: FoldRules) -> Callable[[Event], bytes]:
    return lambda event: encode_state(fold(state, event, rules).state)


def _microseconds(work: Callable[[_T], object], inputs: Sequence[_T]) -> float:
    """Return the CPU time of one call, the least of several runs over all inputs."""
    runs_s = []
    for _ in range(_RUNS):
        started_s = time.process_time()
        for each in inputs:
            work(each)
        runs_s.append(time.process_time() - started_s)
    return min(runs_s) / len(inputs) * 1e6


def _id(generator: random.Random) -> str:
    return f"{generator.getrandbits(64):016x}"


def _action(generator: random.Random, number: int) -> Action:
    return Action(
        event_id=_id(generator),
        user_id=UserId("u"),
        ts_ms=_START_MS + number * 30_000,
        action="click",
        item_id=ItemId(f"{generator.randrange(5_000):016}"),
        session_id=f"s{number // 10}",
    )


def _impression(generator: random.Random, number: int) -> Impression:
    first = generator.randrange(5_000)
    return Impression(
        event_id=_id(generator),
        user_id=UserId("u"),
        ts_ms=_START_MS + number * 30_000,
        items=tuple(
            ShownItem(item_id=ItemId(f"{first + place:016}"), position=place)
            for place in range(1, 21)
        ),
    )


def _slate(num: int) -> SlateInput:
    generator = np.random.default_rng(7)
    return SlateInput(
        keys=item_keys([f"{number:016}" for number in range(num)]),
        positions=None,
        numeric=generator.random((num, 1), np.float32),
        context={"device": "mobile", "platform": "web"},
        source_scores=generator.normal(size=(num, 4)).astype(np.float32),
        statistics=generator.normal(size=(num, 2)).astype(np.float32),
        ages_s=generator.random(num) * 1e6,
        categories=generator.integers(0, 20, num, np.int32),
        recent_categories=generator.integers(0, 20, 20, np.int32),
    )


if __name__ == "__main__":
    main()

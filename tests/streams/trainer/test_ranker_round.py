"""A ranker is trained anew on answered slates, and takes over where it does not lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from featurestore.events import Action, Event
from models.bundle import Bundle
from models.gate import GateConfig
from models.rankers.ranker_bundle import RankerHead
from streams.config import Config
from streams.metrics import TrainerMetrics
from streams.one_process import OneProcess
from streams.trainer.ranker_round import RankerRound, gains_of_clicks
from streams.trainer.training_round import Trained
from tests.streams.priced_slates import STEP_MS, answered_events
from tests.streams.taught import config

# Nobody here is a robot, however often a user clicks an item.
SETTINGS = config(
    attribution__window_ms=60_000, ranking__head="pairwise", contribution__max_actions=1000
)
HEAD = RankerHead(name="pairwise", shape=SETTINGS.slate_shape())
PER_WINDOW = 60_000 // STEP_MS


@dataclass
class Room:
    """A round over what one process makes of events, and what it announced."""

    folder: Path
    settings: Config = SETTINGS
    announced: list[tuple[Bundle, str]] = field(default_factory=list)
    metrics: TrainerMetrics = field(default_factory=TrainerMetrics)
    system: OneProcess = field(default_factory=lambda: OneProcess(SETTINGS))
    next_place: int = 0

    def __post_init__(self) -> None:
        self.round = RankerRound(
            self.settings,
            HEAD,
            self.metrics,
            folder=self.folder,
            announce=lambda bundle, reason: self.announced.append((bundle, reason)),
            gate=GateConfig(min_targets=10),
        )

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            effects = self.system.process(self.next_place, event, wants_lists=False)
            self.system.learn(self.next_place, effects)
            self.round.slates.take(effects.record, self.next_place)
            self.next_place += 1

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"recsys_{name}", labels) or 0.0


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_a_second_bundle_is_compared_on_what_neither_has_learned(room: Room) -> None:
    room.take(answered_events(200, wants_cheap=True))
    assert room.round.num_new == 200 - PER_WINDOW
    assert room.round.run() is Trained.PROMOTED
    ((first, reason),) = room.announced
    assert reason.startswith("the first bundle; MRR")
    assert first.config.kind == "ranker-pairwise"
    assert first.config.cutoff_ms == room.round.slates.settled()[-1].shown_at_ms
    assert first.config.cutoff_offset == 400
    assert room.round.num_new == 0

    # Users have come to want something else: the newest tell.
    room.take(answered_events(200, wants_cheap=False, first=200, seed=4))
    assert room.round.num_new == 200
    assert room.round.run() is Trained.PROMOTED
    _, (second, reason) = room.announced
    assert "on 20 held-out clicks: difference +" in reason
    assert (second.config.metrics["mrr"] or 0) > (second.config.metrics["incumbent_mrr"] or 1)
    assert room.round.incumbent is second
    assert room.sample("model_gate_decisions_total", decision="promote") == 2
    kind = {"kind": "ranker-pairwise"}
    created_s = second.config.created_ms / 1000
    assert room.sample("model_trained_timestamp_seconds", **kind) == created_s


def test_one_that_loses_is_not_announced(room: Room) -> None:
    room.take(answered_events(200, wants_cheap=True))
    room.round.run()
    room.take(answered_events(180, wants_cheap=False, first=200, seed=4))
    # What is held out is as it was before.
    room.take(answered_events(20 + PER_WINDOW, wants_cheap=True, first=380, seed=5))
    assert room.round.run() is Trained.REJECTED
    assert len(room.announced) == 1
    assert room.round.num_new == 200 + PER_WINDOW
    assert room.sample("model_gate_decisions_total", decision="keep") == 1


@pytest.mark.parametrize("num_asked", range(6))
def test_a_stop_is_heeded_at_every_point_and_leaves_nothing(room: Room, num_asked: int) -> None:
    room.take(answered_events(300, wants_cheap=True))
    answers = iter([False] * num_asked)
    trained = room.round.run(is_stopped=lambda: next(answers, True))
    # Of the 260 first it asks before the 1st and the 201st and at their end, of the others twice.
    assert trained is (Trained.PROMOTED if num_asked == 5 else Trained.SKIPPED)
    assert len(room.announced) == (num_asked == 5)
    assert (room.round.incumbent is None) == (num_asked < 5)


def test_as_many_clicked_slates_are_held_out_as_are_allowed(tmp_path: Path) -> None:
    settings = config(
        attribution__window_ms=60_000, ranking__head="pairwise", trainer__max_held_out=12
    )
    room = Room(tmp_path, settings)
    room.take(answered_events(400, wants_cheap=True, unclicked_share=0.5))
    assert room.round.run() is Trained.PROMOTED
    _, reason = room.announced[0]
    assert reason.endswith("on 12 held-out clicks")


def test_nothing_is_trained_before_the_gate_could_compare_it(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    room.take(answered_events(200, wants_cheap=True))
    room.round.run()
    room.take(answered_events(200, wants_cheap=True, first=200, seed=4, unclicked_share=0.9))
    assert room.round.run() is Trained.SKIPPED
    assert "found 4 clicked slates among the 19 that are held out, expected 10" in caplog.text
    assert room.sample("trainer_run_duration_seconds_count", phase="fit") == 1
    assert len(room.announced) == 1

    room.take(answered_events(1000, wants_cheap=True, first=400, seed=5, unclicked_share=0.9))
    assert room.round.run() is not Trained.SKIPPED
    assert room.sample("trainer_run_duration_seconds_count", phase="fit") == 2


def test_slates_whose_window_is_open_are_waited_for(room: Room) -> None:
    """Of these only the clicked ones are known: all would seem to be clicked."""
    events = answered_events(100, wants_cheap=True)
    unanswered = [event for event in events[-10:] if not isinstance(event, Action)]
    room.take([*events[:-10], *unanswered])
    settled = room.round.slates.settled()
    assert len(settled) == 100 - PER_WINDOW
    assert [one.shown_at_ms for one in settled] == sorted(one.shown_at_ms for one in settled)


def test_nothing_is_trained_on_slates_without_clicks(room: Room) -> None:
    events = answered_events(100, wants_cheap=True)
    room.take([event for event in events if not isinstance(event, Action)])
    assert room.round.num_new > 0
    assert room.round.run() is Trained.SKIPPED
    assert not room.announced


class Says:
    """A ranker that says what it was told."""

    def __init__(self, *predicted: float) -> None:
        self._predicted = np.array(predicted)

    def predicted(self, _relevance: object, _examination: object) -> npt.NDArray[np.float64]:
        return self._predicted


def test_equals_share_their_places(room: Room) -> None:
    room.take(answered_events(20, wants_cheap=True))
    slate = room.round.slates.newest()[0]._replace(labels=np.array([False, True, False]))
    for predicted, rank in (((3, 2, 1), 2.0), ((2, 2, 2), 2.0), ((1, 2, 2), 1.5)):
        assert gains_of_clicks(Says(*predicted), [slate]).tolist() == [1 / rank]  # type: ignore[arg-type]

"""Models of finished logs as live sources of an evaluation."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from featurestore.events import Action, Event, decode_event, encode_event
from models.history import History, HistoryEvent
from models.registry import new_recommender
from streams.config import Config, ConfigRefused, config_of
from streams.evaluation.evaluate import Evaluation, _Run
from streams.evaluation.plan import Start, plan
from streams.evaluation.result import Result
from streams.evaluation_config import MIN_TRAINING_MS
from streams.event_file import read_values
from streams.finished_log import log_of
from tests.streams.evaluation.test_evaluate import NO_COST, shop, without_cost, written
from tests.streams.stream_events import START_MS, click

SAMPLE = 0.2
START = Start(fraction=0.2)


def configured(*names: str, **evaluation: float) -> Config:
    return config_of(
        {
            "ranking": {"skip_acted": False},
            "trainer": {"min_actions": 100},
            "online": {"extra_sources": list(names)},
            "features": {"sources": ["trending", "covisitation"]},
            "retrieval": {"limits": dict.fromkeys(names, 5)},
            "evaluation": {"model_interval_s": 400, **evaluation},
        }
    )


class Made:
    """A run, and where each source's bundle was first asked."""

    def __init__(self, tmp_path: Path, config: Config, events: Sequence[Event]) -> None:
        tmp_path.mkdir(exist_ok=True)
        path = written(tmp_path, events)
        folder = tmp_path / "bundles"
        planned = plan(read_values(path), config.action_table(), START, sample=SAMPLE, seed=7)
        run = _Run(config, planned)
        run.train_models(folder)
        self.first_asked_ms: dict[str, int] = {}
        for place, value in enumerate(read_values(path)):
            run.take(place, value)
            for loaded in run._live.loaded.values():
                self.first_asked_ms.setdefault(loaded.digest, decode_event(value).ts_ms)
        run.finish()
        self.costs = run.model_costs
        self.result: Result = run.result(Evaluation(path=path, start=START, sample=SAMPLE), NO_COST)
        self.left = list(folder.iterdir()) if folder.exists() else []


def history_before(events: Sequence[Event], cutoff: int) -> History:
    """What a model may know: the positive actions before a place of the log."""
    history = History()
    history.append(
        (
            HistoryEvent(
                user_id=event.user_id,
                time_s=event.ts_ms // 1000,
                action=1,
                item_id=event.item_id,
            )
            for event in events[:cutoff]
            if isinstance(event, Action) and event.action == "click"
        ),
        from_offset=0,
        to_offset=1,
    )
    return history


def fitted_digest(tmp_path: Path, name: str, history: History, **settings: int) -> str:
    model = new_recommender(name, **settings)
    for _ in model.fit(history):
        pass
    return model.save(tmp_path / f"expected-{name}").digest


def test_a_model_learns_what_was_read_before_its_cut_off_and_serves_when_it_could(
    tmp_path: Path,
) -> None:
    events = shop(1_000)
    # What is no positive action teaches nothing.
    events[10] = click("u1", "viewed", events[10].ts_ms, action="view")
    made = Made(tmp_path, configured("ease"), events)
    [bundle, *more] = made.result.bundles

    assert len(more) == 1, "the log's begin is followed by 999 s, of which 400 s are an interval"
    assert bundle.model == "ease"
    assert events[bundle.cutoff_event - 1].ts_ms == START_MS + 400_000
    history = history_before(events, bundle.cutoff_event)
    assert bundle.digest == fitted_digest(tmp_path, "ease", history)
    assert bundle.usable_from_ms >= START_MS + 400_000 + MIN_TRAINING_MS
    assert made.first_asked_ms[bundle.digest] == bundle.usable_from_ms // 1000 * 1000


def test_its_figures_and_its_cost_are_named_and_no_bundle_is_left(tmp_path: Path) -> None:
    events = shop(1_000)
    made = Made(tmp_path, configured("ease", "vsknn"), events)
    figures, cost = made.result.sources["ease"], made.costs["ease"]
    cutoffs = [one.cutoff_event for one in made.result.bundles if one.model == "ease"]

    assert figures.asked.hr_20
    assert figures.proposed.hr_20
    assert cost.trainings == len(cutoffs) == 2
    assert cost.actions == sum(len(history_before(events, cutoff).items) for cutoff in cutoffs)
    assert cost.training_s > 0
    assert 0 < cost.bundle_mb < 1
    assert sorted(made.costs) == ["ease", "vsknn"]
    assert made.left == []


def test_a_model_that_can_goes_on_from_its_weights(tmp_path: Path) -> None:
    events = shop(1_000)
    made = Made(tmp_path, configured("als", model_seed=3), events)
    first, second = made.result.bundles
    model = new_recommender("als", seed=3)
    for _ in model.fit(history_before(events, first.cutoff_event)):
        pass
    assert model.save(tmp_path / "first").digest == first.digest
    further = model.continue_fit(history_before(events, second.cutoff_event))
    assert further is not None
    for _ in further:
        pass

    assert model.save(tmp_path / "second").digest == second.digest


@pytest.mark.parametrize("name", ["autoencoder", "youtube"])
def test_a_model_learns_the_moments_that_training_from_a_file_tells(
    tmp_path: Path, name: str
) -> None:
    phones = ("phone", "tablet", "desk")
    events = [
        msgspec.structs.replace(event, context={"device": phones[number % 3]})
        for number, event in enumerate(shop(450))
    ]
    config = configured(name)
    made = Made(tmp_path, config, events)
    (bundle,) = made.result.bundles
    read = events[: bundle.cutoff_event]

    history = log_of("log", map(encode_event, read), config).history
    assert history.contexts.any()
    assert bundle.digest == fitted_digest(tmp_path, name, history, seed=0)


@pytest.mark.parametrize("interval_s", [0, 299.9, -1, math.nan])
def test_an_interval_shorter_than_a_training_is_refused(interval_s: float) -> None:
    with pytest.raises(ConfigRefused, match="model_interval_s from 300 on, or inf"):
        configured("ease", model_interval_s=interval_s)


@pytest.mark.parametrize("settings", [{"model_interval_s": math.inf}, {"model_interval_s": 2_000}])
def test_without_a_training_the_source_stays_absent(
    tmp_path: Path, settings: dict[str, float]
) -> None:
    made = Made(tmp_path, configured("ease", **settings), shop(600))

    assert made.result.bundles == []
    assert made.costs == {}
    assert made.result.sources["ease"].asked.hr_20 == 0


def test_the_same_seed_gives_the_same_figures_and_another_another_model(tmp_path: Path) -> None:
    made = [
        Made(tmp_path / str(number), configured("bprmf", model_seed=seed), shop(500))
        for number, seed in enumerate((1, 1, 2))
    ]
    digests = [[bundle.digest for bundle in one.result.bundles] for one in made]
    without_times = [figures_of(one.result) for one in made]

    assert digests[0] == digests[1] != digests[2]
    assert without_times[0] == without_times[1]


def figures_of(result: Result) -> Result:
    """The result without what the time of training decides."""
    bundles = [msgspec.structs.replace(one, usable_from_ms=0) for one in result.bundles]
    return msgspec.structs.replace(without_cost(result), bundles=bundles)

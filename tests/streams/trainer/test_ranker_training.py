"""A ranker is trained on the slates of a log and judged on those that it has not learned yet."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from models.bundle import load_bundle
from models.rankers.ranker_bundle import RankerHead
from streams.cli import _headrace
from streams.event_file import write_events
from streams.one_process import OneProcess
from streams.trainer.answered_slates import AnsweredSlate
from streams.trainer.ranker_training import NoSlates, judged, slates_of, train_ranker
from tests.streams.priced_slates import answered_events
from tests.streams.taught import config

SETTINGS = config()
HEAD = RankerHead(name="xgboost_logistic", shape=SETTINGS.slate_shape())


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "cheap.jsonl"
    write_events(path, answered_events(300, wants_cheap=True))
    return path


@pytest.fixture(scope="module")
def slates(log: Path) -> list[AnsweredSlate]:
    return slates_of(str(log), SETTINGS).newest()


def test_the_slates_of_a_file_are_those_that_the_live_system_would_learn(
    slates: list[AnsweredSlate],
) -> None:
    system, closed = OneProcess(SETTINGS), []
    for place, event in enumerate(answered_events(300, wants_cheap=True)):
        effects = system.process(place, event, wants_lists=False)
        closed += system.learn(place, effects).closed

    assert len(slates) == len(closed) == 300
    for mine, theirs in zip(slates, closed, strict=True):
        assert mine.labels.tolist() == theirs.is_clicked().tolist()
        assert mine.relevance.astype("<i4").tobytes() == theirs.slate.row.relevance


def test_the_newest_tenth_is_judged_before_it_is_learned(slates: list[AnsweredSlate]) -> None:
    trained = train_ranker(HEAD, slates)

    before = HEAD.untrained()
    for one in slates[:270]:
        before.learn(*one[2:])
    before = before.refresh() or before
    assert trained.quality == judged(before, slates[270:])
    assert trained.quality.slates == 30
    assert trained.num_slates == 300
    assert trained.cutoff_ms == max(one.shown_at_ms for one in slates)
    assert set(trained.metrics) == {"ne", "auc", "mrr", "mrr_by_relevance", "watch_mispredicted"}
    assert (trained.metrics["mrr_by_relevance"] or 0) > 0.6
    # All of it is learned by then.
    asked = slates[0].relevance
    assert trained.ranker.scores(asked).tolist() != before.scores(asked).tolist()


def test_the_newest_are_those_that_were_shown_last(tmp_path: Path) -> None:
    """Clicked slates close at once, the others all at the log's end."""
    path = tmp_path / "half.jsonl"
    write_events(path, answered_events(200, wants_cheap=True, unclicked_share=0.5))
    slates = slates_of(str(path), SETTINGS).newest()
    assert not any(one.labels.any() for one in slates[-20:])

    trained = train_ranker(HEAD, slates)
    in_order = sorted(slates, key=lambda one: one.shown_at_ms)
    before = HEAD.untrained()
    for one in in_order[:180]:
        before.learn(*one[2:])
    assert trained.quality == judged(before.refresh() or before, in_order[180:])
    assert trained.quality.slates == 20
    assert trained.metrics["mrr"] is not None


def test_the_command_says_how_good_the_bundle_is_and_where_it_lies(
    log: Path, tmp_path: Path
) -> None:
    arguments = ["train", "pairwise", "--from", str(log)]
    done = CliRunner().invoke(_headrace, arguments, env={"HEADRACE_MODELS": str(tmp_path)})

    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    bundle = load_bundle(folder)
    told = done.output.splitlines()[-1]
    assert told.startswith(f"{bundle.digest[:12]} in {folder}: 300 slates; of the held-out ones")
    assert folder.name == f"{bundle.config.kind}-{bundle.config.created_ms}"
    assert bundle.config.kind == "ranker-pairwise"
    ranker = RankerHead(name="pairwise", shape=SETTINGS.slate_shape()).load(bundle)
    assert np.ptp(ranker.scores(slates_of(str(log), SETTINGS).newest()[0].relevance)) > 0


def test_a_log_without_slates_is_refused_with_what_was_found(
    slates: list[AnsweredSlate],
) -> None:
    with pytest.raises(NoSlates, match="found 0 answered slates"):
        train_ranker(HEAD, [])
    unclicked = [one._replace(labels=np.zeros(8, np.bool_)) for one in slates]
    with pytest.raises(NoSlates, match="found 300 answered slates, 0 of the first 270"):
        train_ranker(HEAD, unclicked)
    with pytest.raises(NoSlates, match="expected 10 or more slates"):
        train_ranker(HEAD, slates[:9])


WATCH_TIME = RankerHead(name="watch_time", shape=SETTINGS.slate_shape())


def test_watch_times_are_needed_where_they_are_learned(slates: list[AnsweredSlate]) -> None:
    odd = [
        one._replace(watch_times=np.full(8, np.nan)) if place % 2 else one
        for place, one in enumerate(slates)
    ]
    train_ranker(WATCH_TIME, odd[:20])
    with pytest.raises(NoSlates, match="found no watch time of 0 or more at 150 clicks"):
        train_ranker(WATCH_TIME, odd[1::2])


def test_a_negative_value_teaches_nothing_and_stops_nothing(tmp_path: Path) -> None:
    first_click, *others = answered_events(20, wants_cheap=True)[1:]
    shown = answered_events(20, wants_cheap=True)[0]
    negative = msgspec.structs.replace(first_click, value=-1.0)
    path = tmp_path / "negative.jsonl"
    write_events(path, [shown, negative, *others])
    slates = slates_of(str(path), SETTINGS).newest()
    assert np.isnan(slates[0].watch_times).all()
    assert slates[0].labels.any()
    assert train_ranker(WATCH_TIME, slates).num_slates == 20

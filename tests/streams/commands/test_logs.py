"""From a public log to an event file, and from that to a RESULT, by the command line alone."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from featurestore.events import Action, CatalogueItem, ItemId, Visit, decode_event
from models.bundle import load_bundle
from models.registry import load_recommender
from streams.cli import _headrace
from streams.evaluation.offline_result import OfflineResult
from streams.evaluation.result import Result, decode_result
from streams.evaluation.result_schemas import result_schema
from streams.evaluation.temporal_result import TemporalResult
from streams.event_file import EventFileError, read_values, write_events
from streams.item_log import digest_of, read_items

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def ratings(num_users: int = 30) -> str:
    """Users who rate four of eight films one after the other, many in the same order."""
    lines = [
        f"u{user}\tfilm{(user % 3 + place) % 8}\t5\t{1_000_000 + 100 * user + 10 * place}\n"
        for user in range(num_users)
        for place in range(4)
    ]
    return HEADER + "".join(lines)


@pytest.fixture
def events_file(tmp_path: Path) -> Path:
    log, target = tmp_path / "ml-100k.inter", tmp_path / "events.jsonl.gz"
    log.write_text(ratings(), encoding="latin-1")
    done = CliRunner().invoke(_headrace, ["convert", "movielens", str(log), str(target)])
    assert done.exit_code == 0, done.output
    assert "150 events" in done.output
    return target


def test_a_converted_log_is_an_event_file(events_file: Path) -> None:
    events = [decode_event(value) for value in read_values(events_file)]

    assert sum(isinstance(event, Action) for event in events) == 120
    assert sum(isinstance(event, Visit) for event in events) == 30


@pytest.mark.parametrize("log", ["globo", "movielens", "open_bandit", "trivago"])
def test_what_is_not_the_log_is_refused_and_leaves_no_file(tmp_path: Path, log: str) -> None:
    source, target = tmp_path / "source", tmp_path / "events.jsonl"
    source.write_text("no such log\n")
    done = CliRunner().invoke(_headrace, ["convert", log, str(source), str(target)])

    assert done.exit_code == 1
    assert done.output.splitlines()[-1].startswith(f"Error: {log}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    source = tmp_path / "u.data"
    source.write_text("1\t2\t3\t4\n")
    target = tmp_path / "missing" / "events.jsonl"
    done = CliRunner().invoke(_headrace, ["convert", "movielens", str(source), str(target)])

    assert done.exit_code == 1
    assert "missing" in done.output


def test_an_evaluation_writes_a_result_that_the_schema_accepts(
    events_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "RESULT.json"
    arguments = ["evaluate", str(events_file), "--out", str(out), "--evaluate-from", "0.4"]
    label = "actions.rating={code=8, weight=1.0, is_label=true}"
    done = CliRunner().invoke(_headrace, [*arguments, "--set", label])
    assert done.exit_code == 0, (done.output, done.exception)

    value = out.read_bytes()
    jsonschema.Draft202012Validator(result_schema(Result)).validate(json.loads(value))
    result = decode_result(value)
    assert result.file == "events.jsonl.gz"
    assert result.cost.events == 150
    assert result.next_item.evaluated > 0
    assert f"next item, {result.next_item.evaluated} actions" in done.output
    assert "150 events in " in done.output
    assert "each source alone" in done.output
    assert "trainings" not in done.output
    assert not (tmp_path / "RESULT.freshness.svg").exists()


def test_what_it_took_to_train_a_source_is_told(events_file: Path) -> None:
    settings = (
        "actions.rating={code=8, weight=1.0, is_label=true}",
        'online.extra_sources=["transformer", "vsknn"]',
        "evaluation.model_interval_s=300",
        "trainer.min_actions=20",
    )
    arguments = ["evaluate", str(events_file), "--evaluate-from", "0.4"]
    for setting in settings:
        arguments += ["--set", setting]
    done = CliRunner().invoke(_headrace, arguments)
    assert done.exit_code == 0, (done.output, done.exception)

    trainings = done.output.split("trainings")[1].splitlines()
    assert any("vsknn" in line for line in trainings)
    assert not any("transformer" in line for line in trainings), "which needs --train-every"


def test_a_catalogue_is_named_in_the_result(events_file: Path, tmp_path: Path) -> None:
    items, out = tmp_path / "items.jsonl", tmp_path / "RESULT.json"
    write_events(items, [CatalogueItem(item_id=ItemId("1"), categories=("drama",))])
    arguments = ["evaluate", str(events_file), "--items", str(items), "--out", str(out)]
    done = CliRunner().invoke(_headrace, arguments)
    assert done.exit_code == 0, (done.output, done.exception)

    assert decode_result(out.read_bytes()).items_digest == digest_of(read_items(items))


def test_attributes_that_nothing_tells_are_refused(events_file: Path) -> None:
    arguments = ["evaluate", str(events_file), "--train-every", "60"]
    done = CliRunner().invoke(_headrace, [*arguments, "--set", "trainer.reads_attributes=true"])

    assert done.exit_code == 2
    assert "add --items FILE" in " ".join(done.output.split())


def test_a_catalogue_that_is_none_is_refused(events_file: Path) -> None:
    arguments = ["evaluate", str(events_file), "--items", str(events_file)]
    done = CliRunner().invoke(_headrace, arguments)

    assert isinstance(done.exception, EventFileError)
    assert "a line is no record of an item" in str(done.exception)


def test_what_a_late_part_costs_is_told_and_drawn(events_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "RESULT.json"
    arguments = ["evaluate", str(events_file), "--out", str(out), "--evaluate-from", "0.4"]
    settings = ("actions.rating={code=8, weight=1.0, is_label=true}", "evaluation.delays_s=[inf]")
    done = CliRunner().invoke(_headrace, [*arguments, "--set", settings[0], "--set", settings[1]])
    assert done.exit_code == 0, (done.output, done.exception)

    for part in ("counters", "state", "weights"):
        assert f"{part} never" in done.output
    assert (tmp_path / "RESULT.freshness.svg").read_bytes().startswith(b"<?xml")


def test_a_start_that_is_none_is_a_matter_of_usage(events_file: Path) -> None:
    done = CliRunner().invoke(_headrace, ["evaluate", str(events_file), "--evaluate-from", "soon"])

    assert done.exit_code == 2
    assert "--evaluate-from" in done.output


@pytest.fixture
def walks(tmp_path: Path) -> Path:
    """Users who rate six of eight films in a circle, starting anywhere."""
    log, target = tmp_path / "u.data", tmp_path / "walks.jsonl"
    lines = [
        f"u{user}\tfilm{(user + step) % 8}\t5\t{1_000_000 + 100 * user + step}\n"
        for user in range(40)
        for step in range(6)
    ]
    log.write_text("".join(lines))
    CliRunner().invoke(_headrace, ["convert", "movielens", str(log), str(target)])
    return target


def test_offline_models_are_evaluated_and_their_result_fits_the_schema(
    walks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "R.json"
    arguments = ["evaluate", str(walks), "--protocol", "leave-one-out", "--out", str(out)]
    done = CliRunner().invoke(
        _headrace, [*arguments, "--model", "popularity", "--model", "covisitation"]
    )
    assert done.exit_code == 0, done.output
    assert "40 users, 8 items" in done.output
    result = json.loads(out.read_bytes())
    jsonschema.validate(result, result_schema(OfflineResult))
    test = {name: run["test"] for name, run in result["models"].items()}
    assert test["covisitation"]["ndcg@10"] > 0.9 > test["popularity"]["ndcg@10"]


def test_models_are_tested_on_what_came_after_they_had_learned(walks: Path, tmp_path: Path) -> None:
    out = tmp_path / "R.json"
    arguments = ["evaluate", str(walks), "--protocol", "temporal", "--out", str(out)]
    models = ["--model", "popularity", "--model", "covisitation", "--variant", "stale"]
    window = ["--sample", "0.5", "--seed", "3", "--refresh-every", "0.1"]
    done = CliRunner().invoke(_headrace, [*arguments, *models, *window])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_bytes())
    jsonschema.validate(result, result_schema(TemporalResult))
    expected = int((np.random.default_rng(3).random(120) < 0.5).sum())
    assert result["questions"] == expected
    assert f"temporal, {expected} actions, 8 of 8 items known before" in done.output
    assert result["window"]["refresh_every_h"] == 0.1
    stale = {name: run["variants"] for name, run in result["models"].items()}
    assert [list(variants) for variants in stale.values()] == [["stale"], ["stale"]]
    good, plain = (
        stale[name]["stale"]["test"]["ndcg@10"] for name in ("covisitation", "popularity")
    )
    assert good > plain
    assert "covisitation stale" in done.output


def test_a_log_with_nothing_after_t_is_refused(walks: Path) -> None:
    arguments = ["evaluate", str(walks), "--protocol", "temporal", "--evaluate-from", "1.0"]
    done = CliRunner().invoke(_headrace, arguments)
    assert done.exit_code == 1
    assert "240 of them before" in done.output


def test_a_model_is_trained_saved_and_never_overwritten(walks: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    arguments = ["train", "covisitation", "--from", str(walks), "--out", str(folder)]

    done = CliRunner().invoke(_headrace, arguments)

    assert done.exit_code == 0, done.output
    bundle = load_bundle(folder)
    assert bundle.digest[:12] in done.output
    model = load_recommender(bundle)
    scores = model.scores([model.sequence("u", ["film3"])])[0]
    assert model.item_ids[int(scores.argmax())] == "film4"
    again = CliRunner().invoke(_headrace, arguments)
    assert again.exit_code == 1
    assert "never overwritten" in again.output


def test_a_log_that_nothing_can_be_held_out_of_is_refused(tmp_path: Path) -> None:
    log, events = tmp_path / "ml-100k.inter", tmp_path / "events.jsonl"
    log.write_text(HEADER + "u\tfilm\t5\t1000000\n")
    CliRunner().invoke(_headrace, ["convert", "movielens", str(log), str(events)])

    done = CliRunner().invoke(_headrace, ["train", "popularity", "--from", str(events)])

    assert done.exit_code == 1
    assert "none with three" in done.output

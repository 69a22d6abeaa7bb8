"""Configuration: precedence, every problem at once, secrets, digest."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from featurestore.actions import Effect
from streams.config import (
    CONFIG_VARIABLE,
    ENVIRONMENT,
    Config,
    ConfigRefused,
    as_plain,
    config_of,
    load_config,
)
from streams.heads import Head

PORT_VARIABLE = "HEADRACE_WORKER_METRICS_PORT"
DOCUMENTED = Path(__file__).parents[2] / "headrace.toml"
SECRET_URL = "redis://:hunter2@elsewhere:6379/0"  # noqa: S105  # what must not be printed


def test_nothing_configured_is_the_defaults() -> None:
    assert config_of({}) == Config()


def test_the_documented_file_holds_exactly_the_defaults() -> None:
    assert load_config(DOCUMENTED, {}) == Config()


def test_the_documented_file_names_every_key() -> None:
    documented = tomllib.loads(DOCUMENTED.read_text())

    def undocumented(values: object, shown: object, key: str) -> list[str]:
        if not isinstance(values, dict):
            return []
        known = shown if isinstance(shown, dict) else {}
        found = []
        for name, value in values.items():
            # An action's name is its table, and most are no label.
            if name in known:
                found += undocumented(value, known[name], f"{key}.{name}")
            elif not key.startswith(".actions."):
                found.append(f"{key}.{name}")
        return found

    assert undocumented(as_plain(Config()), documented, "") == []


def test_the_page_on_configuration_names_every_variable_and_section() -> None:
    page = (DOCUMENTED.parent / "docs" / "configuration.md").read_text()

    missing = [name for name in (*ENVIRONMENT, CONFIG_VARIABLE) if f"`{name}`" not in page]
    missing += [entry.name for entry in fields(Config) if f"`{entry.name}`" not in page]
    assert missing == []


def test_overrides_win_over_environment_over_file() -> None:
    file_values = {"kafka": {"brokers": ["file:1"]}, "worker": {"metrics_port": 1}}
    environment = {"HEADRACE_KAFKA": "env:1,env:2", "HEADRACE_WORKER_METRICS_PORT": "2"}

    config = config_of(file_values, environment, ["worker.metrics_port=3"])

    assert config.kafka.brokers == ("env:1", "env:2")
    assert config.worker.metrics_port == 3


def test_an_unrelated_environment_is_ignored() -> None:
    assert config_of({}, {"HEADRACE_SOMETHING": "x", "PATH": "y"}) == Config()


def test_a_configured_action_changes_its_default_and_a_new_one_joins() -> None:
    config = config_of(
        {
            "actions": {
                "click": {"weight": 2},
                "wish": {"code": 30, "weight": 1.5, "effect": "positive"},
            }
        }
    )

    table = config.action_table()
    assert table.spec("click").weight == 2.0
    assert table.spec("click").is_label
    assert table.spec("wish").code == 30
    assert table.spec("wish").effect is Effect.POSITIVE
    assert table.spec("hide").effect is Effect.NEGATIVE


def test_every_problem_is_reported_at_once_with_found_and_expected() -> None:
    with pytest.raises(ConfigRefused) as refused:
        config_of(
            {
                "kafka": {"brokers": "localhost:9092", "topics": {"evnts": "e"}},
                "ranking": {"list_size": "twenty"},
                "actions": {"click": {"effect": "loved"}, "zap": {"code": 31}},
                "learner": 5,
            },
            {PORT_VARIABLE: "high"},
            ["ranking.head=best", "nonsense"],
        )

    lines = sorted(problem.line for problem in refused.value.problems)
    heads = ", ".join(map(repr, get_args(Head)))
    assert lines == [
        "--set: found 'nonsense', expected KEY=VALUE",
        "actions.click.effect: found 'loved', expected one of 'positive', 'neutral', 'negative'",
        "actions.zap.effect: found nothing, expected one of 'positive', 'neutral', 'negative'",
        "actions.zap.weight: found nothing, expected a number",
        "kafka.brokers: found 'localhost:9092', expected a list, each a string",
        "kafka.topics.evnts: found an unknown key, expected 'events'?",
        "learner: found 5, expected a table of settings",
        f"ranking.head (from --set): found 'best', expected one of {heads}",
        "ranking.list_size: found 'twenty', expected an integer",
        f"worker.metrics_port (from {PORT_VARIABLE}): found 'high', expected an integer",
    ]
    assert all(line in str(refused.value) for line in lines)


def test_a_value_that_only_its_component_can_judge_is_a_problem_too() -> None:
    with pytest.raises(ConfigRefused, match=r"ranking: .*list_size"):
        config_of({"ranking": {"list_size": 0}})
    with pytest.raises(ConfigRefused, match="code 1 occurs twice"):
        config_of({"actions": {"wish": {"code": 1, "weight": 1, "effect": "positive"}}})


def test_sources_are_those_that_bundles_can_bring_and_only_they_get_a_limit() -> None:
    sources = "online.extra_sources=['transformer', 'als']"
    chosen = config_of({}, {}, [sources, "retrieval.limits.als=40", "features.sources=['als']"])
    assert chosen.retrieval.limits["als"] == 40
    factors = ["online.extra_sources=['transformer', 'factors']", "retrieval.limits.factors=40"]
    assert config_of({}, {}, factors).online_models().factors is not None
    refused = {
        "online.extra_sources=['popularity']": "extra_sources among als, .*found popularity",
        "online.extra_sources=['als']": "features.sources among .*found transformer",
        "side.context=['device', 'session_step']": "side.context without session_step",
        "retrieval.limits.als=40": "retrieval.limits among .*found als",
        "retrieval.limits.factors=40": "retrieval.limits among .*found factors",
        "features.sources=['factors']": "features.sources among .*found factors",
    }
    for override, said in refused.items():
        with pytest.raises(ConfigRefused, match=said):
            config_of({}, {}, [override])
    both = ["retrieval.limits.als=40", "features.sources=['als']"]
    with pytest.raises(ConfigRefused, match=r"limits among .*found als.*sources among .*found als"):
        config_of({}, {}, both)


def test_a_file_that_is_missing_or_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[kafka\n")

    for path in (broken, tmp_path / "absent.toml"):
        with pytest.raises(ConfigRefused, match=path.name):
            load_config(path, {})


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "named.toml"
    path.write_text("[worker]\nmetrics_port = 7\n")

    assert load_config(None, {"HEADRACE_CONFIG": str(path)}).worker.metrics_port == 7


def test_secrets_are_used_and_never_printed() -> None:
    config = config_of({}, {"HEADRACE_REDIS": SECRET_URL})

    assert config.redis.url.reveal() == SECRET_URL
    for shown in (repr(config), str(config.redis), str(as_plain(config))):
        assert "hunter2" not in shown
    with pytest.raises(ConfigRefused) as refused:
        config_of({"redis": {"url": ["hunter2"]}})
    assert "hunter2" not in str(refused.value)


def test_the_digest_names_the_rules_and_not_the_place() -> None:
    digest = config_of({}).digest()

    assert len(digest) == 8
    assert config_of({}, {"HEADRACE_KAFKA": "far:9092", "HEADRACE_REDIS": SECRET_URL}).digest() == (
        digest
    )
    assert config_of({"ranking": {"list_size": 10}}).digest() != digest
    assert config_of({"side": {"context": ["plan"]}}).digest() != digest
    assert config_of({"actions": {"click": {"weight": 2}}}).digest() != digest

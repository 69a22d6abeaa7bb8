"""What is configured, and how do a TOML file, the environment and `--set` become one `Config`?

Later ones win: the defaults, the file, the environment (addresses and secrets), `--set a.b=value`.
Loading is a pure function of mappings; only `load_config` reads a file.
"""

from __future__ import annotations

import enum
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

from featurestore.actions import DEFAULT_ACTIONS, ActionSpec, ActionTable
from featurestore.choice_features import NUM_PULLED
from featurestore.choice_layout import POSITIONS, ChoiceConfig, ChoiceLayout
from featurestore.features import FeatureConfig, FeatureLayout
from featurestore.fold import FoldRules
from featurestore.keys import item_key
from models.online.choice_head import ChoiceHead, Prior
from models.online.context_popularity import SESSION_STEP
from models.online.online_models import OnlineConfig, OnlineModels
from models.online.retrieval import RetrievalConfig
from models.online.sources import FACTORS
from models.policies.exploration import ExplorationConfig
from models.rankers.ranker_bundle import RankerHead
from models.rankers.registry import SERVABLE_RANKERS
from models.rankers.slate_ranker import SlateShape
from models.side_features import SideFeatures
from streams.config_reader import Problem, Secret, read_section
from streams.evaluation_config import EvaluationConfig
from streams.metric_families import COUNTING_SOURCES, EXTRA_SOURCES
from streams.sections import (
    AttributionConfig,
    ContributionConfig,
    FeaturesConfig,
    KafkaConfig,
    LearnerConfig,
    RankingConfig,
    RedisConfig,
    StateConfig,
    WorkerConfig,
)
from streams.training_sections import LiveGateConfig, TrainerConfig

ENVIRONMENT: Final[Mapping[str, str]] = {
    "HEADRACE_KAFKA": "kafka.brokers",
    "HEADRACE_REDIS": "redis.url",
    "HEADRACE_MODELS": "trainer.folder",
    "HEADRACE_WORKER_METRICS_PORT": "worker.metrics_port",
    "HEADRACE_LEARNER_METRICS_PORT": "learner.metrics_port",
    "HEADRACE_TRAINER_METRICS_PORT": "trainer.metrics_port",
}
"""Environment variables and the settings that they replace; `HEADRACE_CONFIG` names the file."""

CONFIG_VARIABLE: Final = "HEADRACE_CONFIG"
_DAY_MS: Final = 86_400_000
_LISTS: Final = frozenset({"kafka.brokers"})
_OPERATIONAL: Final = frozenset(
    {"kafka", "redis", "worker", "learner", "trainer", "gate", "evaluation"}
)


class ConfigRefused(ValueError):
    """The configuration has bad keys or values; the message lists all of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"the configuration has {len(self.problems)} problem(s):"]
        super().__init__("\n  ".join(lines + [problem.line for problem in self.problems]))


def _default_actions() -> Mapping[str, ActionSpec]:
    return {spec.name: spec for spec in DEFAULT_ACTIONS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be configured, a section a part. `headrace.toml` documents each key."""

    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    redis: RedisConfig = field(default_factory=RedisConfig)
    worker: WorkerConfig = field(default_factory=WorkerConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    gate: LiveGateConfig = field(default_factory=LiveGateConfig)
    actions: Mapping[str, ActionSpec] = field(default_factory=_default_actions)
    state: StateConfig = field(default_factory=StateConfig)
    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    contribution: ContributionConfig = field(default_factory=ContributionConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    side: SideFeatures = field(default_factory=SideFeatures)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        """Refuse parts that contradict each other.

        Raises:
            ValueError: Naming them.
        """
        self.fold_rules()
        extra = self.online.extra_sources
        named = (
            ("online.extra_sources", extra, {FACTORS, *EXTRA_SOURCES}),
            # The transformer has a limit by default, whether or not it is a source.
            ("retrieval.limits", self.retrieval.limits, {*COUNTING_SOURCES, "transformer", *extra}),
            ("features.sources", self.features.sources, {*COUNTING_SOURCES, *extra}),
        )
        bad = [
            f"{key} among {', '.join(sorted(known))} (found {', '.join(unknown)})"
            for key, names, known in named
            if (unknown := sorted(set(names) - set(known)))
        ]
        if SESSION_STEP in self.side.context:
            bad.append(
                f"side.context without {SESSION_STEP}, which no event tells: [online.contexts] "
                "alone counts by it (found it there)"
            )
        if bad:
            raise ValueError("; ".join(bad))

    def action_table(self) -> ActionTable:
        """Return the kinds of action, by name and by code."""
        return ActionTable.of(self.actions.values())

    def fold_rules(self) -> FoldRules:
        """Return the rules of the user state."""
        state = self.state
        return FoldRules(
            table=self.action_table(),
            max_actions=state.max_actions,
            max_seen=state.max_seen,
            max_hidden=state.max_hidden,
            max_shown=state.max_shown,
            horizon_ms=state.horizon_days * _DAY_MS,
            idle_ms=state.idle_minutes * 60_000,
        )

    def feature_layout(self) -> FeatureLayout:
        """Return which index of the click head's weights means what."""
        labels = tuple(spec.code for spec in self.actions.values() if spec.is_label)
        features = FeatureConfig(
            numeric=self.features.numeric,
            context=self.features.context,
            context_buckets=self.features.context_buckets,
            position_context=self.features.position_context,
            click_codes=labels,
        )
        return FeatureLayout(config=features, source_names=self.features.sources)

    def slate_shape(self) -> SlateShape:
        """Return what the indices of a shown slate's features mean to rankers."""
        layout = self.feature_layout()
        return SlateShape(
            offsets=layout.offsets, num_relevance=layout.relevance_width, meaning=layout.digest
        )

    def ranker_head(self) -> RankerHead | None:
        """Return the ranker that orders lists by its bundle; None where another head orders."""
        name = self.ranking.head
        return RankerHead(name=name, shape=self.slate_shape()) if name in SERVABLE_RANKERS else None

    @property
    def _has_choice(self) -> bool:
        return "choice" in (self.ranking.head, *self.online.heads)

    def choice_layout(self) -> ChoiceLayout | None:
        """Return what the choice head's cells mean; None where it is not in use."""
        return ChoiceLayout(config=self.choice) if self._has_choice else None

    def online_models(self) -> OnlineModels:
        """Return the models of the seconds clock with nothing learned, for learner and replica."""
        online = OnlineModels(
            self.online,
            num_click_weights=self.feature_layout().num_weights,
            key_of=item_key,
            choice=self._choice_head(),
        )
        online.tables.identity["layout"] = self.layout_digest(online)
        return online

    def layout_digest(self, online: OnlineModels) -> str:
        """Return 8 hexadecimal digits over what every number of a row's features means."""
        choice = self.choice_layout()
        meaning = repr(
            (
                self.feature_layout().digest,
                online.rerank_feature_names,
                None if choice is None else choice.digest,
            )
        )
        return hashlib.blake2b(meaning.encode(), digest_size=4).hexdigest()

    def _choice_head(self) -> ChoiceHead | None:
        layout = self.choice_layout()
        if layout is None:
            return None
        prior = Prior(
            means=layout.means,
            variances=layout.variances,
            min_variances=layout.min_variances,
            position_offset=layout.position_offset,
            num_positions=POSITIONS,
            num_pulled=NUM_PULLED,
        )
        return ChoiceHead(prior, meaning=layout.digest)

    @property
    def ttl_ms(self) -> int:
        """How long a state or list outlives its last write: twice what a state remembers."""
        return 2 * self.state.horizon_days * _DAY_MS

    def digest(self) -> str:
        """Return 8 hexadecimal digits over all that can change a state, a weight or a list.

        Addresses, ports, intervals and other operational settings are left out: a list made on
        another machine from the same events under the same rules carries the same digest.
        """
        values = {
            entry.name: as_plain(getattr(self, entry.name))
            for entry in fields(self)
            if entry.name not in _OPERATIONAL
        }
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=4).hexdigest()


def load_config(
    path: Path | None, environment: Mapping[str, str], overrides: Iterable[str] = ()
) -> Config:
    """Read a configuration.

    Args:
        path: The TOML file; without one, the file that `HEADRACE_CONFIG` names, if any.
        environment: The process's environment.
        overrides: `a.b=value` each, the value in TOML's notation or a bare string.

    Raises:
        ConfigRefused: With every problem of file, environment and overrides at once.
    """
    named = environment.get(CONFIG_VARIABLE)
    path = path or (Path(named) if named else None)
    return config_of(_file_values(path) if path else {}, environment, overrides)


def config_of(
    file_values: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Config:
    """Return the configuration that the values of a file, the environment and `--set` make.

    Raises:
        ConfigRefused: With every problem at once.
    """
    problems: list[Problem] = []
    values: dict[str, Any] = _copied(file_values)
    origins: dict[str, str] = {}
    for variable, key in ENVIRONMENT.items():
        if text := (environment or {}).get(variable):
            origins[key] = variable
            parsed = text.split(",") if key in _LISTS else _value_of(text, key)
            _put(values, key, parsed, problems)
    for override in overrides:
        key, equals, text = override.partition("=")
        if equals and key:
            origins[key] = "--set"
            _put(values, key, _value_of(text, key), problems)
        else:
            problems.append(Problem(key="--set", found=repr(override), expected="KEY=VALUE"))
    config = read_section(Config, values, "", problems)
    if config is None or problems:
        raise ConfigRefused(_with_origin(problem, origins) for problem in problems)
    return config


def as_plain(value: object) -> object:
    """Return a config as plain values, for digests and for printing; secrets are masked."""
    if isinstance(value, Secret):
        return "…"
    if is_dataclass(value):
        return {entry.name: as_plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): as_plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [as_plain(entry) for entry in value]
    return value


def _file_values(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigRefused(
            [Problem(key=str(path), found=str(error), expected="a readable TOML file")]
        ) from error


def _value_of(text: str, key: str) -> object:
    """What TOML makes of the text; what TOML does not understand is a string."""
    if key in _TEXTS:
        return text
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value


_TEXTS: Final = frozenset({"redis.url", "trainer.folder"})


def _put(values: dict[str, Any], key: str, value: object, problems: list[Problem]) -> None:
    *sections, name = key.split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            found = f"a value at {section!r}"
            problems.append(Problem(key=key, found=found, expected="a table there"))
            return
    table[name] = value


def _with_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    origin = origins.get(problem.key)
    return replace(problem, key=f"{problem.key} (from {origin})") if origin else problem


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _copied(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }

"""How is the pipeline made of a configuration? The same for the worker and for `evaluate`."""

from __future__ import annotations

from models.side_features import CLOCK
from streams.config import Config
from streams.pipeline.choosing import ChoiceFeaturer
from streams.pipeline.featuring import Featurer
from streams.pipeline.listing import ListBuilder
from streams.pipeline.live import LiveModels
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.rows import LearnedContexts
from streams.pipeline.scoring import Scorer


def build_pipeline(config: Config, live: LiveModels) -> Pipeline:
    """Return the pipeline that works with these models under this configuration.

    Args:
        config: The configuration from which the models were made, too.
        live: Names the sources whose scores become features.
    """
    choices = build_choice_featurer(config)
    return Pipeline(
        table=config.action_table(),
        rules=config.fold_rules(),
        choices=choices,
        builder=build_list_builder(config, build_scorer(config, live)),
        contexts=learned_contexts(config),
        contribution=config.contribution,
        layout_digest=config.layout_digest(live.online),
        config_digest=config.digest(),
    )


def learned_contexts(config: Config) -> LearnedContexts:
    """Return what the examples keep of events' contexts; what a time says is no part of them."""
    of_models = tuple(name for name in config.side.context if name not in CLOCK)
    counted = config.online.contexts.names
    return LearnedContexts(
        of_positives=(*counted, *(name for name in of_models if name not in counted)),
        of_others=of_models,
    )


def build_featurer(config: Config, live: LiveModels) -> Featurer:
    """Return what computes the click head's features."""
    return Featurer(config.feature_layout(), [source.name for source in live.sources])


def build_scorer(config: Config, live: LiveModels) -> Scorer:
    """Return what asks sources and heads."""
    featurer, choices = build_featurer(config, live), build_choice_featurer(config)
    return Scorer(config.ranking, featurer, choices)


def build_choice_featurer(config: Config) -> ChoiceFeaturer | None:
    """Return what computes the choice head's features; None where that head is not in use."""
    layout = config.choice_layout()
    return None if layout is None else ChoiceFeaturer(layout, config.action_table())


def build_list_builder(config: Config, scorer: Scorer) -> ListBuilder:
    """Return what makes lists."""
    return ListBuilder(
        ranking=config.ranking,
        retrieval=config.retrieval,
        exploration=config.exploration,
        scorer=scorer,
        config_digest=config.digest(),
        compare_rate=config.gate.compare_rate,
    )

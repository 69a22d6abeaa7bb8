"""Which next-item models can be trained from a log, and under which names?

Adding a model is one file in `models/recommenders/` and one line in `RECOMMENDERS`; the contract
suite, the benchmark and the command line take it from here. Models that need torch are imported
when they are asked for, so that the others cost nothing.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from models.bundle import Bundle, BundleRefused
from models.errors import ModelError
from models.recommender import KIND_PREFIX, Recommender

RECOMMENDERS: Final[Mapping[str, str]] = {
    "popularity": "models.recommenders.popularity:PopularityRecommender",
    "covisitation": "models.recommenders.covisitation:CovisitationRecommender",
    "vsknn": "models.recommenders.vsknn:NeighbourRecommender",
    "als": "models.recommenders.als:AlsRecommender",
    "bprmf": "models.recommenders.bprmf:BprRecommender",
    "tensor": "models.recommenders.tensor:TensorRecommender",
    "ease": "models.recommenders.ease:LinearAutoencoder",
    "autoencoder": "models.recommenders.autoencoder:AutoencoderRecommender",
    "two_tower": "models.recommenders.two_tower:TwoTowerRecommender",
    "youtube": "models.recommenders.youtube:WatchRecommender",
    "lstm": "models.recommenders.lstm:LstmRecommender",
    "transformer": "models.recommenders.transformer:TransformerRecommender",
}
"""Module and class of each model by its name."""


SERVABLE: Final = (
    "als",
    "autoencoder",
    "bprmf",
    "ease",
    "lstm",
    "tensor",
    "two_tower",
    "vsknn",
    "youtube",
)
"""The registered models that can be live sources. Popularity and co-visitation are live counters
already, and the live transformer is the trainer's, which sees the counters."""


class UnknownModel(ModelError, LookupError):
    """No model is registered under this name."""


def recommender_class(name: str) -> type[Recommender]:
    """Return the class of a registered model.

    Raises:
        UnknownModel: there is none of this name.
    """
    try:
        module, _, attribute = RECOMMENDERS[name].partition(":")
    except KeyError:
        known = ", ".join(sorted(RECOMMENDERS))
        raise UnknownModel(f"model {name!r} found, one of {known} expected") from None
    found: type[Recommender] = getattr(import_module(module), attribute)
    return found


def new_recommender(name: str, **settings: Any) -> Recommender:  # noqa: ANN401 - each model its own
    """Return an unfitted model with these settings of its own, defaults for the others.

    Raises:
        UnknownModel: there is none of this name.
    """
    return recommender_class(name)(**settings)


def load_recommender(bundle: Bundle) -> Recommender:
    """Return the model that a checked bundle was saved from.

    Raises:
        BundleRefused: no registered model wrote it, or its weights do not fit.
    """
    kind = bundle.config.kind
    if not kind.startswith(KIND_PREFIX):
        raise BundleRefused(f"{bundle.folder}: kind {kind!r} is no model trained offline")
    try:
        found = recommender_class(kind.removeprefix(KIND_PREFIX))
    except UnknownModel as error:
        raise BundleRefused(f"{bundle.folder}: {error}") from error
    return found.from_bundle(bundle)

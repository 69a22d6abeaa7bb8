"""How does a training state become a bundle, and a bundle a training state again?"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from models.bundle import OPTIMIZER, WEIGHTS, Bundle, BundleConfig, BundleRefused, write_bundle
from models.encoder import BUNDLE_KIND, side_read_by
from models.side_features import SideFeatures
from models.transformer.export import encoder_graph
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState

_SIZES: Final = frozenset(field.name for field in fields(NetworkConfig))


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a bundle comes from.

    Attributes:
        created_ms: when training ended.
        cutoff_offset: examples offset that the training data reached (exclusive).
        cutoff_ms: the newest event in it.
        metrics: figures of the training run; None for one that is missing.
    """

    created_ms: int
    cutoff_offset: int
    cutoff_ms: int
    metrics: Mapping[str, float | None]


def write_state(
    folder: Path, state: TrainingState, provenance: Provenance, *, target_action: int
) -> Bundle:
    """Write the state as a bundle that `SequenceEncoder` serves and `restore_state` continues.

    Args:
        folder: a name that does not exist yet.
        state: what to write.
        provenance: goes into the bundle's configuration.
        target_action: the action code that lists are made for.
    """
    weights = state.weights()
    return write_bundle(
        folder,
        config=BundleConfig(
            kind=BUNDLE_KIND,
            created_ms=provenance.created_ms,
            cutoff_offset=provenance.cutoff_offset,
            cutoff_ms=provenance.cutoff_ms,
            metrics=provenance.metrics,
            settings={
                **asdict(state.network.config),
                "side": asdict(state.network.side),
                "target_action": target_action,
            },
        ),
        item_ids=state.item_ids,
        weights=weights,
        graph=encoder_graph(state.network.config, weights),
        optimizer=state.moments(),
    )


def restore_state(bundle: Bundle, *, learning_rate: float, side: SideFeatures) -> TrainingState:
    """Return the training state that a bundle was written from, to warm-start from.

    Args:
        bundle: checked.
        learning_rate: of the network's weights.
        side: which contexts there are now. Vectors of those that the bundle does not read in the
            same codes begin anew.

    Raises:
        BundleRefused: the bundle is of another kind, or has changed since it was checked.
    """
    if bundle.config.kind != BUNDLE_KIND:
        raise BundleRefused(
            f"{bundle.folder}: kind {bundle.config.kind!r} found, {BUNDLE_KIND!r} expected"
        )
    sizes = {name: value for name, value in bundle.config.settings.items() if name in _SIZES}
    try:
        return TrainingState.restore(
            NetworkConfig(**sizes),
            bundle.item_ids,
            bundle.arrays(WEIGHTS),
            bundle.arrays(OPTIMIZER),
            learning_rate=learning_rate,
            side=side,
            side_before=side_read_by(bundle),
        )
    except (KeyError, RuntimeError, TypeError) as error:
        raise BundleRefused(
            f"{bundle.folder}: its weights are not this network's ({error}); train a new bundle"
        ) from error

"""Small bundles with random weights, for the tests of whoever serves one."""

from collections.abc import Sequence
from pathlib import Path

from models.bundle import Bundle
from models.side_features import NO_SIDE, SideFeatures
from models.transformer.bundling import Provenance, write_state
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState
from streams.announcements import ANNOUNCEMENT_VERSION, Announcement, Decision
from streams.config import config_of

SMALL = NetworkConfig(
    length=8, item_width=16, model_width=16, feed_forward_width=16, num_blocks=1, num_user_buckets=8
)


def small_bundle(
    folder: Path,
    item_ids: Sequence[str],
    *,
    seed: int = 0,
    network: NetworkConfig = SMALL,
    side: SideFeatures = NO_SIDE,
) -> Bundle:
    """Write an untrained bundle for these items."""
    state = TrainingState(network, item_ids, seed=seed, learning_rate=0.001, side=side)
    provenance = Provenance(created_ms=1, cutoff_offset=0, cutoff_ms=0, metrics={})
    target = config_of({}).action_table().spec("click").code
    return write_state(folder, state, provenance, target_action=target)


def announcement_of(bundle: Bundle) -> Announcement:
    """The record that makes a bundle the current one."""
    return Announcement(
        version=ANNOUNCEMENT_VERSION,
        kind=bundle.config.kind,
        digest=bundle.digest,
        uri=str(bundle.folder),
        cutoff_offset=bundle.config.cutoff_offset,
        cutoff_ms=bundle.config.cutoff_ms,
        trained_at_ms=bundle.config.created_ms,
        decision=Decision.GATE,
        reason="a test",
    )

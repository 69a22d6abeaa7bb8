"""Writes a transformer bundle of the default size with random weights: serving costs the same.

A program of its own, so that the process that is measured does not load torch.

    python -m benchmarks.untrained_bundle FOLDER NUM_ITEMS
"""

import sys
from pathlib import Path

from benchmarks.population import item_name
from models.side_features import SideFeatures
from models.transformer.bundling import Provenance, write_state
from models.transformer.network import NetworkConfig
from models.transformer.state import TrainingState


def main() -> None:
    """Write the bundle; print nothing."""
    folder, num_items = Path(sys.argv[1]), int(sys.argv[2])
    names = [item_name(number) for number in range(num_items)]
    state = TrainingState(NetworkConfig(), names, seed=7, learning_rate=0.001, side=SideFeatures())
    provenance = Provenance(created_ms=1, cutoff_offset=0, cutoff_ms=0, metrics={})
    write_state(folder, state, provenance, target_action=1)


if __name__ == "__main__":
    main()

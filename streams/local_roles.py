"""Which processes does a stack on one machine run, and how does each know its settings?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.stack.role import Role


def local_roles(
    directory: Path,
    *,
    num_workers: int = 1,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
) -> list[Role]:
    """Return workers, the learner and the trainer, run by this very program.

    Args:
        directory: Of the stack; bundles go below it.
        num_workers: Worker processes, which share the partitions.
        config_file: Their configuration.
        overrides: `key=value` settings for all of them.
    """
    arguments = [part for override in overrides for part in ("--set", override)]
    if config_file is not None:
        arguments += ["--config", str(config_file.absolute())]
    workers = [f"worker-{number}" for number in range(1, num_workers + 1)]
    return [
        Role(
            name=name,
            argv=(sys.executable, "-m", "streams", kind, *arguments),
            metrics_port_variable=f"HEADRACE_{kind.upper()}_METRICS_PORT",
            environment={"HEADRACE_MODELS": str((directory / "models").absolute())},
        )
        for name in [*workers, "learner", "trainer"]
        for kind in [name.partition("-")[0]]
    ]

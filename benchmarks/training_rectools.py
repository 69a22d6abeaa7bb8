"""The other side of `benchmarks.training`: RecTools' SASRec, in an environment of its own.

It imports nothing of ours, since that environment has nothing of ours.
"""

import json
import resource
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class _InStep(Callback):  # type: ignore[misc]
    """Waits for a line before each pass and reports after it."""

    def __init__(self) -> None:
        self._first_bytes = _peak_bytes()
        self._begun_s = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:  # noqa: ANN401 - Lightning's own types
        sys.stdin.readline()
        self._begun_s = time.process_time()

    def on_train_epoch_end(self, *_: Any) -> None:  # noqa: ANN401 - Lightning's own types
        cpu_s = time.process_time() - self._begun_s
        report = {"cpu_s": cpu_s, "first_bytes": self._first_bytes, "peak_bytes": _peak_bytes()}
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Read the log, then train in step with the benchmark."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    path, num_passes = sys.argv[1], int(sys.argv[2])
    log = np.load(path)
    frame = pd.DataFrame(
        {
            Columns.User: log["users"],
            Columns.Item: log["items"],
            Columns.Weight: 1.0,
            # Within a user the log is in order; that is all that the model looks at.
            Columns.Datetime: pd.to_datetime(np.arange(len(log["users"])), unit="s"),
        }
    )

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=num_passes,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[_InStep()],
        )

    model = SASRecModel(
        n_blocks=2,
        n_heads=1,
        n_factors=64,
        session_max_len=200,
        loss="softmax",
        dropout_rate=0.2,
        lr=1e-3,
        batch_size=128,
        get_trainer_func=trainer,
    )
    model.fit(Dataset.construct(frame))


if __name__ == "__main__":
    main()

"""What does a pass of the transformer over ML-1M cost, beside RecTools' SASRec?

Run as `python -m benchmarks.training`. Both have 200 tokens, width 64, two blocks and the full
softmax loss, both one thread, and they take turns, one pass each, so that a busy machine is busy
for both. Printed are processor seconds of a pass and peak resident memory of each process, with
what it had already taken before the first pass (interpreter, libraries and the log).

RecTools is no dependency of ours: it runs in an environment of its own, which `uv` makes in the
cache folder at the first run (gigabytes, where the package index gives torch with CUDA), or which
`--rectools-python` names. Where the log of ML-1M is not at hand, one of its size is made up: costs
depend on the sizes, not on what users like.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import click
import numpy as np

from benchmarks.movielens import REAL_LOG, history_of, made_up_pairs, read_pairs
from models.leave_one_out import leave_one_out

_RECTOOLS: Final = "rectools[torch]==0.19.0"
_HERE: Final = Path(__file__).parent
_CACHE: Final = Path.home() / ".cache" / "headrace" / "rectools"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass as its process reports it."""

    cpu_s: float
    first_bytes: int
    peak_bytes: int


class Trainer:
    """A process that makes a pass over the log whenever it is told to."""

    def __init__(self, name: str, command: list[str], num_passes: int) -> None:
        self.name = name
        self.passes: list[Pass] = []
        self._process = subprocess.Popen(  # noqa: S603 - our own scripts
            [*command, str(num_passes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def make_pass(self) -> Pass:
        """Let the process make one pass, and wait for its report.

        Raises:
            click.ClickException: the process has ended; its own message stands above.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("both were opened as pipes")
        try:
            self._process.stdin.write("pass\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise click.ClickException(f"{self.name} ended before its pass") from error
        # A library's own chatter goes to the same stream.
        for line in self._process.stdout:
            if line.startswith("{"):
                self.passes.append(Pass(**json.loads(line)))
                return self.passes[-1]
        raise click.ClickException(f"{self.name} ended within its pass")


def _environment() -> Path:
    """Return the interpreter of RecTools' environment, which is made where it is missing."""
    python = _CACHE / "bin" / "python"
    if not (_CACHE / "complete").exists():
        uv = [sys.executable, "-m", "uv"]
        click.echo(f"making an environment for {_RECTOOLS} in {_CACHE}")
        subprocess.run([*uv, "venv", "--clear", "--quiet", str(_CACHE)], check=True)  # noqa: S603
        install = [*uv, "pip", "install", "--quiet", "--python", str(python), _RECTOOLS]
        subprocess.run(install, check=True)  # noqa: S603
        (_CACHE / "complete").touch()
    return python


def _log_file(folder: str, log: Path | None) -> Path:
    """Write the training part of the log as two integer columns, users and items."""
    path = log or REAL_LOG
    is_real = path.exists()
    if log and not is_real:
        raise click.ClickException(f"{log}: no such file; a log of `user item` lines, gzipped")
    history = history_of(read_pairs(path) if is_real else made_up_pairs())
    training = leave_one_out(history).training
    click.echo(
        f"{path.name if is_real else 'made up'}: {training.end_row} actions, "
        f"{len(np.unique(training.users))} users, {len(training.item_ids)} items"
    )
    _, users = np.unique(training.users, return_inverse=True)
    file = Path(folder) / "log.npz"
    np.savez(file, users=users, items=training.items)
    return file


@click.command(help=__doc__)
@click.option("--passes", default=3, show_default=True, help="Of each, in turns.")
@click.option("--log", type=click.Path(path_type=Path), help="Lines `user item`, gzipped.")
@click.option("--rectools-python", type=click.Path(path_type=Path, exists=True))
@click.option("--ours-only", is_flag=True)
def main(passes: int, log: Path | None, rectools_python: Path | None, *, ours_only: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(_log_file(folder, log))
        ours = [sys.executable, "-m", "benchmarks.training_ours", file]
        with Trainer("Headrace", ours, passes) as first:
            if ours_only:
                _in_turns([first], passes)
                return
            # Absolute and not resolved: an environment's interpreter is a link.
            python = str((rectools_python or _environment()).absolute())
            theirs = [python, str(_HERE / "training_rectools.py"), file]
            with Trainer("RecTools", theirs, passes) as second:
                _in_turns([first, second], passes)
    ratios = [
        theirs.cpu_s / ours.cpu_s for ours, theirs in zip(first.passes, second.passes, strict=True)
    ]
    spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    click.echo(f"ratio of processor time: {statistics.median(ratios):.2f} (passes: {spread})")


def _in_turns(trainers: list[Trainer], num_passes: int) -> None:
    for number in range(1, num_passes + 1):
        for trainer in trainers:
            made = trainer.make_pass()
            click.echo(
                f"pass {number}, {trainer.name}: {made.cpu_s:.1f} CPU s, "
                f"peak {made.peak_bytes / 1e9:.2f} GB ({made.first_bytes / 1e9:.2f} before)"
            )


if __name__ == "__main__":
    main()

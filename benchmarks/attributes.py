"""What do items' attributes give the trainer's transformer on a log that comes in order?

    headrace convert movielens ml-100k ml100k.jsonl --items films.jsonl
    python -m benchmarks.attributes ml100k.jsonl films.jsonl

Window by window the newest actions are ranked among all items that have appeared by the window's
end, then learned in one pass on warm weights, once with what the catalogue tells and once without.
The counters are left out: what is seen is the vectors' alone. Printed are the mean reciprocal rank,
HR@20, the same of items that had not been acted upon before, and processor seconds of learning.

Shape letters: P targets, N items.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from models.history import History
from models.transformer.evaluation import TargetRanks, rank_targets
from models.transformer.item_attributes import NOT_DESCRIBED, Described
from models.transformer.network import NetworkConfig
from models.transformer.new_items import first_vectors
from models.transformer.state import TrainingState
from models.transformer.training import TrainingConfig, fit
from streams.config import Config
from streams.finished_log import read_log

_HIT_AT = 20


@dataclass(slots=True)
class Found:
    """Ranks so far, of all targets, and of those that nobody had acted upon."""

    ranks: list[npt.NDArray[np.int64]] = field(default_factory=list)
    are_new: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    learning_s: float = 0.0

    def add(self, found: TargetRanks, history: History, from_row: int) -> None:
        """Take in what was ranked of the rows from `from_row` on."""
        known_N = np.isin(np.arange(len(history.item_ids)), history.items[:from_row])
        self.ranks.append(found.rank_P)
        self.are_new.append(~known_N[history.items[found.row_P]])

    def line(self) -> str:
        """Return the figures."""
        rank_P, is_new_P = np.concatenate(self.ranks), np.concatenate(self.are_new)
        parts = [
            f"{len(chosen):>7} {(1 / chosen).mean():.4f} {(chosen <= _HIT_AT).mean():.4f}"
            for chosen in (rank_P, rank_P[is_new_P])
        ]
        return f"{' | '.join(parts)} | {self.learning_s:.1f}"


def run(history: History, *, num_codes: int, window: int, seed: int) -> Found:
    """Rank and learn window after window; `num_codes` is 0 where nothing is told."""
    found, config = Found(), TrainingConfig()
    state: TrainingState | None = None
    for start in range(0, history.end_row, window):
        known = history.before(min(start + window, history.end_row))
        told = Described(known.attribute_matrix(), num_codes) if num_codes else NOT_DESCRIBED
        if state is None:
            state = TrainingState(
                NetworkConfig(), known.item_ids, seed=seed, learning_rate=config.learning_rate
            )
            state.adopt(known.item_ids, {}, told)
        else:
            # Neighbours in the window itself would give away what is ranked.
            vectors = state.item_vectors()[1:].numpy()
            new = first_vectors(history.before(start), state.item_ids, vectors)
            state.adopt(known.item_ids, new, told)
            ranks = rank_targets(state, known, from_row=start, to_row=known.end_row)
            found.add(ranks, known, start)
        begun_s = time.process_time()
        for _ in fit(state, known, from_row=start, to_row=known.end_row, config=config, seed=seed):
            pass
        found.learning_s += time.process_time() - begun_s
    return found


@click.command(help=__doc__)
@click.argument("log", type=click.Path(exists=True, path_type=Path))
@click.argument("items", type=click.Path(exists=True, path_type=Path))
@click.option("--seed", "seeds", multiple=True, default=(1, 2, 3), show_default=True)
@click.option("--window", default=5000, show_default=True, help="Actions of a refresh.")
@click.option("--actions", default=60_000, show_default=True, help="The oldest so many.")
def main(log: Path, items: Path, seeds: tuple[int, ...], window: int, actions: int) -> None:
    """Measure and print."""
    config = Config()
    history = read_log(str(log), config, items=items).history.before(actions)
    click.echo("attributes seed | targets MRR HR@20 | of new items | CPU s of learning")
    for seed in seeds:
        for name, num_codes in (("none", 0), ("told", config.side.num_attribute_codes)):
            line = run(history, num_codes=num_codes, window=window, seed=seed).line()
            click.echo(f"{name:<10} {seed:>4} | {line}")


if __name__ == "__main__":
    main()

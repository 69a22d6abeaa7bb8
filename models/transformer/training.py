"""How do the weights move to the newest actions?

One pass goes through a window of the history in chronological chunks; each chunk's targets are
mixed with a share of replayed older ones. Before a chunk is learned, the weights of one input
against another (the counters' and the trust in the item vectors) are fitted to it with all else
frozen: then the vectors are as stale as they will be when they serve, and get no credit for
knowing what they have just been shown. A refresh is a pass over the rows since the last one, on
warm weights; a first training passes over a small log as often as that helps
(`TrainingConfig.of_first`). One thread; for the same state, rows, configuration and seed the result
is the same on the same machine.
"""

from collections.abc import Iterator

import torch

from models.history import History
from models.side_features import NO_SIDE
from models.transformer.counters import CounterLog
from models.transformer.learning import Learner, Progress, TrainingConfig
from models.transformer.state import TrainingState
from models.transformer.windows import gather

__all__ = ["Progress", "TrainingConfig", "fit"]


def fit(
    state: TrainingState,
    history: History,
    *,
    from_row: int,
    to_row: int,
    config: TrainingConfig,
    seed: int,
    counters: CounterLog | None = None,
) -> Iterator[Progress]:
    """Learn the rows `[from_row, to_row)` in place, one optimiser step an iteration.

    Without `counters` the counters' weights stay as they are. With them, rows are replayed only as
    far back as the counters' log goes.

    Raises:
        ValueError: the state's catalogue is not the history's (call `TrainingState.adopt` first),
            or its contexts are not.
    """
    read, told = state.network.side, history.side or NO_SIDE
    if read.context and read.context_meaning != told.context_meaning:
        raise ValueError(
            f"the state reads contexts as of {read.context_meaning}, the history tells them as of "
            f"{told.context_meaning}: restore the state with the history's side"
        )
    if state.item_ids != history.item_ids:
        raise ValueError(
            f"the state knows {len(state.item_ids)} items, the history {len(history.item_ids)}, "
            "or in another order: adopt the history's catalogue first"
        )
    torch.set_num_threads(1)
    learner = Learner(state, history, config, seed, counters)
    first_row = max(from_row, history.first_row)
    starts = range(first_row, to_row, config.chunk_rows)
    total_rows = max(to_row - first_row, 1) * config.epochs
    try:
        for epoch in range(config.epochs):
            for start in starts:
                stop = min(start + config.chunk_rows, to_row)
                if epoch == 0:
                    learner.calibrate(start, stop)
                parts = learner.chunk(start, stop)
                before = epoch * (to_row - first_row) + start - first_row
                for number, part in enumerate(parts, start=1):
                    done = (before + (stop - start) * number / len(parts)) / total_rows
                    ends_pass = stop == to_row and number == len(parts)
                    yield learner.step(gather(history, part), done=done, ends_pass=ends_pass)
    finally:
        learner.close()

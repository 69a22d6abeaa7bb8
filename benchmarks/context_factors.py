"""Does the hour or the device help an online factorisation on a news log?

Run as `python -m benchmarks.context_factors`. A log is gone through once, in its order, in calls of
256 clicks; before a call is learned, a sample of its clicks is judged: the user's earlier clicks
are folded in, everything that has appeared so far is ranked without them, at the moment and on the
device of the click, and an item that is new is a miss. Beside the models with contexts stands their
twin without, of the same configuration. By default hours 24 to 48 of Globo.com's clicks are judged,
on which to choose; `--from-hour 48` is for reporting. Without the log one is made up whose morning
differs from its evening, and whose figures mean nothing but that everything runs.

Shape letters: B clicks, Q judged clicks, M contexts, S earlier clicks.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
import numpy.typing as npt
import polars as pl

from models.evaluation import hit_rate, mean_reciprocal_rank
from models.factorisation import Factorisation, FactorisationConfig
from models.factors import FoldIn
from models.leave_one_out import ranks_of

REAL_LOG: Final = Path(__file__).parents[2] / "shared" / "data" / "globo_clicks_first4days.parquet"
_BATCH: Final = 256
_HOUR_S: Final = 3600
_NUM_HOURS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Clicks:
    """Clicks by time; items and devices have codes, items in order of first appearance."""

    users: npt.NDArray[np.uint64]
    items: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.int64]
    devices: npt.NDArray[np.int64]

    def contexts(self, names: tuple[str, ...]) -> tuple[npt.NDArray[np.int64], tuple[int, ...]]:
        """Return each click's values of these contexts, `[clicks, M]`, and how many each has."""
        known = {
            "hour": (self.times_s // _HOUR_S % _NUM_HOURS, _NUM_HOURS),
            "device": (self.devices, int(self.devices.max()) + 1),
        }
        values = np.empty((len(self.items), len(names)), np.int64)
        for place, name in enumerate(names):
            values[:, place] = known[name][0]
        return values, tuple(known[name][1] for name in names)


def read_clicks(path: Path) -> Clicks:
    """Read Globo.com's clicks."""
    log = pl.read_parquet(path).sort("click_timestamp", "user_id")
    return _coded(
        log["user_id"].to_numpy(),
        log["click_article_id"].to_numpy(),
        log["click_timestamp"].to_numpy() // 1000,
        log["click_deviceGroup"].to_numpy(),
    )


def made_up_clicks(num: int = 40_000) -> Clicks:
    """Return four days on which the first half of the items is liked before noon."""
    generator = np.random.default_rng(1)
    times_s = np.sort(generator.integers(0, 4 * _NUM_HOURS * _HOUR_S, num))
    is_evening = times_s // _HOUR_S % _NUM_HOURS >= _NUM_HOURS // 2
    items = generator.integers(0, 200, num) + 200 * is_evening
    return _coded(generator.integers(0, 2000, num), items, times_s, generator.integers(0, 3, num))


def _coded(*columns: npt.NDArray[np.generic]) -> Clicks:
    users, items, times_s, devices = columns
    _, first, code = np.unique(items, return_index=True, return_inverse=True)
    by_appearance = np.empty(len(first), np.int64)
    by_appearance[np.argsort(first)] = np.arange(len(first))
    return Clicks(
        users=users.astype(np.uint64),
        items=by_appearance[code],
        times_s=times_s.astype(np.int64),
        devices=np.unique(devices, return_inverse=True)[1].astype(np.int64),
    )


class Replay:
    """One model, taught by the clicks in order and asked about some of them."""

    def __init__(
        self, clicks: Clicks, names: tuple[str, ...], config: FactorisationConfig, seed: int
    ) -> None:
        """Begin before the first click."""
        self._clicks = clicks
        self._context_M, sizes = clicks.contexts(names)
        self._learned = Factorisation(config, seed=seed, context_sizes=sizes)
        self._seed = seed
        self._fold_in = FoldIn()
        self._earlier: dict[int, list[int]] = {}

    def ranks(self, judged: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the ranks of the judged clicks of each call, one past the end for new items."""
        clicks = self._clicks
        for start in range(0, len(clicks.items), _BATCH):
            taken = np.arange(start, min(start + _BATCH, len(clicks.items)))
            if judged[taken].any():
                yield self._ranks_of(taken[judged[taken]])
            items_B = clicks.items[taken]
            self._learned.grow(int(items_B.max()) + 1)
            self._learned.learn(
                clicks.users[taken],
                items_B,
                self._learned.candidates(len(taken)),
                self._context_M[taken],
            )
            for row in taken.tolist():
                self._earlier.setdefault(int(clicks.users[row]), []).append(row)

    def _ranks_of(self, row_Q: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        clicks, learned, factors = self._clicks, self._learned, self._learned.factors
        earlier = [self._earlier.get(int(user), []) for user in clicks.users[row_Q]]
        row_QS = np.full((len(row_Q), self._fold_in.num_recent), -1, np.int64)
        for place, rows in enumerate(earlier):
            newest = rows[-self._fold_in.num_recent :]
            row_QS[place, row_QS.shape[1] - len(newest) :] = newest
        user_QD = factors.fold_in(
            np.where(row_QS >= 0, clicks.items[row_QS], -1),
            learned.context_rows(self._context_M[row_QS]),
            self._fold_in,
            start=learned.config.user_start,
            seed=self._seed,
        )
        scores_QN = factors.scores(user_QD, learned.context_rows(self._context_M[row_Q]))
        target_Q, num_items = clicks.items[row_Q], scores_QN.shape[1]
        if not np.isfinite(scores_QN).all():
            raise ArithmeticError("scores are not finite: choose a smaller rate")
        is_known = target_Q < num_items
        rank_Q = np.full(len(row_Q), num_items + 1)
        seen = [clicks.items[rows].astype(np.int32) for rows in earlier]
        rank_Q[is_known] = ranks_of(
            scores_QN[is_known],
            target_Q[is_known],
            [items for items, known in zip(seen, is_known.tolist(), strict=True) if known],
        )
        return rank_Q


@click.command(help=__doc__)
@click.option("--from-hour", default=24, show_default=True, help="Judged from here, for a day.")
@click.option("--sample", default=0.05, show_default=True, help="Share of clicks judged.")
@click.option("--seed", "seeds", multiple=True, default=(1,), show_default=True)
@click.option("--rate", default=0.1, show_default=True)
@click.option("--user-start", default=0.3, show_default=True)
@click.option("--log", type=click.Path(path_type=Path), default=REAL_LOG)
def main(
    from_hour: int,
    sample: float,
    seeds: tuple[int, ...],
    rate: float,
    user_start: float,
    log: Path,
) -> None:
    """Measure and print."""
    clicks = read_clicks(log) if log.exists() else made_up_clicks()
    hours = (clicks.times_s - clicks.times_s[0]) // _HOUR_S
    judged = np.random.default_rng(7).random(len(hours)) < sample
    judged &= (hours >= from_hour) & (hours < from_hour + _NUM_HOURS)
    # What comes after the last judged click can change nothing.
    kept = slice(0, int(np.flatnonzero(judged)[-1]) + 1)
    clicks = Clicks(
        users=clicks.users[kept],
        items=clicks.items[kept],
        times_s=clicks.times_s[kept],
        devices=clicks.devices[kept],
    )
    click.echo(f"log: {log.name if log.exists() else 'made up'}, {len(clicks.items)} clicks")
    click.echo("contexts      seed  HR@20   MRR@20  judged  CPU s")
    config = FactorisationConfig(rate=rate, user_start=user_start)
    for names in ((), ("hour",), ("device",), ("hour", "device")):
        for seed in seeds:
            begun_s = time.process_time()
            replay = Replay(clicks, names, config, seed)
            ranks_Q = np.concatenate(list(replay.ranks(judged[kept])))
            click.echo(
                f"{' '.join(names) or 'none':<13} {seed:>4}  {hit_rate(ranks_Q, 20):.4f}  "
                f"{mean_reciprocal_rank(ranks_Q, 20):.4f}  {len(ranks_Q):>6} "
                f"{time.process_time() - begun_s:>6.0f}"
            )


if __name__ == "__main__":
    main()

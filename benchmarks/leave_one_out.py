"""How good are the next-item models on ML-1M by the papers' protocol, and what do they cost?

Run as `python -m benchmarks.leave_one_out`; see `models.leave_one_out` for the protocol. Every
registered model is fitted once for each seed in a process of its own, training stops on the
validation's NDCG@10, and the test is read once. Printed are processor seconds of training (and of
judging the passes), peak resident memory, and the figures; with `--genres` what models make of the
items' genres, which of the real log lie beside it. Without ML-1M at hand a log of its size
is made up, whose figures mean nothing but that everything runs.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import click

from benchmarks.movielens import REAL_LOG, history_of, made_up_pairs, read_genres, read_pairs
from benchmarks.training_ours import peak_bytes
from models.leave_one_out import (
    Accuracy,
    accuracy,
    leave_one_out,
    target_ranks,
)
from models.registry import RECOMMENDERS, new_recommender
from streams.evaluation.offline import Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One model, fitted and tested.

    Attributes:
        epoch: the pass whose weights were kept; 0 for a model without passes.
        fit_s: processor time of training alone.
        judge_s: processor time of the validations.
        peak_bytes: of the process, the log included.
    """

    name: str
    seed: int
    epoch: int
    fit_s: float
    judge_s: float
    peak_bytes: int
    validation: Accuracy
    test: Accuracy


def run(name: str, seed: int, log: Path, *, genres: bool = False) -> Run:
    """Fit one model and test it."""
    pairs = read_pairs(log) if log.exists() else made_up_pairs()
    split = leave_one_out(history_of(pairs, read_genres(log.parent) if genres else None))
    model = new_recommender(name, **({"seed": seed} if _is_seeded(name) else {}))
    judge = Judge(split.validation)
    begun_s = time.process_time()
    epoch = 0
    for step in model.fit(split.training, validate=judge):
        if step.validation is not None and step.validation == judge.best:
            epoch = step.epoch
    fit_s = time.process_time() - begun_s - judge.cpu_s
    return Run(
        name=name,
        seed=seed,
        epoch=epoch,
        fit_s=fit_s,
        judge_s=judge.cpu_s,
        peak_bytes=peak_bytes(),
        validation=accuracy(target_ranks(model, split.validation)),
        test=accuracy(target_ranks(model, split.test)),
    )


def _runs(
    models: tuple[str, ...], seeds: tuple[int, ...], log: Path, *, genres: bool
) -> Iterator[Run]:
    chosen = [
        (name, seed) for name in models for seed in (seeds if _is_seeded(name) else seeds[:1])
    ]
    # A process a run: peak memory is the process's, and no run warms another's caches.
    with ProcessPoolExecutor(
        max_workers=1, max_tasks_per_child=1, mp_context=get_context("spawn")
    ) as pool:
        for name, seed in chosen:
            yield pool.submit(run, name, seed, log, genres=genres).result()


def _is_seeded(name: str) -> bool:
    return "seed" in new_recommender(name).settings()


@click.command(help=__doc__)
@click.option(
    "--model",
    "models",
    type=click.Choice(sorted(RECOMMENDERS)),
    multiple=True,
    default=tuple(RECOMMENDERS),
    help="Again for another; by default all.",
)
@click.option("--seed", "seeds", multiple=True, default=(1,), show_default=True)
@click.option("--log", type=click.Path(path_type=Path), default=REAL_LOG)
@click.option("--genres", is_flag=True, help="Tell the models the items' genres.")
def main(models: tuple[str, ...], seeds: tuple[int, ...], log: Path, *, genres: bool) -> None:
    """Measure and print."""
    click.echo(f"log: {log.name if log.exists() else 'made up'}")
    click.echo(
        "model         seed  pass   fit CPU s  judge   GB   val NDCG@10 | "
        "HR@10   HR@20   NDCG@10 NDCG@20 MRR@10  MRR@20  users"
    )
    for made in _runs(models, seeds, log, genres=genres):
        test = made.test
        click.echo(
            f"{made.name:<13} {made.seed:>4} {made.epoch:>5} {made.fit_s:>11.1f} "
            f"{made.judge_s:>6.0f} {made.peak_bytes / 1e9:>4.2f} "
            f"{made.validation.ndcg_10:>13.4f} | "
            f"{test.hr_10:.4f}  {test.hr_20:.4f}  {test.ndcg_10:.4f}  {test.ndcg_20:.4f}  "
            f"{test.mrr_10:.4f}  {test.mrr_20:.4f}  {test.num_questions}"
        )


if __name__ == "__main__":
    main()

"""Do our off-policy estimates equal those of Open Bandit Pipeline (obp) on its own data?

Run as `python -m benchmarks.off_policy --obp-python PATH`. For both logs of the Open Bandit Dataset
in `--data` and for policies that are fixed beforehand it prints each estimate of ours beside obp's,
and the largest difference. Without `--obp-python` ours are printed alone, as is the clipped SNIPS,
which obp 0.5.7 does not have.

obp is no dependency of ours. An environment of its own:

    uv venv obp && uv pip install --python obp/bin/python obp==0.5.7
    python -m benchmarks.off_policy --obp-python obp/bin/python
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click
import numpy as np
import numpy.typing as npt
import polars as pl

from featurestore.events import Action, Impression
from models.policies.item_position_model import NUM_FOLDS, ItemPositionModel, fold_of
from models.policies.off_policy import LoggedSlots, doubly_robust, ips, snips
from models.policies.place_chances import DrawnList, EpsilonGreedy, Greedy, PlackettLuce
from streams.convert.open_bandit import open_bandit_events

DATA: Final = Path("../shared/data/open_bandit")
LOGS: Final = ("random", "bts")
NUM_ITEMS: Final = 80
NUM_PLACES: Final = 3
CLIP: Final = 10.0
POLICIES: Final[dict[str, DrawnList]] = {
    "uniform": EpsilonGreedy(1.0),
    "drawn": PlackettLuce(1.0),
    "greedy": Greedy(),
}
"""Lists by the items' one numeric feature, whoever looks at them."""
_OBP: Final = Path(__file__).parent / "off_policy_obp.py"


class Case(NamedTuple):
    """One log as arrays; N rows, L places, A items.

    Attributes:
        rewards: float64[N].
        items: int64[N].
        places: int64[N], from 0.
        propensities: float64[N].
        expected: float64[N, A, L], by a model that has not seen the row.
    """

    rewards: npt.NDArray[np.float64]
    items: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    propensities: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]

    def at(self, chances_LA: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What a policy's chances are for each row's item at its place, float64[N]."""
        found: npt.NDArray[np.float64] = chances_LA[self.places, self.items]
        return found


def case_of(path: Path) -> Case:
    """Read one log by way of our events."""
    shown, clicked = [], set()
    for event in open_bandit_events(path):
        if isinstance(event, Impression):
            shown.append((event.event_id, event.items[0]))
        elif isinstance(event, Action):
            clicked.add(event.request_id)
    items = np.array([int(item.item_id) for _, item in shown])
    places = np.array([item.position for _, item in shown]) - 1
    folds = np.array([fold_of(name) for name, _ in shown])
    labels = np.array([name in clicked for name, _ in shown])
    model = ItemPositionModel(num_positions=NUM_PLACES)
    for fold in range(NUM_FOLDS):
        of_fold = folds == fold
        model.learn(fold, items[of_fold].tolist(), places[of_fold] + 1, labels[of_fold])
    by_fold = [
        model.expected(fold, range(NUM_ITEMS), np.arange(NUM_PLACES) + 1).T
        for fold in range(NUM_FOLDS)
    ]
    return Case(
        rewards=labels.astype(np.float64),
        items=items,
        places=places,
        propensities=np.array([item.propensity for _, item in shown], np.float64),
        expected=np.stack(by_fold)[folds],
    )


def chances_of(data: Path) -> dict[str, npt.NDArray[np.float64]]:
    """Chance of each item at each place under each policy, float64[L, A]."""
    frame = pl.read_csv(data / "item_context.csv").sort("item_id")
    scores = frame["item_feature_0"].to_numpy()
    return {name: drawn.chances(scores, NUM_PLACES) for name, drawn in POLICIES.items()}


def estimates(case: Case, chances_LA: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return ours."""
    rows = np.arange(len(case.items))
    log = LoggedSlots(
        rewards=case.rewards,
        propensities=case.propensities,
        targets=case.at(chances_LA),
        clusters=rows,
    )
    at_place_NA = case.expected[rows, :, case.places]
    of_target = (at_place_NA * chances_LA[case.places]).sum(axis=1)
    of_logged = at_place_NA[rows, case.items]
    found = {}
    for suffix, clip in (("", None), (f" <= {CLIP:g}", CLIP)):
        robust = doubly_robust(log, of_logged=of_logged, of_target=of_target, clip=clip)
        found[f"ips{suffix}"] = ips(log, clip=clip).value
        found[f"snips{suffix}"] = snips(log, clip=clip).value
        found[f"dr{suffix}"] = robust.value
    return found


def _theirs(
    python: Path, case: Case, chances_LA: npt.NDArray[np.float64], folder: Path
) -> dict[str, float]:
    file = folder / "case.npz"
    np.savez(file, chances=chances_LA, clip=CLIP, **case._asdict())
    command = [str(python.absolute()), str(_OBP), str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _rows(
    data: Path, python: Path | None, folder: Path
) -> Iterator[tuple[str, float, float | None]]:
    chances = chances_of(data)
    for log in LOGS:
        case = case_of(data / f"{log}.csv.gz")
        for name, chances_LA in chances.items():
            ours = estimates(case, chances_LA)
            theirs = {} if python is None else _theirs(python, case, chances_LA, folder)
            for estimator, value in ours.items():
                yield f"{log:7s}{name:8s}{estimator:12s}", value, theirs.get(estimator)


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), default=DATA)
@click.option("--obp-python", type=click.Path(exists=True, path_type=Path))
def main(data: Path, obp_python: Path | None) -> None:
    """Compare and print."""
    differences = []
    click.echo(f"{'log':7s}{'policy':8s}{'estimator':12s}{'ours':>14s}{'obp':>14s}")
    with tempfile.TemporaryDirectory() as folder:
        for label, ours, theirs in _rows(data, obp_python, Path(folder)):
            click.echo(f"{label}{ours:14.9f}" + ("" if theirs is None else f"{theirs:14.9f}"))
            if theirs is not None:
                differences.append(abs(ours - theirs))
    if differences:
        click.echo(f"largest of {len(differences)} differences: {max(differences):.1e}")


if __name__ == "__main__":
    main()

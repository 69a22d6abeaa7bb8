"""What would lists be worth if the system knew when the user's next action comes?

It does not: the time from the user's last event to an evaluated action is an input of no model. A
log may give much away by it (in a news log most clicks of a session follow the last by 30 s, to the
millisecond): figures that use it are to be held against this control, never against what is served.

Run as `python -m benchmarks.gap_control globo.jsonl`, an event file. It is evaluated as it is, and
with a visit put before each label action, at the action's time: then the user's state ends at that
moment, and the gap is what the transformer is told at every visit, in training and serving alike.
The visit repeats session and context of the user's last event, so that it tells no more than the
time. It also makes the lists that the re-ranker learns from as fresh as those that are asked for;
how much that is worth is what the runs without a transformer show, where no model sees the gap.

Each pair of runs evaluates the same actions; intervals are over users.
"""

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click
from msgspec.structs import replace

from featurestore.actions import ActionTable
from featurestore.events import Action, Event, UserId, Visit, decode_event
from streams.config import Config
from streams.evaluation.comparison import Contestant, compare
from streams.evaluation.evaluate import Evaluation, evaluate
from streams.evaluation.outcomes import LIST
from streams.evaluation.plan import Start
from streams.evaluation.result import Result
from streams.event_file import read_values, write_events

_MINUTE_MS: Final = 60_000
_MOMENT: Final = "-moment"
METRICS: Final = ("asked HR@20", "asked MRR@20")


def with_moments(events: Iterable[Event], actions: ActionTable) -> Iterator[Event]:
    """Put a visit before each label action whose time the user's last event does not tell."""
    last: dict[UserId, Event] = {}
    for event in events:
        before = last.get(event.user_id)
        if before is not None and before.ts_ms < event.ts_ms and _is_label(event, actions):
            yield Visit(
                event_id=event.event_id + _MOMENT,
                user_id=event.user_id,
                ts_ms=event.ts_ms,
                session_id=before.session_id,
                context=before.context,
            )
        last[event.user_id] = event
        yield event


def _is_label(event: Event, actions: ActionTable) -> bool:
    return isinstance(event, Action) and actions.spec(event.action).is_label


def commonest_gap(events: Sequence[Event]) -> tuple[int, float]:
    """Return the gap in milliseconds that the control is told most often, and its share.

    Args:
        events: With moments.
    """
    last: dict[UserId, int] = {}
    gaps: Counter[int] = Counter()
    for event in events:
        if event.event_id.endswith(_MOMENT):
            gaps[event.ts_ms - last[event.user_id]] += 1
        last[event.user_id] = event.ts_ms
    [(gap_ms, num)] = gaps.most_common(1) or [(0, 0)]
    return gap_ms, num / max(1, gaps.total())


def pair(as_it_is: Result, control: Result) -> tuple[Contestant, Contestant]:
    """Hold the lists of a control against those of the log as it is, on the same actions.

    Raises:
        ValueError: They are not the same.
    """
    of_log, of_control = as_it_is.outcomes.actions, control.outcomes.actions
    if of_log.user != of_control.user:
        raise ValueError("found other users among the evaluated actions, expected the same ones")
    # The control's events stand at other places of a longer file.
    actions = replace(of_control, event=of_log.event)
    control = replace(
        control,
        file_digest=as_it_is.file_digest,
        outcomes=replace(control.outcomes, actions=actions),
    )
    found = compare({"as it is": as_it_is, "control": control}).lists
    lists = [one for one in found if one.name == LIST]
    return lists[0], lists[1]


@click.command(help=__doc__)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--events", "num_events", default=100_000, show_default=True, help="Of the file.")
@click.option("--evaluate-from", "fraction", default=0.5, show_default=True)
@click.option("--sample", default=0.1, show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--train-every", default=60.0, show_default=True, help="Minutes of event time.")
def main(
    file: Path,
    num_events: int,
    fraction: float,
    sample: float,
    seed: int,
    train_every: float,
) -> None:
    """Measure and print."""
    config = Config()
    events = [decode_event(value) for value in itertools.islice(read_values(file), num_events)]
    # By time: the files have different numbers of events.
    start = Start(ts_ms=events[int(fraction * len(events))].ts_ms)
    told = list(with_moments(events, config.action_table()))
    gap_ms, share = commonest_gap(told)
    click.echo(f"{file.name}, {len(events)} events; of the gaps {share:.1%} are {gap_ms} ms")
    with tempfile.TemporaryDirectory(prefix="headrace-gap-") as folder:
        logs = Path(folder, "log.jsonl"), Path(folder, "control.jsonl")
        write_events(logs[0], events)
        write_events(logs[1], told)
        for name, interval_ms in (
            ("no transformer", None),
            ("transformer", int(train_every * _MINUTE_MS)),
        ):
            runs = [
                evaluate(
                    Evaluation(
                        path=path,
                        start=start,
                        sample=sample,
                        seed=seed,
                        train_interval_ms=interval_ms,
                    ),
                    config,
                )
                for path in logs
            ]
            _print(name, runs)


def _print(name: str, runs: Sequence[Result]) -> None:
    as_it_is, control = pair(*runs)
    cpu_s = sum(run.cost.cpu_s for run in runs)
    click.echo(f"{name}: {runs[0].next_item.evaluated} actions, {cpu_s:.0f} CPU s")
    for metric in METRICS:
        difference = control.differences[metric]
        click.echo(
            f"  {metric:<13} {as_it_is.figures[metric].value:.4f}, told the gap "
            f"{control.figures[metric].value:.4f}: {difference.value:+.4f} "
            f"[{difference.low:+.4f}, {difference.high:+.4f}]"
        )
    if all(run.bundles for run in runs):
        alone = [run.sources["transformer"].asked for run in runs]
        click.echo(
            f"  transformer alone: HR@20 {alone[0].hr_20:.4f}, told {alone[1].hr_20:.4f}; "
            f"MRR@20 {alone[0].mrr_20:.4f}, told {alone[1].mrr_20:.4f}"
        )


if __name__ == "__main__":
    main()

"""What does `make demo` show? All of Headrace on this machine, serving a simulated storefront.

Everything is real: Apache Kafka, Redis, one process for each role, and a shop that knows nothing of
the recommender but its topics and keys. First the shop's last six hours are replayed, a few
simulated minutes at a time, each digested before the next, so that counters are as fresh as they
would have been; then the shop goes on live, and half of its shoppers see Headrace's lists.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console
from rich.live import Live

from deploy.stack.environment import read_environment
from deploy.stack.stack import Stack, StackConfig
from deploy.stack.state import Addresses
from deploy.stack.topics import TopicLayout
from deploy.storefront.settings import Settings
from deploy.storefront.simulate import Outcome, Progress, simulate
from streams.backlog import BacklogProbe
from streams.config import Config, load_config
from streams.demo.reader import Change, NoFreshList, watch_one_reader
from streams.demo.screen import Screen, summary
from streams.local_roles import local_roles
from streams.role_figures import Figures, read_figures

DEMO_CONFIG: Final = Path(__file__).resolve().parents[2] / "deploy" / "demo.toml"

_NUM_PARTITIONS: Final = 4
_DIGEST_DEADLINE_S: Final = 180.0
_FIRST_MODEL_DEADLINE_S: Final = 180.0
_LOOK_EVERY_S: Final = 1.0
_SHOW_READER_AFTER: Final = 0.4
"""The share of the live phase after which one reader's list is shown; counters are warm by then."""


def run_demo(seconds: float | None, assignments: Sequence[str], directory: Path) -> int:
    """Run the demo, print its summary, and leave nothing running.

    Args:
        seconds: Live time; None goes on until Ctrl-C.
        assignments: `key=value` settings of the storefront.
        directory: For logs, data and bundles.

    Returns:
        The exit code: 0 when every part worked.

    Raises:
        StackError: Something could not be started.
        SettingsError: An assignment cannot be used.
    """
    console = Console()
    settings = Settings().replace(assignments)
    stack = Stack(
        StackConfig(directory=directory, topics=TopicLayout(num_partitions=_NUM_PARTITIONS)),
        read_environment(os.environ),
        roles=local_roles(directory, config_file=DEMO_CONFIG),
        announce=lambda words: console.print(words, style="dim"),
    )
    with stack:
        console.print(_elsewhere(stack.addresses, directory), style="dim", soft_wrap=True)
        demo = _Demo(_config(stack.addresses), stack, Screen(console), seconds)
        outcome = demo.run(settings)
        console.print()
        console.print(summary(outcome, demo.live_figures, demo.state.figures, demo.state.change))
        console.print(f"logs are in {directory}", style="dim")
    return 0 if demo.has_worked(outcome) else 1


def _elsewhere(addresses: Addresses, directory: Path) -> str:
    """How another terminal's `headrace models` finds this demo."""
    variables = {
        "HEADRACE_CONFIG": DEMO_CONFIG,
        "HEADRACE_KAFKA": addresses.kafka,
        "HEADRACE_MODELS": (directory / "models").absolute(),
    }
    words = " ".join(f"{name}={value}" for name, value in variables.items())
    return f"in another terminal: export {words}"


def _config(addresses: Addresses) -> Config:
    environment = {"HEADRACE_KAFKA": addresses.kafka, "HEADRACE_REDIS": addresses.redis_url}
    return load_config(DEMO_CONFIG, environment)


@dataclass(slots=True, kw_only=True)
class _State:
    """What the demo has seen so far.

    Attributes:
        figures: The roles' metrics, as last read.
        before: As read the time before.
        looked_s: When they were last read.
        live_from: As they were when the shop went live.
        waiting_since_s: When the wait for the first transformer began.
        phase: Of the storefront.
        change: One reader's list around a click.
        is_stopped: Whether Ctrl-C was pressed.
    """

    figures: Figures = field(default_factory=lambda: Figures({}))
    before: Figures = field(default_factory=lambda: Figures({}))
    looked_s: float = 0.0
    live_from: Figures | None = None
    waiting_since_s: float | None = None
    phase: str = ""
    change: Change | None = None
    is_stopped: bool = False


class _Demo:
    """One run against a stack that is up."""

    def __init__(self, config: Config, stack: Stack, screen: Screen, seconds: float | None) -> None:
        self._config = config
        self._stack = stack
        self._screen = screen
        self._seconds = seconds
        self.state = _State()

    def run(self, settings: Settings) -> Outcome:
        """Replay, wait for the first transformer, go live."""
        addresses = self._stack.addresses
        signal.signal(signal.SIGINT, self._interrupt)
        try:
            with (
                BacklogProbe(self._config) as probe,
                Live(self._screen, console=self._screen.console, refresh_per_second=4),
            ):
                return simulate(
                    settings,
                    addresses.kafka,
                    addresses.redis_url,
                    self._seconds,
                    self._follow,
                    is_ready=self._is_ready,
                    is_stopped=lambda: self.state.is_stopped,
                    barrier=lambda: probe.wait_until_digested(deadline_s=_DIGEST_DEADLINE_S),
                )
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def has_worked(self, outcome: Outcome) -> bool:
        """Whether lists were read, events reached them, and a transformer was served."""
        live = self.live_figures
        return bool(
            outcome.num_personal > 0
            and live.total("recsys_events_total", outcome="ok") > 0
            and self._has_transformer()
        )

    @property
    def live_figures(self) -> Figures:
        """What was counted in the live phase."""
        return self.state.figures - (self.state.live_from or Figures({}))

    def _interrupt(self, signal_number: int, frame: FrameType | None) -> None:
        """Let Ctrl-C end the live phase with its summary; before that, it ends the demo at once."""
        if self.state.phase != "live":
            signal.default_int_handler(signal_number, frame)
        self.state.is_stopped = True

    def _is_ready(self) -> bool:
        state = self.state
        state.waiting_since_s = state.waiting_since_s or time.monotonic()
        waited_s = time.monotonic() - state.waiting_since_s
        return self._has_transformer() or waited_s > _FIRST_MODEL_DEADLINE_S

    def _has_transformer(self) -> bool:
        return self.state.figures.total("recsys_model_info", kind="transformer") > 0

    def _follow(self, progress: Progress) -> None:
        state = self.state
        state.phase = progress.phase
        if not self._look():
            return
        if progress.phase == "live":
            state.live_from = state.live_from or state.figures
            due = self._seconds is None or progress.fraction > _SHOW_READER_AFTER
            if due and state.change is None:
                # The picture goes on without it: the run's exit code judges the rest.
                with suppress(NoFreshList):
                    state.change = watch_one_reader(self._config)
        self._screen.show(progress, state.figures, state.figures - state.before, state.change)

    def _look(self) -> bool:
        """Read the roles' metrics once a second; whether they were read now."""
        state = self.state
        now_s = time.monotonic()
        if now_s - state.looked_s < _LOOK_EVERY_S:
            return False
        addresses = [role.address for role in self._stack.roles.processes.values()]
        state.looked_s, state.before = now_s, state.figures
        state.figures = read_figures(addresses)
        return True

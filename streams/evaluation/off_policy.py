"""What would other policies have earned on this log, which was served by another one?

The log's events go one by one through the pipeline and learner of the live system
(`streams.one_process`). Rankers learn from the slates of the first part and are fixed then; of
every later impression each policy says with which chance it would have shown what was shown there.
With the logged propensities and the clicks that the join attributes
(`streams.evaluation.off_policy_judging`) that makes the estimates of `models.policies.off_policy`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from importlib.metadata import version
from typing import Final

from featurestore.events import Event, EventRefused, Impression, decode_event
from featurestore.state import EMPTY_STATE
from models.policies.place_chances import DrawnList, EpsilonGreedy, Greedy, PlackettLuce
from streams.config import Config
from streams.evaluation.off_policy_estimates import Estimation, logged_estimate, policy_run
from streams.evaluation.off_policy_judging import Judge
from streams.evaluation.off_policy_result import Drawing, OffPolicyResult
from streams.evaluation.off_policy_targets import CandidateSet, Targets
from streams.evaluation.result import AttributionRule
from streams.evaluation.watch_times import check_watch_times
from streams.finished_log import LogValues
from streams.one_process import OneProcess

_PROGRESS_EVENTS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicy:
    """What is to be evaluated.

    Attributes:
        policies: Names among `streams.evaluation.off_policy_targets.POLICIES`.
        drawn: How a list is drawn from a ranker's scores.
        candidates: What the policies choose from.
        learn_until: Share of the events that rankers learn from; evaluated is what follows.
        estimation: How estimates are made.
        overrides: The `--set` by which the configuration was made, to be named in the result.
    """

    policies: tuple[str, ...]
    drawn: DrawnList = field(default_factory=Greedy)
    candidates: CandidateSet = "recall"
    learn_until: float = 0.5
    estimation: Estimation = field(default_factory=Estimation)
    overrides: tuple[str, ...] = ()


def evaluate_policies(
    asked: OffPolicy,
    log: LogValues,
    config: Config,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> OffPolicyResult:
    """Replay a log and estimate.

    Args:
        asked: What.
        log: Of events.
        config: As the live system would have it.
        on_progress: Told now and then how many events of how many are done.

    Raises:
        OffPolicyRefused: The log cannot tell anything about a policy.
        NoWatchTimes: A ranker of watch times is asked for on a log without any.
        EventFileError: The file cannot be read.
    """
    begun_s = time.process_time()
    num_events = sum(1 for _ in log.read())
    check_watch_times(asked.policies, log.read(), config.action_table())
    run = _Run(asked, config, first=int(asked.learn_until * num_events))
    for place, value in enumerate(log.read()):
        run.take(place, value)
        if place % _PROGRESS_EVENTS == 0:
            on_progress(place, num_events)
    run.finish()
    on_progress(num_events, num_events)
    return run.result(log.name, begun_s)


class _Run:
    """One pass over the log."""

    def __init__(self, asked: OffPolicy, config: Config, *, first: int) -> None:
        self._asked = asked
        self._config = config
        self._first = first
        # No list is looked at here, so that no candidates need to be logged.
        self._system = OneProcess(
            replace(config, ranking=replace(config.ranking, slate_sample_rate=0.0))
        )
        self._targets = Targets(
            asked.policies, asked.drawn, config, self._system.live, candidates=asked.candidates
        )
        self._judge = Judge(self._targets)
        self._refused: Counter[str] = Counter()
        self._digest = blake2b(digest_size=16)

    def take(self, place: int, value: bytes) -> None:
        """Take the event at one place of the log in."""
        if place == self._first:
            self._targets.freeze()
        self._digest.update(value)
        try:
            event = decode_event(value)
        except EventRefused as refusal:
            self._refused[str(refusal.reason)] += 1
            self._process(place, None)
            return
        if isinstance(event, Impression) and place >= self._first:
            state = self._system.states.get(event.user_id, EMPTY_STATE)
            self._judge.ask(place, event, state)
        self._process(place, event)

    def finish(self) -> None:
        """Close the slates that are open at the log's end."""
        self._judge.settle(self._system.finish())

    def result(self, name: str, begun_s: float) -> OffPolicyResult:
        """Return the figures.

        Raises:
            OffPolicyRefused: There are none.
        """
        asked, how, answered = self._asked, self._asked.estimation, self._judge.answered
        policies = {policy: policy_run(policy, answered, how) for policy in asked.policies}
        attribution = self._config.attribution
        outcomes = {outcome.value: number for outcome, number in self._judge.joins.items()}
        return OffPolicyResult(
            headrace=version("headrace"),
            file=name,
            file_digest=self._digest.hexdigest(),
            configuration=self._config.digest(),
            overrides=list(asked.overrides),
            learn_until=asked.learn_until,
            evaluate_from_event=self._first,
            candidates=asked.candidates,
            drawing=_drawing(asked.drawn),
            clip=how.clip,
            level=how.level,
            seed=how.seed,
            attribution=AttributionRule(
                window_ms=attribution.window_ms,
                after_click_ms=attribution.after_click_ms,
                outcomes=dict(sorted(outcomes.items())),
            ),
            slots=sum(len(one.rewards) for one in answered),
            slates=len(answered),
            users=self._judge.num_users,
            logged=logged_estimate(answered, how),
            policies=policies,
            refused=dict(sorted(self._refused.items())),
            cpu_s=time.process_time() - begun_s,
        )

    def _process(self, place: int, event: Event | None) -> None:
        """Let worker and learner take one place in."""
        effects = self._system.process(place, event, wants_lists=False)
        if not effects.record.rows:
            self._judge.forget(place)
        self._judge.settle(self._system.learn(place, effects))


def _drawing(drawn: DrawnList) -> Drawing:
    match drawn:
        case EpsilonGreedy():
            return Drawing(epsilon=drawn.epsilon)
        case PlackettLuce():
            return Drawing(temperature=drawn.temperature)
        case _:
            return Drawing()

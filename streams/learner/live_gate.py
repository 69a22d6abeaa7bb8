"""Does the bundle in use make better lists than the one that challenges it, on live traffic?

The worker logs, for a share of its lists, how both bundles order the candidates of that moment;
what the user does next tells which of the two foresaw it (`streams.learner.rivals`). Both orders
are of one moment, so whatever changes with time is the same. A bundle loses by either of two
measures:

- the log score of the lists' orders, which moves with every difference between two orders, however
  few items it swaps (`models.log_scores`);
- the mean reciprocal rank by what the bundle itself scored, as in the trainer's gate, unless its
  lists have surely gained more than the tolerance: what weighs little in today's lists may weigh
  more tomorrow.

The ranks in the lists are counted beside them, for people. A loss counts where it is surely larger
than a tolerance. Two trainings from the same data differ, too, alone far more than in their lists,
and on enough actions every difference is a sure one.

- A *candidate*, which has passed the held-out actions, is promoted at `min_compared` actions unless
  it has lost by then; it is promoted without, when the deadline passes and too little has come.
- After a promotion, whoever made it, the former bundle stands by. At `min_compared` actions and at
  each doubling it is asked whether the new one loses; if so the former one comes back by itself.
  Each look has half of the risk that was left, so that all looks together keep to `confidence`.

Pure: announcements, comparisons and the time come in, announcements go out. Counting begins anew
with the process and with every new pair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.gate import Decision as Judged
from models.gate import GateConfig, Verdict, judge
from streams.announcements import CHALLENGING, Announcement, Decision, Role, standing_by
from streams.learner.rivals import Compared
from streams.training_sections import LiveGateConfig

_TARGETS: Final = "live actions"
_MIN_USERS: Final = 30
"""An interval over fewer users says little: what they did does not count yet."""
_GATE: Final = GateConfig(min_targets=1, num_resamples=2_000)


class Word(NamedTuple):
    """What is to be announced."""

    role: Role
    announcement: Announcement


class Means(NamedTuple):
    """Of the bundle in use, and of the other one."""

    current: float
    challenger: float


@dataclass(frozen=True, slots=True)
class Scores:
    """How the pair stands so far.

    Attributes:
        num_compared: Actions.
        log_scores: Mean log scores.
        mrr: Mean reciprocal ranks in the lists.
        own_mrr: Mean reciprocal ranks by what the bundles themselves scored.
    """

    num_compared: int
    log_scores: Means
    mrr: Means
    own_mrr: Means


class _Pair(NamedTuple):
    current: Announcement
    challenger: Announcement


class LiveGate:
    """Counts comparisons of the pair announced, and says what follows from them."""

    def __init__(self, config: LiveGateConfig) -> None:
        """Begin without a pair.

        Args:
            config: When a comparison counts.
        """
        self._config = config
        self._said: dict[Role, Announcement] = {}
        self._pair: _Pair | None = None
        self._begin(0.0)

    def _begin(self, now_s: float) -> None:
        # With too few users for a look, the newest ones stand for all.
        self._compared: deque[Compared] = deque(maxlen=self._config.max_compared)
        self._since_s = now_s
        self._num_looks = 0
        self._is_decided = False

    def announced(self, role: Role, announcement: Announcement, *, now_s: float) -> None:
        """Take note of what holds from now on; a new pair begins at 0."""
        self._said[role] = announcement
        pair = _pair_of(self._said)
        if pair != self._pair:
            self._pair = pair
            self._begin(now_s)

    def take(self, compared: Iterable[Compared]) -> None:
        """Count comparisons; those of other pairs say nothing."""
        if self._pair is not None:
            names = tuple(one.short_digest for one in self._pair)
            self._compared += [one for one in compared if (one.bundle, one.challenger) == names]

    def scores(self) -> Scores | None:
        """How the pair stands; None without comparisons."""
        if not self._compared:
            return None
        ranks = np.array([(one.rank, one.challenger_rank) for one in self._compared])
        gains = np.array([(one.gain, one.challenger_gain) for one in self._compared])
        measures = self._log_scores(), 1 / ranks, gains
        means = [Means(*of.mean(axis=0).tolist()) for of in measures]
        return Scores(len(ranks), *means)

    def decide(self, now_s: float) -> list[Word]:
        """Return what is to be announced now; once for each decision."""
        if self._pair is None or self._is_decided:
            return []
        if self._pair.challenger.decision is Decision.CANDIDATE:
            words = self._of_candidate(*self._pair, now_s)
        else:
            words = self._of_standby(*self._pair)
        self._is_decided = bool(words)
        return words

    def _of_candidate(
        self, current: Announcement, candidate: Announcement, now_s: float
    ) -> list[Word]:
        num, config = self._num_compared(), self._config
        if num < config.min_compared:
            if now_s - self._since_s < config.deadline_s:
                return []
            reason = (
                f"only {len(self._compared)} {_TARGETS} came in {config.deadline_s:g} s, "
                f"so held-out ones decide: {candidate.reason}"
            )
            return _promoted(current, candidate, reason)
        verdict = self._judged(newer=1, look=1)
        if verdict.decision is Judged.KEEP:
            return [Word(Role.CHALLENGER, candidate.decided(Decision.REFUSED, verdict.reason))]
        return _promoted(current, candidate, f"{verdict.reason}; {candidate.reason}")

    def _of_standby(self, current: Announcement, former: Announcement) -> list[Word]:
        num, config = self._num_compared(), self._config
        if num < min(config.min_compared << self._num_looks, config.max_compared):
            return []
        self._num_looks += 1
        verdict = self._judged(newer=0, look=self._num_looks)
        if verdict.decision is Judged.KEEP:
            reason = f"{current.short_digest} had lost quality: {verdict.reason}"
            return [
                Word(Role.CURRENT, former.decided(Decision.LIVE_ROLLBACK, reason)),
                Word(Role.CHALLENGER, current.decided(Decision.REFUSED, verdict.reason)),
            ]
        if num >= config.max_compared:
            reason = f"{current.short_digest} has stood the test: {verdict.reason}"
            return [Word(Role.CHALLENGER, former.decided(Decision.RETIRED, reason))]
        return []

    def _num_compared(self) -> int:
        users = {one.user for one in self._compared}
        return len(self._compared) if len(users) >= _MIN_USERS else 0

    def _judged(self, *, newer: int, look: int) -> Verdict:
        """Judge the newer one, column `newer` of the pair, with that look's share of the risk."""
        users_P = np.array([one.user for one in self._compared], np.uint64)
        # Half of it for either measure.
        risk = (1 - self._config.confidence) / 2**look / 2
        gate = replace(_GATE, confidence=1 - risk)
        tolerance = self._config.tolerance

        def verdict(
            of_P2: npt.NDArray[np.float64], measure: str, newer: int, tolerance: float
        ) -> Verdict:
            pair = of_P2[:, newer], of_P2[:, 1 - newer]
            tolerant = replace(gate, tolerance=tolerance)
            return judge(*pair, users_P, tolerant, targets=_TARGETS, measure=measure)

        scores_P2 = self._log_scores()
        of_lists = verdict(scores_P2, "log score of the lists", newer, tolerance)
        if of_lists.decision is Judged.KEEP:
            return of_lists
        gains_P2 = np.array([(one.gain, one.challenger_gain) for one in self._compared])
        own_tolerance = self._config.own_tolerance * float(gains_P2[:, 1 - newer].mean())
        alone = verdict(gains_P2, "MRR of the bundle alone", newer, own_tolerance)
        has_gained = verdict(scores_P2, "", 1 - newer, tolerance).decision is Judged.KEEP
        joined = replace(of_lists, reason=f"{alone.reason}; {of_lists.reason}")
        if alone.decision is Judged.KEEP and not has_gained:
            return replace(joined, decision=Judged.KEEP)
        return joined

    def _log_scores(self) -> npt.NDArray[np.float64]:
        scores = [(one.score, one.challenger_score) for one in self._compared]
        return np.array(scores, np.float64)


def _pair_of(said: Mapping[Role, Announcement]) -> _Pair | None:
    """Return the bundles that are to be compared now."""
    current, challenger = said.get(Role.CURRENT), said.get(Role.CHALLENGER)
    if current is None or challenger is None or challenger.digest == current.digest:
        return None
    return _Pair(current, challenger) if challenger.decision in CHALLENGING else None


def _promoted(current: Announcement, candidate: Announcement, reason: str) -> list[Word]:
    return [
        Word(Role.CURRENT, candidate.decided(Decision.GATE, reason)),
        Word(Role.CHALLENGER, standing_by(current, candidate)),
    ]

"""Does the bundle in use make better lists than the one that challenges it, on live traffic?

The worker logs, for a sample of its lists, what the list would have been with the challenger; what
the user does next tells which of the two held it higher. Only actions that no list led to are
compared: who is shown the list in use clicks what it puts first, and that is no evidence against
the list that nobody saw. Both lists are of one moment, so whatever changes with time is the same.

- A *candidate*, which has passed the held-out actions, is promoted at `min_compared` actions unless
  it has lost by then; it is promoted without, when the deadline passes and too little has come.
- After a promotion, whoever made it, the former bundle stands by. At `min_compared` actions and at
  each doubling it is asked whether the new one loses; if so the former one comes back by itself.
  Each look has half of the risk that was left, so that all looks together keep to `confidence`.

Pure: announcements, comparisons and the time come in, announcements go out. Counting begins anew
with the process and with every new pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np

from models.gate import Decision as Judged
from models.gate import GateConfig, Verdict, judge
from streams.announcements import CHALLENGING, Announcement, Decision, Role, standing_by
from streams.next_slates import CandidateSlate
from streams.sections import LiveGateConfig

_TARGETS: Final = "live actions"
_MIN_USERS: Final = 30
"""An interval over fewer users says little: what they did does not count yet."""
_GATE: Final = GateConfig(min_targets=1, num_resamples=2_000)


class Compared(NamedTuple):
    """One action of a user, and where its item stood in the two lists made for that user before.

    Attributes:
        bundle: Short digest of the bundle in use.
        challenger: Of the other one.
        user: A hash of the user.
        rank: In the list of the bundle in use, from 1; infinite where it did not hold the item.
        challenger_rank: In the challenger's list.
    """

    bundle: str
    challenger: str
    user: int
    rank: float
    challenger_rank: float


def compared(slate: CandidateSlate, item_id: str) -> list[Compared]:
    """Return what the next action of a slate's user says; nothing where there was no challenger."""
    rivals = slate.rivals
    if rivals is None:
        return []
    return [
        Compared(
            bundle=rivals.bundle,
            challenger=rivals.challenger,
            user=crc32(slate.row.user_id.encode()),
            rank=_rank(item_id, rivals.listed),
            challenger_rank=_rank(item_id, rivals.challenger_listed),
        )
    ]


def _rank(item_id: str, listed: Sequence[str]) -> float:
    return listed.index(item_id) + 1 if item_id in listed else math.inf


class Word(NamedTuple):
    """What is to be announced."""

    role: Role
    announcement: Announcement


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean reciprocal ranks of the pair so far."""

    num_compared: int
    current: float
    challenger: float


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
        self._compared: list[Compared] = []
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
        current, challenger = (1 / ranks).mean(axis=0).tolist()
        return Scores(len(ranks), current, challenger)

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
        ranks = np.array([(one.rank, one.challenger_rank) for one in self._compared], np.float64)
        users = np.array([one.user for one in self._compared], np.uint64)
        risk = (1 - self._config.confidence) / 2**look
        gate = replace(_GATE, confidence=1 - risk)
        return judge(ranks[:, newer], ranks[:, 1 - newer], users, gate, targets=_TARGETS)


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

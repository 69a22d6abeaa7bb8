"""When the live gate promotes, refuses, goes back, and when it says nothing."""

import math
from collections.abc import Iterable

import numpy as np
import pytest

from models.log_scores import log_score
from streams.announcements import ANNOUNCEMENT_VERSION, Announcement, Decision, Role
from streams.learner.live_gate import LiveGate, Word
from streams.learner.rivals import Compared
from streams.training_sections import LiveGateConfig

CONFIG = LiveGateConfig(min_compared=100, max_compared=400, confidence=0.99, deadline_s=60.0)
OLD, NEW = "0" * 64, "1" * 64


def announcement(digest: str, decision: Decision) -> Announcement:
    return Announcement(
        version=ANNOUNCEMENT_VERSION,
        kind="transformer",
        digest=digest,
        uri=f"/{digest}",
        cutoff_offset=0,
        cutoff_ms=0,
        trained_at_ms=0,
        decision=decision,
        reason="held out",
    )


def gate(current: str, challenger: str, decision: Decision) -> LiveGate:
    made = LiveGate(CONFIG)
    made.announced(Role.CURRENT, announcement(current, Decision.GATE), now_s=0.0)
    made.announced(Role.CHALLENGER, announcement(challenger, decision), now_s=0.0)
    return made


def candidate() -> LiveGate:
    return gate(OLD, NEW, Decision.CANDIDATE)


def promoted() -> LiveGate:
    return gate(NEW, OLD, Decision.STANDBY)


def compared(
    ranks: Iterable[tuple[float, float]],
    current: str = OLD,
    challenger: str = NEW,
    first_user: int = 0,
    own: tuple[float, float] = (0.5, 0.5),
) -> list[Compared]:
    """One action of each of as many users; a rank's score is that of chances that halve."""
    return [
        Compared(
            bundle=current[:8],
            challenger=challenger[:8],
            user=user,
            rank=mine,
            challenger_rank=theirs,
            score=score_of(mine),
            challenger_score=score_of(theirs),
            gain=own[0],
            challenger_gain=own[1],
        )
        for user, (mine, theirs) in enumerate(ranks, start=first_user)
    ]


def score_of(rank: float) -> float:
    return log_score(-rank * math.log(2), 100)


def noise(num: int, *, loss: float = 0.0, seed: int = 1) -> list[tuple[float, float]]:
    """Ranks of two lists that hold the item equally often, but for a share that the first loses."""
    draws = np.random.default_rng(seed)
    ranks = draws.choice([1.0, 3.0, 10.0, math.inf], (num, 2))
    ranks[draws.random(num) < loss, 0] = math.inf
    return [(first, second) for first, second in ranks.tolist()]


def said(words: list[Word]) -> list[tuple[Role, str, Decision]]:
    return [(word.role, word.announcement.digest, word.announcement.decision) for word in words]


def test_a_candidate_that_does_not_lose_is_promoted_and_the_former_bundle_stands_by() -> None:
    one = candidate()
    one.take(compared(noise(99)))
    assert one.decide(1.0) == []
    one.take(compared(noise(1), first_user=99))

    words = one.decide(1.0)

    assert said(words) == [
        (Role.CURRENT, NEW, Decision.GATE),
        (Role.CHALLENGER, OLD, Decision.STANDBY),
    ]
    assert "100 live actions" in words[0].announcement.reason
    assert "held out" in words[0].announcement.reason
    assert one.decide(2.0) == []


def test_a_candidate_that_loses_is_refused_with_the_figures() -> None:
    one = candidate()
    one.take(compared([(second, first) for first, second in noise(100, loss=0.8)]))

    (word,) = one.decide(1.0)

    assert (word.role, word.announcement.decision) == (Role.CHALLENGER, Decision.REFUSED)
    assert "100 live actions: difference -" in word.announcement.reason


def test_held_out_actions_decide_when_the_deadline_passes() -> None:
    one = candidate()
    one.take(compared(noise(5)))
    assert one.decide(59.0) == []

    words = one.decide(61.0)

    assert said(words)[0] == (Role.CURRENT, NEW, Decision.GATE)
    assert "only 5 live actions came in 60 s" in words[0].announcement.reason


def test_a_promoted_bundle_that_loses_goes_and_the_former_one_comes_back() -> None:
    one = promoted()
    one.take(compared(noise(100, loss=0.8), current=NEW, challenger=OLD))

    words = one.decide(1.0)

    assert said(words) == [
        (Role.CURRENT, OLD, Decision.LIVE_ROLLBACK),
        (Role.CHALLENGER, NEW, Decision.REFUSED),
    ]
    assert "11111111 had lost quality" in words[0].announcement.reason


def test_a_loss_that_a_first_look_cannot_see_is_seen_by_a_later_one() -> None:
    one = promoted()
    pairs = noise(400, loss=0.25, seed=5)
    outcomes = []
    for start in range(0, 400, 20):
        some = pairs[start : start + 20]
        one.take(compared(some, current=NEW, challenger=OLD, first_user=start))
        outcomes.append(said(one.decide(1.0)))

    assert outcomes[:9] == [[]] * 9
    assert (Role.CURRENT, OLD, Decision.LIVE_ROLLBACK) in [word for one in outcomes for word in one]


def test_a_promoted_bundle_that_has_stood_the_test_is_compared_no_more() -> None:
    one = promoted()
    looks = []
    for user, pair in enumerate(noise(410)):
        one.take(compared([pair], current=NEW, challenger=OLD, first_user=user))
        looks += said(one.decide(1.0))

    assert looks == [(Role.CHALLENGER, OLD, Decision.RETIRED)]


@pytest.mark.parametrize("seed", range(10))
def test_an_equal_bundle_is_not_rolled_back(seed: int) -> None:
    one = promoted()
    for user, pair in enumerate(noise(400, seed=100 + seed)):
        one.take(compared([pair], current=NEW, challenger=OLD, first_user=user))
        assert all(word.role is Role.CHALLENGER for word in one.decide(1.0))


@pytest.mark.parametrize(("own", "goes"), [((0.21, 0.25), False), ((0.19, 0.25), True)])
def test_a_bundle_alone_may_be_a_fifth_worse(own: tuple[float, float], *, goes: bool) -> None:
    one = promoted()
    one.take(compared([(3.0, 3.0)] * 400, current=NEW, challenger=OLD, own=own))

    words = one.decide(1.0)

    assert ((Role.CURRENT, OLD, Decision.LIVE_ROLLBACK) in said(words)) is goes


def test_what_was_compared_of_another_pair_does_not_count() -> None:
    one = promoted()
    one.take(compared(noise(400, loss=1.0), current=OLD, challenger=NEW))

    assert one.scores() is None
    assert one.decide(1.0) == []


def test_what_a_few_users_did_again_and_again_decides_nothing() -> None:
    one = promoted()
    for _ in range(40):
        one.take(compared(noise(20, loss=1.0), current=NEW, challenger=OLD))

    assert one.decide(1.0) == []


def test_a_new_pair_begins_at_nothing() -> None:
    one = candidate()
    one.take(compared(noise(99)))
    scores = one.scores()
    assert scores is not None
    assert scores.num_compared == 99

    one.announced(Role.CHALLENGER, announcement("2" * 64, Decision.CANDIDATE), now_s=50.0)

    assert one.scores() is None
    assert one.decide(100.0) == []
    assert said(one.decide(111.0))[0] == (Role.CURRENT, "2" * 64, Decision.GATE)


def test_a_bundle_is_not_compared_with_itself_nor_with_one_that_was_refused() -> None:
    for challenger, decision in ((OLD, Decision.CANDIDATE), (NEW, Decision.REFUSED)):
        one = gate(OLD, challenger, decision)
        one.take(compared(noise(400), challenger=challenger))

        assert one.scores() is None
        assert one.decide(1000.0) == []


def test_a_bundle_that_is_worse_alone_goes_though_its_lists_are_alike() -> None:
    one = promoted()
    one.take(compared([(3.0, 3.0)] * 100, current=NEW, challenger=OLD, own=(0.2, 0.3)))

    words = one.decide(1.0)

    assert said(words)[0] == (Role.CURRENT, OLD, Decision.LIVE_ROLLBACK)
    assert "MRR of the bundle alone 0.2000 against 0.3000" in words[0].announcement.reason


def test_a_bundle_that_is_worse_alone_stays_where_its_lists_have_surely_gained() -> None:
    one = promoted()
    pairs = [(second, first) for first, second in noise(100, loss=0.8)]
    one.take(compared(pairs, current=NEW, challenger=OLD, own=(0.2, 0.3)))

    assert one.decide(1.0) == []


@pytest.mark.parametrize(("gain", "goes"), [(0.004, True), (0.02, False)])
def test_lists_that_gained_next_to_nothing_excuse_no_bundle_alone(
    gain: float, *, goes: bool
) -> None:
    one = promoted()
    alike = compared([(3.0, 3.0)] * 100, current=NEW, challenger=OLD, own=(0.2, 0.3))
    one.take([pair._replace(score=-1.0, challenger_score=-1.0 - gain) for pair in alike])

    assert ((Role.CURRENT, OLD, Decision.LIVE_ROLLBACK) in said(one.decide(1.0))) is goes

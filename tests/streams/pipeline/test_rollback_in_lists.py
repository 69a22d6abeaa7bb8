"""A bundle that hardly moves a list, and is worse: is it seen within the demo's traffic?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featurestore.events import Event, UserId
from featurestore.keys import item_key
from models.encoder import SequenceEncoder
from models.gate import Decision as Judged
from models.gate import GateConfig, judge
from streams.announcements import Decision, Role
from streams.config import Config
from streams.examples import RivalRow, unpack_float32
from streams.learner.live_gate import LiveGate
from streams.learner.rivals import Compared
from streams.one_process import OneProcess
from streams.pipeline.pipeline import Effects
from tests.streams.bundles import announcement_of, small_bundle
from tests.streams.stream_events import click, visit
from tests.streams.taught import config

ITEMS = [f"i{number}" for number in range(40)]
SETTINGS = config(
    gate__compare_rate=1.0, ranking__slate_sample_rate=0.0, online__heads=[], ranking__num_new=0
)
NUM_ACTIONS = 200


class Traffic:
    """Users open a page, and act on what the better bundle favours a little."""

    def __init__(self, settings: Config, folder: Path, weight: float) -> None:
        self._system = OneProcess(settings)
        self._num_records = 0
        live = self._system.live
        good, bad = (small_bundle(folder / f"b{seed}", ITEMS, seed=seed) for seed in (1, 2))
        self.good, self.bad = announcement_of(good), announcement_of(bad)
        self._draws = np.random.default_rng(3)
        self.compared: list[Compared] = []
        # The further down, the more popular: neighbours do not change places for nothing.
        past = [
            click(f"early{number}-{more}", item)
            for number, item in enumerate(ITEMS)
            for more in range(number + 1)
        ]
        self._learn(self._system.catch_up(0, past))
        self._num_events = len(past)
        # What the re-ranker gives the transformer, as little as in the shop.
        column = live.online.rerank_feature_names.index("transformer")
        live.online.reranker.table.columns["moved"].put(column, weight)
        for name, value in (("num_slates", 1e6), ("memory", 1.0), ("tuned_loss", 1.0)):
            live.online.reranker.progress.columns[name].put(0, value)
        live.use(SequenceEncoder(bad, key_of=item_key))
        live.challenge(SequenceEncoder(good, key_of=item_key))

    def _take(self, event: Event) -> Effects:
        effects = self._system.process(self._num_events, event, wants_lists=True)
        self._num_events += 1
        self._learn(effects)
        return effects

    def _learn(self, effects: Effects) -> None:
        self.compared += self._system.learn(self._num_records, effects).compared
        self._num_records += 1

    def act(self, number: int) -> None:
        """Let one more user act."""
        user = f"u{number}"
        self._take(click(user, ITEMS[number % len(ITEMS)]))
        effects = self._take(visit(user))
        assert UserId(user) in effects.lists
        (row,) = [row for row in effects.record.rows if isinstance(row, RivalRow)]
        log_chances_N2 = unpack_float32(row.log_chances, len(row.items))
        favoured = log_chances_N2[:, 1] - log_chances_N2[:, 0]
        chances = np.exp(favoured / favoured.std())
        drawn = self._draws.choice(len(row.items), p=chances / chances.sum())
        self._take(click(user, effects.record.items[row.items[drawn]]))


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    made = Traffic(SETTINGS, tmp_path_factory.mktemp("bundles"), weight=0.0002)
    number = 0
    while len(made.compared) < NUM_ACTIONS:
        made.act(number)
        number += 1
    return made


def test_a_worse_bundle_is_rolled_back_though_it_hardly_moves_an_item_in_the_lists(
    traffic: Traffic,
) -> None:
    gate = LiveGate(SETTINGS.gate)
    gate.announced(Role.CURRENT, traffic.bad.decided(Decision.PROMOTE, "by force"), now_s=0.0)
    gate.announced(Role.CHALLENGER, traffic.good.decided(Decision.STANDBY, "former"), now_s=0.0)
    gate.take(traffic.compared)

    back, refused = gate.decide(1.0)

    assert (back.role, back.announcement.digest) == (Role.CURRENT, traffic.good.digest)
    assert back.announcement.decision is Decision.LIVE_ROLLBACK
    assert "log score" in refused.announcement.reason


def test_ranks_would_not_have_seen_it(traffic: Traffic) -> None:
    ranks_P2 = np.array([(one.rank, one.challenger_rank) for one in traffic.compared])
    users_P = np.array([one.user for one in traffic.compared], np.uint64)

    assert np.mean(ranks_P2[:, 0] == ranks_P2[:, 1]) > 0.85
    verdict = judge(1 / ranks_P2[:, 0], 1 / ranks_P2[:, 1], users_P, GateConfig())
    assert verdict.decision is Judged.PROMOTE

"""One training after the other on a log whose rule is known: what is kept, what is announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from featurestore.keys import item_key
from models.bundle import OPTIMIZER, Bundle, load_bundle
from models.encoder import SequenceEncoder, side_read_by
from models.gate import GateConfig
from models.online.online_models import OnlineConfig
from models.side_features import SideFeatures
from models.transformer.network import NetworkConfig
from models.transformer.training import TrainingConfig
from streams.config import Config, config_of
from streams.metrics import TrainerMetrics
from streams.trainer.training_data import TrainingData
from streams.trainer.training_round import Trained, TrainingRound
from tests.streams.example_logs import START_MS, Source, action, record_of

NUM_ITEMS = 30
SESSION_ACTIONS = 5
NETWORK = NetworkConfig(
    length=8,
    num_user_buckets=16,
    num_blocks=1,
    item_width=32,
    model_width=32,
    feed_forward_width=32,
)
TRAINING = TrainingConfig(epochs=4, chunk_rows=500, max_first_epochs=4)
BREAKING = TrainingConfig(learning_rate=0.5, item_learning_rate=10.0)
CONFIG = config_of({"trainer": {"held_out_share": 0.2}})


def walks(num_users: int, seed: int) -> list[Source]:
    """Users who walk one fixed permutation of the items: what is next is certain."""
    generator = np.random.default_rng(seed)
    successor = np.random.default_rng(0).permutation(NUM_ITEMS)
    sources: list[Source] = []
    for user in range(num_users):
        item = int(generator.integers(NUM_ITEMS))
        start_ms = START_MS + seed * 100_000_000 + 20_000 * user
        for step in range(SESSION_ACTIONS):
            item = int(successor[item])
            sources.append(action(f"{seed}-{user}", f"i{item}", start_ms + 1_000 * step))
    return sources


@dataclass
class Desk:
    """The data, what was announced, and rounds on it."""

    folder: Path
    data: TrainingData = field(
        default_factory=lambda: TrainingData(
            OnlineConfig(), topic_id="t", side=CONFIG.side, capacity=10_000, counter_rows=10_000
        )
    )
    metrics: TrainerMetrics = field(default_factory=TrainerMetrics)
    announced: list[tuple[Bundle, str]] = field(default_factory=list)
    num_read: int = 0

    def read(self, sources: list[Source]) -> None:
        # Counters know an item from the record after its first one on.
        for start in range(0, len(sources), 50):
            part = sources[start : start + 50]
            self.data.append(record_of(part, self.num_read), self.data.history.offset)
            self.num_read += len(part)

    def round(self, training: TrainingConfig = TRAINING, config: Config = CONFIG) -> TrainingRound:
        return TrainingRound(
            config,
            self.data,
            self.metrics,
            folder=self.folder,
            announce=lambda bundle, reason: self.announced.append((bundle, reason)),
            network=NETWORK,
            training=training,
            gate=GateConfig(min_targets=30, num_resamples=200),
        )

    def sample(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def never() -> bool:
    return False


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path)
    made.read(walks(200, seed=1))
    return made


@pytest.fixture(scope="module")
def first_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What the first round on the fixture's log promotes."""
    made = Desk(tmp_path_factory.mktemp("bundles"))
    made.read(walks(200, seed=1))
    assert made.round().run(is_stopped=never) is Trained.PROMOTED
    return made.announced[0][0]


def test_the_first_round_promotes_a_bundle_that_can_be_served(desk: Desk) -> None:
    training = desk.round()
    assert training.digest is None
    assert training.num_new_actions == 1000

    assert training.run(is_stopped=never) is Trained.PROMOTED

    [(bundle, reason)] = desk.announced
    assert training.digest == bundle.digest
    assert training.num_new_actions == 0
    assert bundle.config.cutoff_offset == desk.data.history.offset == 20
    assert bundle.config.cutoff_ms == desk.data.newest_ms
    assert "the first bundle" in reason
    encoder = SequenceEncoder.load(bundle.folder, key_of=item_key, expected_digest=bundle.digest)
    assert sorted(encoder.bundle.item_ids) == sorted(desk.data.history.item_ids)
    assert desk.sample("recsys_model_gate_decisions_total", decision="promote") == 1
    assert desk.sample("recsys_model_eval_score", kind="transformer", metric="mrr") > 0.3


def test_a_first_round_learns_a_small_log_again_and_again_and_later_ones_once(desk: Desk) -> None:
    training = desk.round(TrainingConfig(replay_fraction=0.0, first_targets=3_500))
    assert training.run(is_stopped=never) is Trained.PROMOTED
    # 3 passes over 1,000 actions, those that were held out for the gate included.
    assert desk.sample("recsys_trainer_sequences_total") == 3_000

    desk.read(walks(200, seed=2))
    training.run(is_stopped=never)

    assert desk.sample("recsys_trainer_sequences_total") in (3_800, 4_000)


def test_a_first_round_passes_over_what_teaches_nothing_no_more_than_it_must(
    tmp_path: Path,
) -> None:
    """Over all twelve times would be 12,000; which looks at chance come out well is chance, too."""
    learned: list[float] = []
    for seed in range(3, 7):
        generator, chance = np.random.default_rng(seed), Desk(tmp_path / str(seed))
        chance.read(
            [
                action(
                    f"u{number // 5}",
                    f"i{generator.integers(NUM_ITEMS)}",
                    START_MS + 1_000 * number,
                )
                for number in range(1_000)
            ]
        )
        training = chance.round(TrainingConfig(replay_fraction=0.0))
        assert training.run(is_stopped=never) is Trained.PROMOTED
        learned.append(chance.sample("recsys_trainer_sequences_total"))

    assert np.mean(learned) < 8_000


def test_a_warm_round_trains_the_new_rows_and_replays_a_share(
    desk: Desk, first_bundle: Bundle
) -> None:
    warm = desk.round(TrainingConfig(replay_fraction=0.25))
    warm.go_on_from(first_bundle)
    assert warm.num_new_actions == 0
    desk.read(walks(100, seed=2))
    assert warm.num_new_actions == 500

    assert warm.run(is_stopped=never) is Trained.PROMOTED

    [(bundle, reason)] = desk.announced
    assert bundle.digest != first_bundle.digest
    assert "against" in reason
    # 400 rows, then the 100 held out, each with at most a quarter and a sequence of old ones.
    targets = desk.sample("recsys_trainer_sequences_total")
    assert 500 <= targets <= 500 * 1.25 + 2 * SESSION_ACTIONS
    assert bundle.config.metrics["incumbent_mrr"] == pytest.approx(
        bundle.config.metrics["mrr"], abs=0.5
    )


def test_a_worse_bundle_is_thrown_away_and_its_rows_stay_new(
    desk: Desk, first_bundle: Bundle
) -> None:
    warm = desk.round(BREAKING)
    warm.go_on_from(first_bundle)
    desk.read(walks(100, seed=2))

    assert warm.run(is_stopped=never) is Trained.REJECTED

    assert desk.announced == []
    assert list(desk.folder.iterdir()) == []
    assert warm.digest == first_bundle.digest
    assert warm.num_new_actions == 500
    assert desk.sample("recsys_model_gate_decisions_total", decision="keep") == 1


def test_too_few_held_out_actions_change_nothing(desk: Desk, first_bundle: Bundle) -> None:
    warm = desk.round()
    warm.go_on_from(first_bundle)
    desk.read(walks(10, seed=2))

    assert warm.run(is_stopped=never) is Trained.REJECTED

    assert desk.announced == []
    assert desk.sample("recsys_model_gate_decisions_total", decision="undecided") == 1


def _after_the_gate(desk: Desk) -> bool:
    return desk.sample("recsys_model_gate_decisions_total", decision="promote") > 0


@pytest.mark.parametrize(
    "is_stopped", [lambda _: True, _after_the_gate], ids=["at once", "after the gate"]
)
def test_a_stopped_round_leaves_nothing(desk: Desk, is_stopped: Callable[[Desk], bool]) -> None:
    training = desk.round()

    assert training.run(is_stopped=lambda: is_stopped(desk)) is Trained.SKIPPED

    assert desk.announced == []
    assert list(desk.folder.iterdir()) == []
    assert training.digest is None
    assert training.num_new_actions == 1000


def test_new_items_of_a_warm_round_can_be_served(desk: Desk, first_bundle: Bundle) -> None:
    warm = desk.round()
    warm.go_on_from(load_bundle(first_bundle.folder))
    late_ms = START_MS + 900_000_000
    new = [
        action(f"n{n}", f"new{(n + step) % 5}", late_ms + 20_000 * n + step * 1000)
        for n in range(100)
        for step in range(SESSION_ACTIONS)
    ]
    desk.read(new)

    assert warm.run(is_stopped=never) is Trained.PROMOTED

    encoder = SequenceEncoder.load(desk.announced[0][0].folder, key_of=item_key)
    assert {f"new{n}" for n in range(5)} <= set(encoder.bundle.item_ids)


def described(desk: Desk, num_codes: int) -> None:
    """Tell a category of every other item, in codes of that many."""
    side = SideFeatures(num_attribute_codes=num_codes)
    codes = side.attribute_codes(["even"], {})
    desk.data.history.describe({f"i{number}": codes for number in range(0, NUM_ITEMS, 2)})


def test_rounds_go_on_with_attributes_and_begin_them_anew_where_they_mean_something_else(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """First nothing is told, then something, then in other codes, then nothing again."""
    sizes = []
    for number, num_codes in enumerate([0, 16, 16, 32, 0]):
        desk.read(walks(80, seed=2 + number))
        if num_codes:
            described(desk, num_codes)
            trainer = {"held_out_share": 0.2, "reads_attributes": True}
            config = config_of({"trainer": trainer, "side": {"num_attribute_codes": num_codes}})
        else:
            desk.data.history.describe({})
            config = CONFIG
        training = desk.round(config=config)
        if desk.announced:
            training.go_on_from(desk.announced[-1][0])
        assert training.run(is_stopped=never) is Trained.PROMOTED
        bundle = desk.announced[-1][0]
        vectors = bundle.arrays(OPTIMIZER).get("attributes.vectors", np.zeros((0, 1)))
        assert (np.abs(vectors).sum(1) > 0).sum() == (num_codes > 0)
        sizes.append(len(vectors))
        assert desk.sample("recsys_model_eval_score", kind="transformer", metric="mrr") > 0.3
    assert sizes == [0, 17, 17, 33, 0]
    found = [one for one in caplog.messages if "learned anew" in one]
    assert [one.split(":")[0] for one in found] == [
        "side.num_attribute_codes is 32, the bundle in force has 16",
    ]


def test_a_bundle_of_other_contexts_is_gone_on_from_and_the_log_says_so(
    tmp_path: Path, first_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    assert side_read_by(first_bundle) == CONFIG.side
    side = SideFeatures(context=("device", "plan"))
    data = TrainingData(
        OnlineConfig(), topic_id="t", side=side, capacity=10_000, counter_rows=10_000
    )
    desk = Desk(tmp_path, data)
    desk.read(walks(80, seed=2))
    training = desk.round()

    training.go_on_from(first_bundle)

    (told,) = [one for one in caplog.messages if "learned anew" in one]
    assert "('device', 'plan')" in told
    assert training.run(is_stopped=never) is Trained.PROMOTED
    assert side_read_by(desk.announced[0][0]) == side
    assert desk.sample("recsys_model_eval_score", kind="transformer", metric="mrr") > 0.3

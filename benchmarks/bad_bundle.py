"""What does the gate say of a bundle that was made worse on purpose? A drill on a running Headrace.

    python -m benchmarks.bad_bundle shuffled

Beside `make demo FOR=forever`, say, which prints the variables that lead to it. The log is read as
the trainer reads it, which takes a while. `shuffled` deals the item vectors of the bundle in use
out at random; `old` is trained, from random weights, on the log's first half alone. The trainer's
gate judges it on what was done since the bundle in use was trained. Then it lies among the bundles,
for `headrace models promote`: docs/runbooks/bad-bundle.md.
"""

# ruff: noqa: T201  (a drill prints)

from __future__ import annotations

import argparse
import os
import time
from contextlib import closing
from pathlib import Path

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from models.bundle import Bundle, load_bundle
from models.encoder import BUNDLE_KIND, side_read_by
from models.gate import GateConfig, Verdict, judge
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.evaluation import TargetRanks, rank_targets
from models.transformer.new_items import first_vectors
from streams.config import Config, load_config
from streams.examples import decode_record
from streams.metrics import TrainerMetrics
from streams.model_registry import ModelRegistry
from streams.topic_identity import identify_topic
from streams.trainer.training_data import TrainingData
from streams.trainer.training_round import TrainingRound


def shuffled(bundle: Bundle, folder: Path, config: Config) -> Bundle:
    """The bundle with its item vectors dealt out at random."""
    state = restore_state(bundle, learning_rate=0.0, side=side_read_by(bundle))
    order = np.random.default_rng(1).permutation(len(bundle.item_ids)) + 1
    # Without attributes, which would speak for the items all the same.
    state.adopt(state.item_ids, {})
    state.items.vectors[1:] = state.items.vectors[order]
    created_ms = time.time_ns() // 1_000_000
    provenance = Provenance(
        created_ms=created_ms,
        cutoff_offset=bundle.config.cutoff_offset,
        cutoff_ms=bundle.config.cutoff_ms,
        metrics={},
    )
    target = config.action_table().spec(config.trainer.target_action).code
    name = f"{BUNDLE_KIND}-{created_ms}"
    return write_state(folder / name, state, provenance, target_action=target)


def trained_anew(config: Config, data: TrainingData, folder: Path, *, seed: int) -> Bundle:
    """A bundle that was trained on everything so far from random weights."""
    bundles: list[Bundle] = []
    training = TrainingRound(
        config,
        data,
        TrainerMetrics(),
        folder=folder,
        announce=lambda bundle, _: bundles.append(bundle),
        seed=seed,
    )
    training.run(is_stopped=lambda: False)
    return bundles[0]


def judged(candidate: Bundle, incumbent: Bundle, data: TrainingData) -> Verdict:
    """What the trainer's gate says, on everything that is newer than both bundles' data."""
    data.retire_items()
    cutoff_ms = max(candidate.config.cutoff_ms, incumbent.config.cutoff_ms)
    times_s = np.maximum.accumulate(data.history.times_s)
    known = int(np.searchsorted(times_s, cutoff_ms // 1000, side="right"))
    mine, theirs = (
        _ranks(one, data, data.history.first_row + known) for one in (candidate, incumbent)
    )
    return judge(1 / mine.rank_P, 1 / theirs.rank_P, mine.user_P, GateConfig())


def _ranks(bundle: Bundle, data: TrainingData, from_row: int) -> TargetRanks:
    history = data.history
    state = restore_state(bundle, learning_rate=0.0, side=data.side)
    vectors = state.item_vectors()[1:].numpy()
    state.adopt(history.item_ids, first_vectors(history, state.item_ids, vectors))
    return rank_targets(
        state, history, from_row=from_row, to_row=history.end_row, counters=data.counters
    )


class _Log:
    """The topic `examples`, read from its beginning."""

    def __init__(self, config: Config) -> None:
        topic = config.kafka.topics.examples
        self.data = TrainingData(
            config.online,
            topic_id=identify_topic(config.kafka.brokers, topic).topic_id,
            side=config.side,
            capacity=config.trainer.max_actions,
            counter_rows=config.trainer.counter_actions,
        )
        self._partition = TopicPartition(topic, 0)
        self._consumer = KafkaConsumer(
            bootstrap_servers=list(config.kafka.brokers), enable_auto_commit=False
        )
        self._consumer.assign([self._partition])
        self._consumer.seek_to_beginning(self._partition)

    @property
    def end(self) -> int:
        """The offset of what comes next."""
        return int(self._consumer.end_offsets([self._partition])[self._partition])

    def read(self, to_offset: int) -> None:
        """Read on up to an offset."""
        while self._consumer.position(self._partition) < to_offset:
            fetched = self._consumer.poll(timeout_ms=1_000, max_records=500)
            for record in fetched.get(self._partition, ()):
                self.data.append(decode_record(record.value), record.offset)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


def main() -> None:
    """Make the bundle, have it judged, and say what to type next."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("how", choices=["shuffled", "old"])
    arguments = parser.parse_args()
    config = load_config(None, os.environ)
    folder = Path(config.trainer.folder)
    registry = ModelRegistry(folder, config.kafka.brokers, config.kafka.topics.models)
    with closing(_Log(config)) as log:
        log.read(log.end // 2)
        old = trained_anew(config, log.data, folder, seed=1) if arguments.how == "old" else None
        log.read(log.end)
        current = registry.current(BUNDLE_KIND)
        if current is None:
            raise SystemExit("no transformer is in use yet: wait for the first one")
        in_use = load_bundle(Path(current.uri), expected_digest=current.digest)
        bad = old or shuffled(in_use, folder, config)
        verdict = judged(bad, in_use, log.data)
    print(f"the trainer's gate says {verdict.decision}: {verdict.reason}")
    print(f"force it through: headrace models promote {bad.digest[:12]}")


if __name__ == "__main__":
    main()

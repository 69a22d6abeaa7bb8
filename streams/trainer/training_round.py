"""What is one training, from the newest actions to an announcement?

Hold the newest actions out, fit the rest on warm weights, score the new state and the bundle in use
on what was held out, let the gate judge, and write and announce what passes. A state that is
refused is thrown away: the next round starts from the bundle in use again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np

from models.bundle import Bundle
from models.encoder import BUNDLE_KIND, side_read_by
from models.gate import Decision as Gate
from models.gate import GateConfig, Verdict, judge
from models.transformer.bundling import Provenance, restore_state, write_state
from models.transformer.evaluation import TargetRanks, rank_targets
from models.transformer.item_attributes import Described
from models.transformer.network import NetworkConfig
from models.transformer.new_items import first_vectors
from models.transformer.state import TrainingState
from models.transformer.training import Progress, TrainingConfig, fit
from streams.config import Config
from streams.metrics import TrainerMetrics
from streams.trainer.training_data import TrainingData

logger = logging.getLogger(__name__)

_HIT_AT: Final = 20
_PATIENCE: Final = 3


class Trained(StrEnum):
    """How a round ended; the labels of `recsys_trainer_runs_total`."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    SKIPPED = "skipped"


class TrainingRound:
    """Trains again and again on the same growing data."""

    def __init__(
        self,
        config: Config,
        data: TrainingData,
        metrics: TrainerMetrics,
        *,
        folder: Path,
        announce: Callable[[Bundle, str], object],
        network: NetworkConfig | None = None,
        training: TrainingConfig | None = None,
        gate: GateConfig | None = None,
        seed: int = 0,
    ) -> None:
        """Begin from random weights.

        Args:
            config: Of the trainer and of the actions.
            data: What is trained on; grows between the rounds.
            metrics: Are moved by each round.
            folder: Where bundles go.
            announce: Proposes a bundle as the current one, for the reason given.
            network: Sizes; the defaults unless a bundle is gone on from.
            training: How a pass is made.
            gate: When a comparison counts.
            seed: Of the first weights and of each round's order.
        """
        self._config = config
        self._data = data
        self._folder = folder
        self._announce = announce
        self._metrics = metrics
        self._network = network or NetworkConfig()
        self._training = training or TrainingConfig()
        self._gate = gate or GateConfig()
        self._incumbent: Bundle | None = None
        self._learned_row = 0
        self._seed = seed
        self._num_rounds = 0

    @property
    def digest(self) -> str | None:
        """The digest of the bundle in use, None without one."""
        return None if self._incumbent is None else self._incumbent.digest

    @property
    def num_new_actions(self) -> int:
        """Actions since the last round."""
        history = self._data.history
        return history.end_row - max(self._learned_row, history.first_row)

    def go_on_from(self, bundle: Bundle) -> None:
        """Warm-start from a bundle; what its data covered is replayed, not learned again.

        The data must have been read to its end: what it holds by now tells what the bundle covers.

        Raises:
            BundleRefused: It is of another kind.
        """
        state = self._restored(bundle)
        num_codes = self._config.side.num_attribute_codes
        reads = self._config.trainer.reads_attributes
        if reads and state.attributes is not None and state.attributes.num_codes != num_codes:
            logger.warning(
                "side.num_attribute_codes is %d, the bundle in force has %d: attributes are "
                "learned anew, items keep their vectors",
                num_codes,
                state.attributes.num_codes,
            )
        told, read = self._data.side.context_meaning, side_read_by(bundle).context_meaning
        if told != read and (told[0] or read[0]):
            logger.warning(
                "[side] has the contexts and codes %s, the bundle in force %s: those that it does "
                "not have alike are learned anew",
                told,
                read,
            )
        self._incumbent = bundle
        # Users' clocks are in order within a partition only; the log's own time is their maximum.
        times_s = np.maximum.accumulate(self._data.history.times_s)
        known = int(np.searchsorted(times_s, bundle.config.cutoff_ms // 1000, side="right"))
        self._learned_row = self._data.history.first_row + known

    def run(self, *, is_stopped: Callable[[], bool]) -> Trained:
        """Do one round; cut short, without effect, when `is_stopped` says so."""
        self._num_rounds += 1
        self._data.retire_items()
        end_row = self._data.history.end_row
        held_out_row = end_row - self._num_held_out()
        fitted = self._fitted(held_out_row, end_row, is_stopped)
        if fitted is None:
            return Trained.SKIPPED
        state, training = fitted
        verdict = self._judge(state, held_out_row, end_row)
        self._metrics.models.gate_decisions.of(verdict.decision.value).inc()
        logger.info("Gate: %s, %s", verdict.decision, verdict.reason)
        if verdict.decision is not Gate.PROMOTE:
            return Trained.REJECTED
        # The held-out actions are the newest: what is served should have learned them, too.
        for _ in self._steps(state, held_out_row, end_row, training):
            if is_stopped():
                return Trained.SKIPPED
        self._promote(state, verdict)
        self._learned_row = end_row
        return Trained.PROMOTED

    def _num_held_out(self) -> int:
        share = int(self.num_new_actions * self._config.trainer.held_out_share)
        return min(share, self._config.trainer.max_held_out)

    def _warm_state(self) -> TrainingState:
        """Return a state that knows the history's catalogue."""
        history = self._data.history
        described = Described(history.attribute_matrix(), self._config.side.num_attribute_codes)
        if self._incumbent is None:
            state = TrainingState(
                self._network,
                history.item_ids,
                seed=self._seed + self._num_rounds,
                learning_rate=self._training.learning_rate,
                side=self._data.side,
            )
            state.adopt(history.item_ids, {}, described)
            return state
        state = self._restored(self._incumbent)
        vectors = state.item_vectors()[1:].numpy()
        new = first_vectors(history, state.item_ids, vectors)
        state.adopt(history.item_ids, new, described)
        return state

    def _restored(self, bundle: Bundle) -> TrainingState:
        rate = self._training.learning_rate
        return restore_state(bundle, learning_rate=rate, side=self._data.side)

    def _fitted(
        self, held_out_row: int, end_row: int, is_stopped: Callable[[], bool]
    ) -> tuple[TrainingState, TrainingConfig] | None:
        """Return what has learned all but the held-out actions, and how; None if stopped.

        A first training goes on until three passes have not made it better on these, and is as it
        was before them. Where what is liked does not last, one is best; where tastes last, many.
        """
        state = best = self._warm_state()
        training, best_mrr, num_best, num_passes = self._training, -1.0, 0, 0
        if self._incumbent is None:
            training = training.of_first(self.num_new_actions)
        for step in self._steps(state, self._learned_row, held_out_row, training):
            if is_stopped():
                return None
            if training.epochs > self._training.epochs and step.ends_pass:
                num_passes += 1
                mrr = self._mrr(state, held_out_row, end_row)
                if mrr > best_mrr:
                    best, best_mrr, num_best = deepcopy(state), mrr, num_passes
                elif num_passes - num_best >= _PATIENCE:
                    break
        best.network.requires_grad_(requires_grad=True)
        return best, replace(training, epochs=max(num_best, self._training.epochs))

    def _steps(
        self, state: TrainingState, from_row: int, to_row: int, training: TrainingConfig
    ) -> Iterator[Progress]:
        """Learn the rows of a window, a step at a time."""
        begun_s = time.monotonic()
        losses: list[float] = []
        steps = fit(
            state,
            self._data.history,
            from_row=from_row,
            to_row=to_row,
            config=training,
            seed=self._seed + self._num_rounds,
            counters=self._data.counters,
        )
        try:
            for progress in steps:
                losses.append(progress.item_loss)
                self._metrics.training.sequences.inc(progress.targets)
                yield progress
        finally:
            if losses:
                self._metrics.training.loss.set(float(np.mean(losses)))
            self._metrics.training.run_duration.of("fit").observe(time.monotonic() - begun_s)

    def _judge(self, state: TrainingState, from_row: int, to_row: int) -> Verdict:
        begun_s = time.monotonic()
        mine = self._ranks(state, from_row, to_row)
        theirs = None
        if self._incumbent is not None:
            theirs = 1 / self._ranks(self._warm_state(), from_row, to_row).rank_P
        verdict = judge(1 / mine.rank_P, theirs, mine.user_P, self._gate)
        if len(mine.rank_P):
            hits = float((mine.rank_P <= _HIT_AT).mean())
            self._metrics.models.eval_score.of(BUNDLE_KIND, "hr").set(hits)
        self._metrics.models.eval_score.of(BUNDLE_KIND, "mrr").set(verdict.candidate)
        self._metrics.training.run_duration.of("evaluate").observe(time.monotonic() - begun_s)
        return verdict

    def _mrr(self, state: TrainingState, from_row: int, to_row: int) -> float:
        rank_P = self._ranks(state, from_row, to_row).rank_P
        return float((1 / rank_P).mean()) if len(rank_P) else 0.0

    def _ranks(self, state: TrainingState, from_row: int, to_row: int) -> TargetRanks:
        return rank_targets(
            state,
            self._data.history,
            from_row=from_row,
            to_row=to_row,
            counters=self._data.counters,
        )

    def _promote(self, state: TrainingState, verdict: Verdict) -> None:
        begun_s, trainer = time.monotonic(), self._config.trainer
        created_ms = time.time_ns() // 1_000_000
        bundle = write_state(
            self._folder / f"{BUNDLE_KIND}-{created_ms}",
            state,
            Provenance(
                created_ms=created_ms,
                cutoff_offset=self._data.history.offset,
                cutoff_ms=self._data.newest_ms,
                metrics={"mrr": verdict.candidate, "incumbent_mrr": verdict.incumbent},
            ),
            target_action=self._config.action_table().spec(trainer.target_action).code,
        )
        self._announce(bundle, verdict.reason)
        self._incumbent = bundle
        self._metrics.models.trained.of(BUNDLE_KIND).set(created_ms / 1000)
        self._metrics.training.run_duration.of("export").observe(time.monotonic() - begun_s)

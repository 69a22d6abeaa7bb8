"""How does the trainer keep the ranker fresh that orders lists?

Every so often it trains one anew on the slates that were answered, and compares it with the bundle
in use: on the newest slates, which neither has learned, how far up does each put the item that was
clicked, as it was shown? Position is known to both, so that the one whose order users saw has no
advantage. What does not lose takes over (`models.gate`), once it has learned the newest, too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.bundle import Bundle
from models.encoder_inputs import hash_user
from models.gate import Decision, GateConfig, Verdict, judge
from models.rankers.ranker_bundle import RankerHead, RankerProvenance
from models.rankers.slate_ranker import SlateRanker
from streams.config import Config
from streams.metrics import TrainerMetrics
from streams.trainer.answered_slates import AnsweredSlate, AnsweredSlates
from streams.trainer.ranker_training import NoSlates, Stopped, check_slates, taught
from streams.trainer.training_round import Trained

logger = logging.getLogger(__name__)

_TARGETS = "held-out clicks"


class RankerRound:
    """Trains the configured ranker again and again.

    Attributes:
        head: Which one.
        slates: What it is trained on; grows between the rounds.
        incumbent: The bundle in use, None without one.
    """

    def __init__(
        self,
        config: Config,
        head: RankerHead,
        metrics: TrainerMetrics,
        *,
        folder: Path,
        announce: Callable[[Bundle, str], object],
        gate: GateConfig | None = None,
    ) -> None:
        """Begin without a bundle and without slates.

        Args:
            config: Of the trainer and of the join.
            head: Which ranker.
            metrics: Are moved by each round.
            folder: Where bundles go.
            announce: Makes a bundle the current one, for the reason given.
            gate: When a comparison counts.
        """
        self.head = head
        self.slates = AnsweredSlates.of(config)
        self.incumbent: Bundle | None = None
        self._trainer = config.trainer
        self._metrics = metrics
        self._folder = folder
        self._announce = announce
        self._gate = gate or GateConfig()

    @property
    def num_new(self) -> int:
        """Slates shown since the newest that the bundle in use has learned."""
        return len(self._new(self.slates.settled()))

    def run(self, *, is_stopped: Callable[[], bool] = lambda: False) -> Trained:
        """Do one round; cut short, without effect, when `is_stopped` says so.

        A training of trees that has begun is not cut short.
        """
        slates = self.slates.settled()
        num_held_out = self._num_held_out(self._new(slates))
        num_learned = len(slates) - num_held_out
        try:
            check_slates(self.head.name, slates, num_learned)
            self._check_held_out(slates[num_learned:])
            return self._round(slates, num_learned, is_stopped)
        except NoSlates as error:
            logger.info("No training of %s: %s", self.head.name, error)
        except Stopped:
            logger.info("The training of %s was stopped", self.head.name)
        return Trained.SKIPPED

    def _round(
        self, slates: Sequence[AnsweredSlate], num_learned: int, is_stopped: Callable[[], bool]
    ) -> Trained:
        learned, held_out = slates[:num_learned], slates[num_learned:]
        begun_s = time.monotonic()
        ranker = self.head.untrained()
        candidate = taught(ranker, learned, is_stopped=is_stopped)
        self._observe("fit", begun_s)
        begun_s = time.monotonic()
        verdict = self._judged(candidate, _clicked(held_out))
        self._observe("evaluate", begun_s)
        self._metrics.models.gate_decisions.of(verdict.decision.value).inc()
        logger.info("Gate of %s: %s, %s", self.head.name, verdict.decision, verdict.reason)
        if verdict.decision is not Decision.PROMOTE:
            return Trained.REJECTED
        self._promote(taught(ranker, held_out, is_stopped=is_stopped), verdict, slates)
        return Trained.PROMOTED

    def _num_held_out(self, new: Sequence[AnsweredSlate]) -> int:
        """How many of the new slates, the newest, the gate scores: at most so many clicked ones."""
        share = int(len(new) * self._trainer.held_out_share)
        newest_first = new[: -share - 1 : -1]
        num_clicked = np.cumsum([bool(one.labels.any()) for one in newest_first])
        return int(np.searchsorted(num_clicked, self._trainer.max_held_out, side="right"))

    def _check_held_out(self, held_out: Sequence[AnsweredSlate]) -> None:
        """Refuse to train what the gate could not compare.

        Raises:
            NoSlates: With what was found.
        """
        num_clicked, num_needed = len(_clicked(held_out)), self._gate.min_targets
        if self.incumbent is not None and num_clicked < num_needed:
            raise NoSlates(
                f"found {num_clicked} clicked slates among the {len(held_out)} that are held out, "
                f"expected {num_needed} to compare it with the bundle in use: more are waited for "
                "(trainer.held_out_share, trainer.max_held_out and trainer.max_slates bound them)"
            )

    def _new(self, slates: Sequence[AnsweredSlate]) -> Sequence[AnsweredSlate]:
        """Those that the bundle in use has not learned."""
        since_ms = 0 if self.incumbent is None else self.incumbent.config.cutoff_ms
        return [one for one in slates if one.shown_at_ms > since_ms]

    def _judged(self, candidate: SlateRanker, clicked: Sequence[AnsweredSlate]) -> Verdict:
        users = np.array([hash_user(one.user_id) for one in clicked], np.uint64)
        mine_P = gains_of_clicks(candidate, clicked)
        theirs_P = None
        if self.incumbent is not None:
            theirs_P = gains_of_clicks(self.head.load(self.incumbent), clicked)
        verdict = judge(mine_P, theirs_P, users, self._gate, targets=_TARGETS)
        self._metrics.models.eval_score.of(self.head.kind, "mrr").set(verdict.candidate)
        return verdict

    def _promote(
        self, ranker: SlateRanker, verdict: Verdict, slates: Sequence[AnsweredSlate]
    ) -> None:
        begun_s, created_ms = time.monotonic(), time.time_ns() // 1_000_000
        provenance = RankerProvenance(
            created_ms=created_ms,
            cutoff_offset=self.slates.next_offset,
            cutoff_ms=max(one.shown_at_ms for one in slates),
            metrics={"mrr": verdict.candidate, "incumbent_mrr": verdict.incumbent},
        )
        bundle = self.head.save(self._folder / f"{self.head.kind}-{created_ms}", ranker, provenance)
        self._announce(bundle, verdict.reason)
        self.incumbent = bundle
        self._metrics.models.trained.of(self.head.kind).set(created_ms / 1000)
        self._observe("export", begun_s)

    def _observe(self, phase: str, begun_s: float) -> None:
        self._metrics.training.run_duration.of(phase).observe(time.monotonic() - begun_s)


def _clicked(slates: Sequence[AnsweredSlate]) -> list[AnsweredSlate]:
    return [one for one in slates if one.labels.any()]


def gains_of_clicks(
    ranker: SlateRanker, clicked: Sequence[AnsweredSlate]
) -> npt.NDArray[np.float64]:
    """Return the reciprocal rank of the best clicked item of each slate; of equals, the middle's.

    Args:
        ranker: Knows the positions.
        clicked: Slates with a click.
    """
    ranks = np.ones(len(clicked))
    for place, slate in enumerate(clicked):
        predicted = ranker.predicted(slate.relevance, slate.examination)
        # What is no number ranks last.
        predicted = np.nan_to_num(predicted, nan=-np.inf)
        best = predicted[slate.labels].max()
        ranks[place] += (predicted > best).sum() + ((predicted == best).sum() - 1) / 2
    return 1 / ranks

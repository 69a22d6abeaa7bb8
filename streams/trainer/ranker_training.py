"""How is a ranker trained on the slates of a log, and how good is it on the newest of them?

The newest slates are held out: the ranker learns the others, is judged on these, and then learns
them, too. From Kafka come the features that were logged when a slate was shown, on the models of
that moment; from a file they are computed anew by the live system's own code, without the bundles
that a live worker may have asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from featurestore.events import EventRefused, decode_event
from models.bundle import Bundle
from models.rankers.ranker_bundle import RankerHead, RankerProvenance
from models.rankers.registry import OF_WATCH_TIMES
from models.rankers.slate_ranker import SlateRanker
from streams.click_quality import RankerJudge, RankerQuality
from streams.config import Config
from streams.engine import Record, TopicReader
from streams.errors import StreamsError
from streams.event_file import read_values
from streams.examples import decode_record
from streams.finished_log import FROM_KAFKA
from streams.one_process import OneProcess
from streams.trainer.answered_slates import AnsweredSlate, AnsweredSlates

HELD_OUT_SHARE: Final = 0.1
_PROGRESS_SLATES: Final = 200


class NoSlates(StreamsError, ValueError):
    """A log has nothing for a ranker to learn from."""


class Stopped(StreamsError):
    """A training was told to end before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRanker:
    """A ranker and what came of its training.

    Attributes:
        head: Which one, over which features.
        ranker: It, all slates learned.
        quality: On the held-out slates, before it learned them.
        num_slates: That it has learned.
        cutoff_ms: When the newest of them was shown.
        cutoff_offset: Up to where `examples` was read; 0 from a file.
    """

    head: RankerHead
    ranker: SlateRanker
    quality: RankerQuality
    num_slates: int
    cutoff_ms: int
    cutoff_offset: int = 0

    @property
    def metrics(self) -> dict[str, float | None]:
        """What the bundle says of it; figures that its predictions have not are left out."""
        quality = self.quality
        figures = {
            "ne": quality.ne,
            "auc": quality.auc,
            "mrr": quality.mrr,
            "mrr_by_relevance": quality.relevance.mrr,
            "watch_mispredicted": quality.watched.mispredicted,
        }
        return {name: value for name, value in figures.items() if value is not None}

    def provenance(self, created_ms: int) -> RankerProvenance:
        """Return what the bundle says of the training."""
        return RankerProvenance(
            created_ms=created_ms,
            cutoff_offset=self.cutoff_offset,
            cutoff_ms=self.cutoff_ms,
            metrics=self.metrics,
        )


def slates_of(source: str, config: Config) -> AnsweredSlates:
    """Read the slates of an event file or, for `kafka`, of what the topic `examples` holds now.

    Raises:
        EventFileError: The file cannot be read.
        UnreadableTopicError: There is no such topic.
        KafkaError: No broker can be reached.
        ExamplesCorrupt: A record of the topic is none of this release.
        GapInExamples: Records of the topic are missing.
    """
    slates = AnsweredSlates.of(config)
    if source == FROM_KAFKA:
        asyncio.run(_read_topic(slates, config))
    else:
        _read_file(slates, Path(source), config)
    return slates


def train_ranker(
    head: RankerHead,
    slates: Sequence[AnsweredSlate],
    on_progress: Callable[[float], object] = lambda _done: None,
) -> TrainedRanker:
    """Train a ranker on slates, in the order in which they were shown.

    Args:
        head: Which one.
        slates: In any order: answers come clicked ones first. The tenth that was shown last is held
            out and learned last.
        on_progress: Told now and then which share of them is learned.

    Raises:
        NoSlates: There are too few, or none that teaches this ranker anything.
    """
    slates = sorted(slates, key=lambda one: one.shown_at_ms)
    num_first = len(slates) - int(HELD_OUT_SHARE * len(slates))
    check_slates(head.name, slates, num_first)
    ranker = head.untrained()
    first = taught(ranker, slates[:num_first], lambda done: on_progress(0.9 * done))
    quality = judged(first, slates[num_first:])
    learned = taught(ranker, slates[num_first:])
    on_progress(1.0)
    return TrainedRanker(
        head=head,
        ranker=learned,
        quality=quality,
        num_slates=len(slates),
        cutoff_ms=slates[-1].shown_at_ms,
    )


def taught(
    ranker: SlateRanker,
    slates: Sequence[AnsweredSlate],
    on_progress: Callable[[float], object] = lambda _done: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> SlateRanker:
    """Let a ranker learn slates too; return what it is then: another one, of those that grow trees.

    Args:
        ranker: Goes on learning; what was returned of it before may change with it.
        slates: In their order.
        on_progress: Told now and then which share of them is learned.
        is_stopped: Asked as often, and once more before trees grow: that is not cut short.

    Raises:
        Stopped: `is_stopped` said so.
    """
    for place, slate in enumerate(slates):
        if place % _PROGRESS_SLATES == 0:
            on_progress(place / len(slates))
            _heed(is_stopped)
        ranker.learn(slate.relevance, slate.examination, slate.labels, slate.watch_times)
    _heed(is_stopped)
    return ranker.refresh() or ranker


def _heed(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise Stopped


def judged(ranker: SlateRanker, slates: Sequence[AnsweredSlate]) -> RankerQuality:
    """Return how good what a ranker says of answered slates is; it learns nothing of them."""
    judge = RankerJudge()
    for slate in slates:
        predicted = ranker.predicted(slate.relevance, slate.examination)
        judge.add(predicted, ranker.scores(slate.relevance), slate.labels, slate.watch_times)
    return judge.quality(ranker.predicts)


def save_trained(trained: TrainedRanker, folder: Path, *, created_ms: int) -> Bundle:
    """Write the bundle of a training.

    Raises:
        FileExistsError: `folder` exists; bundles are never overwritten.
    """
    return trained.head.save(folder, trained.ranker, trained.provenance(created_ms))


def check_slates(name: str, slates: Sequence[AnsweredSlate], num_first: int) -> None:
    """Refuse slates of which the first `num_first` are too few, or teach the ranker nothing.

    Raises:
        NoSlates: With what was found.
    """
    num_clicked = sum(bool(slate.labels.any()) for slate in slates[:num_first])
    if num_first == len(slates) or not num_clicked:
        raise NoSlates(
            f"found {len(slates)} answered slates, {num_clicked} of the first {num_first} with a "
            f"click, expected 10 or more slates and a click among the first nine tenths: ranker "
            f"{name} learns from impressions and the label actions that answer them "
            "(docs/events.md)"
        )
    if name not in OF_WATCH_TIMES:
        return
    watched = np.concatenate([slate.watch_times[slate.labels] for slate in slates])
    if np.isnan(watched).all():
        raise NoSlates(
            f"found no watch time of 0 or more at {len(watched)} clicks, expected some: ranker "
            f"{name} learns from the value of label actions (docs/events.md)"
        )


async def _read_topic(slates: AnsweredSlates, config: Config) -> None:
    def take(_partition: int, records: Sequence[Record]) -> None:
        for record in records:
            slates.take(decode_record(record.value or b""), record.offset)

    kafka = config.kafka
    async with TopicReader(kafka.brokers, kafka.topics.examples, on_records=take) as reader:
        await reader.read_to_end()
    slates.finish()


def _read_file(slates: AnsweredSlates, path: Path, config: Config) -> None:
    # No list is looked at here, so that no candidates need to be logged.
    quick = replace(config, ranking=replace(config.ranking, slate_sample_rate=0.0))
    system = OneProcess(quick)
    for place, value in enumerate(read_values(path)):
        try:
            event = decode_event(value)
        except EventRefused:
            event = None
        effects = system.process(place, event, wants_lists=False)
        slates.add(system.learn(place, effects).closed)
    slates.add(system.finish().closed)

"""What does the trainer know of the past, and how does a restart go on from there?

It folds `examples` as the learner does: every source offset once, in the log's order. Actions and
visits go to a compact history, each action with the context in which its list was made. The
counters, which are inputs of the transformer, are folded with the learner's own code, and what they
said just before each action is written down with it.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from featurestore.keys import item_key
from models.errors import SnapshotRefused
from models.history import History, HistoryEvent
from models.history_file import load_history, save_history
from models.moments import Moment, Moments
from models.online.online_models import OnlineConfig, OnlineModels
from models.online.retrieval import Query, Questions, Source
from models.side_features import SideFeatures
from models.transformer.counters import CounterLog
from streams.examples import (
    NO_ITEM,
    ActionRow,
    ExamplesRecord,
    VisitRow,
    unpack_keys,
)
from streams.partition_clock import ClockConfig
from streams.source_partitions import PartitionMark, SourcePartitions

logger = logging.getLogger(__name__)

_HISTORY: Final = "history.safetensors"
_COUNTERS: Final = "counters.bin"
_MOMENTS: Final = "moments"
_POSITION: Final = "position"
_MINUTE_MS: Final = 60_000
_ACTIONS_A_USER: Final = 4
"""Users' moments are kept for as many users as have so many of the kept actions each."""


class _Position(msgspec.Struct, frozen=True, kw_only=True):
    """What a saved folder stands for."""

    topic_id: str
    offset: int
    newest_ms: int
    contexts: tuple[tuple[str, ...], int]
    sources: tuple[PartitionMark, ...]


class TrainingData:
    """The history, and what the counters said before each of its rows.

    Attributes:
        history: Actions and visits, in log order.
        counters: The counters' log-scores before each action; begins anew with each process.
        newest_ms: The newest event time taken in.
        side: Which contexts there are.
    """

    def __init__(
        self,
        config: OnlineConfig,
        *,
        topic_id: str,
        side: SideFeatures,
        capacity: int,
        counter_rows: int,
    ) -> None:
        """Start with nothing.

        Args:
            config: Of the counters, as the learner has it.
            topic_id: Of the `examples` topic; another one's offsets mean nothing here.
            side: Which contexts there are.
            capacity: Most actions kept.
            counter_rows: For how many of the newest the counters' scores are kept.
        """
        self._topic_id = topic_id
        self.history = History(capacity, side=side)
        self.side = side
        self._moments = Moments(side, max_users=max(capacity // _ACTIONS_A_USER, 1))
        self.counters = CounterLog(capacity=counter_rows)
        self.newest_ms = 0
        # No click head, whose rows are not read here, and no factors: the counters alone are asked,
        # each by its own score, so that no weight is needed, of a source that is left out least.
        counters = replace(config, extra_sources=(), initial_weights={})
        self._online = OnlineModels(counters, num_click_weights=1, key_of=item_key)
        by_name = {source.name: source for source in self._online.sources}
        self._trending: Source = by_name["trending"]
        self._covisitation: Source = by_name["covisitation"]
        self._sources = SourcePartitions(ClockConfig())
        self._snapshot_minute = -1

    def append(self, record: ExamplesRecord, offset: int) -> None:
        """Take the record at `offset` of `examples` in; one that is known changes nothing.

        Raises:
            GapInExamples: Records of the log are missing.
        """
        if offset < self.history.offset:
            return
        if offset > self.history.offset:
            self._sources.allow_jumps()
        new = self._sources.accept(record)
        events: list[HistoryEvent] = []
        if new is not None:
            row = self.history.end_row
            for entry in new.record.rows:
                if not isinstance(entry, ActionRow | VisitRow):
                    continue
                at_s = entry.ts_ms // 1000
                made_at = self._moments.pass_on(entry.user_id, at_s, entry.context)
                if isinstance(entry, ActionRow):
                    time_ms = new.clock.advance(entry.ts_ms, entry.user_id)
                    item_id = None if entry.item == NO_ITEM else new.record.items[entry.item]
                    self._look_at_counters(row, entry, time_ms)
                    events.append(_action(entry, item_id, made_at))
                    self._count(entry, item_id, time_ms)
                    row += 1
                else:
                    events.append(HistoryEvent(user_id=entry.user_id, time_s=at_s))
        self.history.append(events, from_offset=offset, to_offset=offset + 1)

    def retire_items(self) -> None:
        """Forget the items that no kept action mentions, so that the catalogue stays bounded."""
        self.counters.renumber(self.history.compact())

    def save(self, folder: Path) -> None:
        """Keep everything but the counters' scores of single rows; replaces what was kept."""
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save_history(self.history, unfinished / _HISTORY)
        self._online.advance(self.history.offset)
        (unfinished / _COUNTERS).write_bytes(self._online.snapshot())
        position = _Position(
            topic_id=self._topic_id,
            offset=self.history.offset,
            newest_ms=self.newest_ms,
            contexts=self.side.context_meaning,
            sources=self._sources.mark(),
        )
        (unfinished / _MOMENTS).write_bytes(_sealed(save(self._moments.arrays())))
        (unfinished / _POSITION).write_bytes(_sealed(msgspec.json.encode(position)))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)

    def load(self, folder: Path) -> bool:
        """Go on from what `save` kept; whether there was anything of use.

        What is damaged, or of another `examples` topic, is left aside: the log is read again.
        """
        if not folder.is_dir():
            return False
        try:
            content = _unsealed((folder / _POSITION).read_bytes())
            position = msgspec.json.decode(content, type=_Position)
            history = load_history(folder / _HISTORY, side=self.side)
            moments = load(_unsealed((folder / _MOMENTS).read_bytes()))
            payload = (folder / _COUNTERS).read_bytes()
        except (OSError, ValueError) as error:
            logger.warning("%s is not usable (%s): reading the log from its start", folder, error)
            return False
        if position.topic_id != self._topic_id or position.offset != history.offset:
            logger.warning("%s is of another log: reading this one from its start", folder)
            return False
        try:
            self._online.restore(payload)
        except SnapshotRefused as error:
            logger.warning("%s is not usable (%s): reading the log from its start", folder, error)
            return False
        history.capacity = self.history.capacity
        self.history = history
        self.newest_ms = position.newest_ms
        if position.contexts == self.side.context_meaning:
            self._moments.restore(moments)
        self._sources.restore(position.sources)
        return True

    def _look_at_counters(self, row: int, entry: ActionRow, time_ms: int) -> None:
        """Write down what the counters say, before the action itself is counted."""
        self.newest_ms = max(self.newest_ms, time_ms)
        minute = time_ms // _MINUTE_MS
        query = Query(now_ms=time_ms, previous=self._codes(entry))
        if minute != self._snapshot_minute:
            self._snapshot_minute = minute
            self.counters.append_snapshot(row, self._popularity_by_history_code(query))
        if entry.item != NO_ITEM and entry.weight > 0:
            (listed,) = self._covisitation.recall([query], self.counters.num_listed)
            asked = Questions.of_one(query, listed)
            lifts = self._covisitation.score(asked) - self._trending.score(asked)
            codes = np.array(
                [self.history.item_code(self._item_id(code)) for code in listed.tolist()], np.int64
            )
            known = codes >= 0
            self.counters.append_row(row, codes[known], lifts[known])

    def _count(self, entry: ActionRow, item_id: str | None, time_ms: int) -> None:
        if item_id is not None and entry.weight > 0:
            self._online.learn_action(
                item_id,
                weight=entry.weight,
                time_ms=time_ms,
                previous=unpack_keys(entry.previous).tolist(),
            )

    def _popularity_by_history_code(self, query: Query) -> npt.NDArray[np.float32]:
        codes = np.array(
            [self._online.vocabulary.code(item_key(item_id)) for item_id in self.history.item_ids],
            np.int32,
        )
        scores = np.full(len(codes), self.counters.floor, np.float32)
        known = codes >= 0
        scores[known] = self._trending.score(Questions.of_one(query, codes[known]))
        return scores

    def _codes(self, entry: ActionRow) -> list[int]:
        return [self._online.vocabulary.code(key) for key in unpack_keys(entry.previous).tolist()]

    def _item_id(self, code: int) -> str:
        return self._online.vocabulary.item_id(code)


def _sealed(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).hexdigest().encode() + b"\n" + content


def _unsealed(sealed: bytes) -> bytes:
    digest, _, content = sealed.partition(b"\n")
    if _sealed(content) != sealed:
        raise ValueError(f"the content does not match its digest {digest!r}")
    return content


def _action(entry: ActionRow, item_id: str | None, made_at: Moment) -> HistoryEvent:
    return HistoryEvent(
        user_id=entry.user_id,
        time_s=entry.ts_ms // 1000,
        action=entry.action_code,
        item_id=item_id,
        asked_s=made_at.at_s,
        contexts=made_at.contexts,
    )

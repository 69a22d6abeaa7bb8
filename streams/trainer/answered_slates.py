"""Which slates of the past were answered, and with what features were they shown?

What rankers are trained on. The features are those that were logged when a slate was shown, and
the join is the learner's: whatever it learned from, and nothing else, is here. A log's open slates
count as not clicked when it has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from streams.config import Config
from streams.examples import NO_ITEM, ActionRow, ExamplesRecord, ImpressionRow, unpack_int32
from streams.learner.attribution import Attribution, ClosedSlate, ShownSlate
from streams.partition_clock import ClockConfig
from streams.sections import AttributionConfig
from streams.source_partitions import NewPart, SourcePartitions


class AnsweredSlate(NamedTuple):
    """A slate of N items whose answer is final.

    Attributes:
        shown_at_ms: When, in event time.
        user_id: To whom.
        relevance: int32[N, R].
        examination: int32[N, E].
        labels: bool[N], which items were clicked.
        watch_times: float64[N], how long each was watched; NaN where nobody knows, and where what
            its `value`s add up to is below 0: no time is, and one broken client stops no training.
    """

    shown_at_ms: int
    user_id: str
    relevance: npt.NDArray[np.int32]
    examination: npt.NDArray[np.int32]
    labels: npt.NDArray[np.bool_]
    watch_times: npt.NDArray[np.float64]


class AnsweredSlates:
    """The newest slates of a log that teach something, in the order in which they were answered.

    Attributes:
        num_other: Slates left out because they were featured under another layout.
        next_offset: Offset in `examples` of the record that is expected next.
    """

    def __init__(self, config: AttributionConfig, *, layout: str, capacity: int) -> None:
        """Start with none.

        Args:
            config: Of the join.
            layout: Digest of all features (`Config.layout_digest`).
            capacity: Most slates kept; one of 20 items takes about 3 KB.
        """
        self._window_ms = config.window_ms
        self._layout = layout
        self._sources = SourcePartitions(
            ClockConfig(
                max_jump_ms=config.max_clock_jump_ms, num_jump_users=config.clock_confirming_users
            )
        )
        self._shown = Attribution(config)
        self._kept: deque[AnsweredSlate] = deque(maxlen=capacity)
        self._newest_ms = 0
        self.num_other = 0
        self.next_offset = 0

    @classmethod
    def of(cls, config: Config) -> Self:
        """Start with none, for the configured join, features and capacity."""
        return cls(
            config.attribution,
            layout=config.layout_digest(config.online_models()),
            capacity=config.trainer.max_slates,
        )

    def __len__(self) -> int:
        return len(self._kept)

    def newest(self) -> list[AnsweredSlate]:
        """Return what is kept, in the order of the answers: clicked ones come a window sooner."""
        return list(self._kept)

    def settled(self) -> list[AnsweredSlate]:
        """Return those whose window is over, in the order in which they were shown.

        Of the others only the clicked ones are known yet. A partition that lags behind holds back
        what was shown since its oldest open slate came, and one that has gone quiet does so until
        it moves again or its slates are given up. What it has not told of yet is not waited for.
        """
        until_ms = self._newest_ms - self._window_ms
        deadline_ms = self._shown.earliest_deadline_ms()
        if deadline_ms is not None:
            # By the partition's clock: slow clocks of single users must not hold all slates back.
            until_ms = min(until_ms, deadline_ms - self._window_ms - 1)
        settled = [one for one in self._kept if one.shown_at_ms <= until_ms]
        return sorted(settled, key=lambda one: one.shown_at_ms)

    def add(self, closed: Iterable[ClosedSlate]) -> None:
        """Keep those of some slates that teach something."""
        self._kept.extend(_answered(one) for one in closed if one.is_learned)

    def take(self, record: ExamplesRecord, offset: int) -> None:
        """Join the record at `offset` of `examples`; one that is known changes nothing.

        Raises:
            GapInExamples: Records of the log are missing.
        """
        if offset < self.next_offset:
            return
        if offset > self.next_offset:
            # Retention has removed what lies before.
            self._sources.allow_jumps()
        self._shown.give_up(offset)
        new = self._sources.accept(record)
        if new is not None:
            self._join(new, offset)
        self.next_offset = offset + 1

    def finish(self) -> None:
        """Close what is open: nothing more is known of it."""
        self.add(self._shown.flush())

    def _join(self, new: NewPart, offset: int) -> None:
        items, partition, clock = new.record.items, new.partition, new.clock
        is_ours = new.record.layout == self._layout
        for row in new.record.rows:
            event_ms = clock.advance(row.ts_ms, row.user_id)
            now_ms = clock.now_ms
            self._newest_ms = max(self._newest_ms, now_ms)
            self.add(self._shown.expire(partition, now_ms))
            if isinstance(row, ActionRow) and row.is_label and row.item != NO_ITEM:
                _, closed = self._shown.act(partition, row, items[row.item], event_ms, now_ms)
                self.add([] if closed is None else [closed])
            elif isinstance(row, ImpressionRow) and is_ours:
                shown = ShownSlate(
                    partition=partition,
                    record_offset=offset,
                    shown_at_ms=event_ms,
                    deadline_ms=now_ms + self._window_ms,
                    row=row,
                    items=tuple([items[index] for index in row.items]),
                )
                self.add(self._shown.show(shown))
            elif isinstance(row, ImpressionRow):
                self.num_other += 1


def _answered(closed: ClosedSlate) -> AnsweredSlate:
    row, num_items = closed.slate.row, len(closed.slate.items)
    watch_times = closed.watch_times()
    watch_times[watch_times < 0] = np.nan
    return AnsweredSlate(
        shown_at_ms=closed.slate.shown_at_ms,
        user_id=row.user_id,
        relevance=unpack_int32(row.relevance, num_items),
        examination=unpack_int32(row.examination, num_items),
        labels=closed.is_clicked(),
        watch_times=watch_times,
    )

"""Rows of `examples` and the records that carry them, for the learner's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from featurestore.keys import item_key
from models.online.choice_head import ChoiceHead, Prior
from models.online.online_models import OnlineConfig, OnlineModels
from streams.examples import (
    EXAMPLES_VERSION,
    NO_ITEM,
    ActionRow,
    ChoiceRow,
    ExamplesRecord,
    ImpressionRow,
    RivalRow,
    Row,
    SlateRow,
    VisitRow,
)
from streams.learner.fold import LearnerFold
from streams.sections import AttributionConfig

LAYOUT = "layout"
BUNDLE = "in use"
CHALLENGER = "other"
NUM_WEIGHTS = 32
NUM_CHOICE_CELLS = 24
START_MS = 1_700_000_000_000


CONFIG = AttributionConfig(window_ms=60_000)
END = 10**9


def new_online() -> OnlineModels:
    prior = Prior(
        means=np.zeros(NUM_CHOICE_CELLS),
        variances=np.ones(NUM_CHOICE_CELLS),
        min_variances=np.full(NUM_CHOICE_CELLS, 0.01),
        position_offset=NUM_CHOICE_CELLS - 6,
        num_positions=5,
        num_pulled=1,
    )
    return OnlineModels(
        OnlineConfig(extra_sources=("transformer", "factors")),
        num_click_weights=NUM_WEIGHTS,
        key_of=item_key,
        choice=ChoiceHead(prior, meaning="test"),
    )


def new_fold(
    online: OnlineModels, config: AttributionConfig = CONFIG, layout: str = LAYOUT
) -> LearnerFold:
    return LearnerFold(online, config, layout=layout, topic_id="examples-id")


NUM_FEATURES = len(new_online().rerank_feature_names)


@dataclass(frozen=True)
class Source:
    """One event of a log: its row, given the index of each item in the record."""

    row: Callable[[int, Callable[[str], int]], Row]


def impression(
    user: str,
    items: Sequence[str],
    ts_ms: int,
    *,
    request: str = "",
    features: int = 0,
    uncounted: Sequence[int] = (),
) -> Source:
    generator = np.random.default_rng(features)
    rerank = generator.normal(size=(len(items), NUM_FEATURES)).astype("<f4")
    relevance = generator.integers(0, NUM_WEIGHTS - 4, (len(items), 3)).astype("<i4")
    examination = generator.integers(NUM_WEIGHTS - 4, NUM_WEIGHTS, (len(items), 1)).astype("<i4")

    def row(offset: int, index: Callable[[str], int]) -> Row:
        return ImpressionRow(
            offset=offset,
            ts_ms=ts_ms,
            user_id=user,
            request_id=request,
            list_id="",
            items=[index(item) for item in items],
            positions=list(range(1, len(items) + 1)),
            relevance=relevance.tobytes(),
            examination=examination.tobytes(),
            choice=_choice(len(items), features).tobytes(),
            pull=0.25,
            rerank=rerank.tobytes(),
            uncounted=list(uncounted),
        )

    return Source(row)


def free_choice(user: str, ts_ms: int, *, num_items: int = 4, features: int = 0) -> Source:
    choice = _choice(num_items, features).tobytes()
    return Source(
        lambda offset, _: ChoiceRow(
            offset=offset, ts_ms=ts_ms, user_id=user, num_items=num_items, choice=choice, pull=0.5
        )
    )


def _choice(num_items: int, features: int) -> NDArray[np.int32]:
    generator = np.random.default_rng(features)
    return generator.integers(0, NUM_CHOICE_CELLS - 6, (num_items, 3)).astype("<i4")


def action(
    user: str,
    item: str | None,
    ts_ms: int,
    *,
    request: str = "",
    list_id: str = "",
    previous: Sequence[str] = (),
    weight: float = 1.0,
    is_label: bool = True,
    is_counted: bool = True,
    value: float | None = None,
) -> Source:
    def row(offset: int, index: Callable[[str], int]) -> Row:
        return ActionRow(
            offset=offset,
            ts_ms=ts_ms,
            user_id=user,
            item=NO_ITEM if item is None else index(item),
            action_code=1,
            weight=weight,
            is_label=is_label,
            request_id=request,
            list_id=list_id,
            previous=np.array([item_key(one) for one in previous], "<u8").tobytes(),
            is_counted=is_counted,
            value=value,
        )

    return Source(row)


def visit(user: str, ts_ms: int) -> Source:
    return Source(lambda offset, _: VisitRow(offset=offset, ts_ms=ts_ms, user_id=user))


def told(source: Source, **context: str) -> Source:
    """An action or a visit in a context."""

    def row(offset: int, index: Callable[[str], int]) -> Row:
        made = source.row(offset, index)
        assert isinstance(made, ActionRow | VisitRow)
        return msgspec.structs.replace(made, context=context)

    return Source(row)


def slate(
    user: str,
    items: Sequence[str],
    ts_ms: int,
    *,
    features: int = 0,
) -> Source:
    """A list's candidates."""
    generator = np.random.default_rng(features)
    numbers = generator.normal(size=(len(items), NUM_FEATURES)).astype("<f4")

    def row(offset: int, index: Callable[[str], int]) -> Row:
        return SlateRow(
            offset=offset,
            ts_ms=ts_ms,
            user_id=user,
            list_id="",
            items=[index(item) for item in items],
            features=numbers.tobytes(),
        )

    return Source(row)


def rivals(
    user: str,
    lists: tuple[Sequence[str], Sequence[str]],
    ts_ms: int,
    *,
    challenger: str = CHALLENGER,
) -> Source:
    """The lists of the bundle in use and of its challenger; each place is half as likely."""
    items = sorted({*lists[0], *lists[1]})
    log_chances = np.full((len(items), 2), -np.inf, "<f4")
    gains = np.zeros((len(items), 2), "<f4")
    for column, listed in enumerate(lists):
        chances = 0.5 ** np.arange(len(listed))
        rows = [items.index(item) for item in listed]
        log_chances[rows, column] = np.log(chances / chances.sum())
        gains[rows, column] = 1 / np.arange(1, len(listed) + 1)

    def row(offset: int, index: Callable[[str], int]) -> Row:
        return RivalRow(
            offset=offset,
            ts_ms=ts_ms,
            user_id=user,
            challenger=challenger,
            items=[index(item) for item in items],
            log_chances=log_chances.tobytes(),
            gains=gains.tobytes(),
            listed=[index(item) for item in lists[0]],
            challenger_listed=[index(item) for item in lists[1]],
        )

    return Source(row)


def record_of(
    sources: Sequence[Source],
    from_offset: int,
    *,
    partition: int = 0,
    layout: str = LAYOUT,
    bundle: str = BUNDLE,
) -> ExamplesRecord:
    """One chunk that covers one offset per source."""
    index: dict[str, int] = {}

    def of(item: str) -> int:
        return index.setdefault(item, len(index))

    rows = [source.row(from_offset + n, of) for n, source in enumerate(sources)]
    return ExamplesRecord(
        version=EXAMPLES_VERSION,
        topic_id="t",
        partition=partition,
        from_offset=from_offset,
        to_offset=from_offset + len(sources),
        lost_from=-1,
        replica_offset=0,
        layout=layout,
        bundle=bundle,
        config="",
        items=list(index),
        rows=rows,
    )


USERS = ("ann", "bob", "cem")
ITEMS = ("i1", "i2", "i3", "i4", "i5", "i6")
_items = st.lists(st.sampled_from(ITEMS), min_size=1, max_size=4, unique=True)
# Steps that now and then end a window of a minute, or jump.
_steps_ms = st.sampled_from([0, 1, 500, 20_000, 61_000, 7_200_000])


@st.composite
def logs(draw: st.DrawFn, max_events: int = 25) -> list[Source]:
    """The events of one partition."""
    now_ms = START_MS
    events: list[Source] = []
    for number in range(draw(st.integers(1, max_events))):
        now_ms += draw(_steps_ms)
        user = draw(st.sampled_from(USERS))
        request = draw(st.sampled_from(["", "r1", "r2"]))
        kind = draw(
            st.sampled_from(
                ["impression", "impression", "action", "action", "slate", "choice", "v"]
            )
        )
        if kind == "impression":
            items = draw(_items)
            events.append(impression(user, items, now_ms, request=request, features=number))
        elif kind == "action":
            previous = draw(st.lists(st.sampled_from(ITEMS), max_size=3))
            events.append(
                action(
                    user,
                    draw(st.sampled_from([*ITEMS, None])),
                    now_ms,
                    request=request,
                    previous=previous,
                    weight=draw(st.sampled_from([1.0, 2.5, 0.0])),
                    is_label=draw(st.booleans()),
                )
            )
        elif kind == "slate":
            events.append(slate(user, draw(_items), now_ms, features=number))
        elif kind == "choice":
            events.append(free_choice(user, now_ms, features=number))
        else:
            events.append(visit(user, now_ms))
    return events


@dataclass
class Chunker:
    """Cuts the logs of several partitions into records, as a worker that crashes might."""

    draw: st.DrawFn
    partitions: list[list[Source]]
    written: list[int] = field(default_factory=list)

    def records(self) -> Iterator[ExamplesRecord]:
        self.written = [0] * len(self.partitions)
        while True:
            open_ones = [n for n, log in enumerate(self.partitions) if self.written[n] < len(log)]
            if not open_ones:
                return
            partition = self.draw(st.sampled_from(open_ones))
            log, end = self.partitions[partition], self.written[partition]
            repeated = self.draw(st.integers(0, min(end, 3)))
            size = self.draw(st.integers(1, 6))
            start = end - repeated
            yield record_of(log[start : start + size], start, partition=partition)
            self.written[partition] = max(end, min(len(log), start + size))

"""What is asked of the list builder, and what comes of it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.choice_features import ChoiceFeatures
from featurestore.events import Context, Impression, UserId
from featurestore.features import SlateFeatures
from featurestore.lists import ListOrder, RecommendationList
from featurestore.state import UserState
from models.online.retrieval import Query
from streams.pipeline.queries import Asked
from streams.pipeline.recommending import Ranked


class Trigger(NamedTuple):
    """What causes a list: an event's id, which decides what is drawn, and its context."""

    event_id: str
    context: Context | None


class ListRequest(NamedTuple):
    """One list to build.

    Attributes:
        user_id: Whose.
        state: The state up to `offset`.
        partition: Of its events.
        offset: The event up to which the state was folded.
        trigger: What causes it.
    """

    user_id: UserId
    state: UserState
    partition: int
    offset: int
    trigger: Trigger

    @property
    def place(self) -> str:
        """Where `offset` stands: the id of the list, but for how it was ordered."""
        return f"{self.partition}-{self.offset}"

    def asked(self) -> Asked:
        """The moment that the list is computed for."""
        return Asked(self.user_id, self.state, self.state.clock_ms, self.trigger.context)


@dataclass(frozen=True, slots=True)
class LoggedSlate:
    """All candidates of a list, for the re-ranker to learn from.

    Attributes:
        list_id: Of the list.
        item_ids: The candidates.
        features_NF: float32, the re-ranker's inputs.
    """

    list_id: str
    item_ids: list[str]
    features_NF: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalLists:
    """What the bundle in use and the one that challenges it made of one moment.

    Attributes:
        challenger: Short digest of the latter.
        item_ids: The candidates of either.
        log_chances_N2: float32, log-chances by which each ordered them, that of the bundle in use
            first; -inf where an item was no candidate.
        gains_N2: float32, reciprocal ranks by what each bundle itself scored its candidates; 0
            where it did not know an item.
        listed: The list without the places kept for new items.
        challenger_listed: The list that would have been made with the challenger.
    """

    challenger: str
    item_ids: list[str]
    log_chances_N2: npt.NDArray[np.float32]
    gains_N2: npt.NDArray[np.float32]
    listed: Sequence[str]
    challenger_listed: Sequence[str]


@dataclass(slots=True)
class Listing:
    """What a batch of requests led to.

    Attributes:
        lists: One for each request, in their order.
        ranked: What each request's list was chosen from, in their order.
        slates: The candidates of the sampled ones, by the offset of the request.
        rivals: What two bundles made of those that are compared, likewise.
        candidates: How many each source proposed.
        recommended: How many items of the lists each source brought first.
        places: How many places of the lists were ordered in which way.
    """

    lists: list[RecommendationList] = field(default_factory=list)
    ranked: list[Ranked] = field(default_factory=list)
    slates: dict[int, LoggedSlate] = field(default_factory=dict)
    rivals: dict[int, RivalLists] = field(default_factory=dict)
    candidates: Counter[str] = field(default_factory=Counter)
    recommended: Counter[str] = field(default_factory=Counter)
    places: Counter[ListOrder] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Shown:
    """Impressions, each on the user's state just before.

    Attributes:
        asked: The moments.
        events: What was shown at each.
        queries: What the sources know at each.
    """

    asked: Sequence[Asked]
    events: Sequence[Impression]
    queries: Sequence[Query]

    @property
    def num_items(self) -> int:
        """Of all of them."""
        return sum(len(event.items) for event in self.events)

    def part(self, part: slice) -> Shown:
        """Some of them."""
        return Shown(self.asked[part], self.events[part], self.queries[part])


NOTHING_SHOWN: Final = Shown((), (), ())


class ShownFeatures(NamedTuple):
    """What the heads learn from, when the answer to an impression is known.

    Attributes:
        click: The click head's indices.
        choice: The choice head's; None where it is not in use.
        rerank_NF: float32, the re-ranker's inputs.
    """

    click: SlateFeatures
    choice: ChoiceFeatures | None
    rerank_NF: npt.NDArray[np.float32]


class Built(NamedTuple):
    """The listing of each group, and the features of what was shown beside."""

    listings: list[Listing]
    features: list[ShownFeatures]

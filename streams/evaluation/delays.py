"""What would lists be worth if a part of what is known came late? How fresh must each be?

Beside the list that is asked for at an evaluated action's time stand others, made for the same
moment: of each, one part of what is known is as old as a delay says, and everything else as it is.
The parts are the three clocks: a user's `state`, the `counters` (with them, which items are known),
and the `weights` (of the heads, the re-ranker and the transformer's bundle).

Old counters and weights come from replicas, which take the learner's own deltas when these are old
enough, in event time. What is known is never newer than the delay, and at most a tenth of the
shortest delay older. Learning itself, and the list that is asked for, know nothing of all this.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from featurestore.events import Action, CatalogueItem, Context, Event, Impression, UserId
from featurestore.lists import RecommendationList
from featurestore.state import EMPTY_STATE, UserState
from models.encoder import SequenceEncoder
from models.online.online_models import OnlineModels
from streams.config import Config
from streams.errors import StreamsError
from streams.evaluation.lists import Judge, place_in
from streams.evaluation.outcomes import OutcomeLog
from streams.evaluation.result import Delayed, Part
from streams.evaluation.tally import ranked_metrics
from streams.partition_clock import ClockConfig, PartitionClock
from streams.pipeline.live import TRANSFORMER, LiveModels
from streams.pipeline.pipeline import Effects

PARTS: Final[tuple[Part, ...]] = ("counters", "state", "weights")
_DELTAS_PER_DELAY: Final = 10


class KnownUser(NamedTuple):
    """A user after an event.

    Attributes:
        user_id: Whose.
        state: After it.
        context: Of the user's last action or visit.
    """

    user_id: UserId
    state: UserState
    context: Context | None

    @classmethod
    def nobody(cls, user_id: UserId) -> KnownUser:
        """Return a user before any event."""
        return cls(user_id, EMPTY_STATE, None)


News: TypeAlias = bytes | KnownUser | SequenceEncoder
"""A delta of the learner's, a user's new state, a bundle put to use."""


class Past:
    """What was known some time ago.

    Attributes:
        online: The learner's models then.
        users: Those who were known.
        encoder: Of the bundle in use, or None.
    """

    def __init__(self, online: OnlineModels, delay_ms: float) -> None:
        """Begin with nothing known.

        Args:
            online: With nothing learned.
            delay_ms: Of event time; infinite for what is instant until `stop`, then never renewed.
        """
        self.online = online
        self.users: dict[UserId, KnownUser] = {}
        self.encoder: SequenceEncoder | None = None
        self._is_never = math.isinf(delay_ms)
        self._delay_ms = 0.0 if self._is_never else delay_ms
        self._is_stopped = False
        self._waiting: deque[tuple[float, News]] = deque()

    def hear(self, news: News, now_ms: int) -> None:
        """Keep what is known from now on until it is old enough."""
        if not self._is_stopped:
            self._waiting.append((now_ms + self._delay_ms, news))

    def follow(self, now_ms: int) -> None:
        """Take in what is old enough; time never goes back."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            self._take(self._waiting.popleft()[1])

    def stop(self) -> None:
        """The evaluation begins: what is never renewed stays as it is."""
        self._is_stopped = self._is_never

    def _take(self, news: News) -> None:
        match news:
            case bytes():
                self.online.apply_delta(news)
            case KnownUser():
                self.users[news.user_id] = news
            case SequenceEncoder():
                self.encoder = news


class _Late:
    """The lists of which one part is known late."""

    def __init__(self, config: Config, live: LiveModels, past: Past, known: Delayed) -> None:
        self.known = known
        self._live = live
        self._past = past
        # Never the live models themselves: their answers about users are kept for the pipeline.
        self._models = LiveModels(_with_late(known.part, live.online, past.online), live.catalogue)
        self._judge = Judge(config, self._models)

    def put_item(self, item: CatalogueItem) -> None:
        """Take a record in, of which the shared catalogue knows already."""
        self._models.put_item(item)

    def made(self, user: KnownUser, now_ms: int, offset: int) -> RecommendationList:
        """Return a user's list, of what is known of the user now."""
        part, past = self.known.part, self._past
        encoder = past.encoder if part == "weights" else self._live.encoder
        if self._models.encoder is not encoder:
            self._models.use(encoder)
        if part == "state":
            user = past.users.get(user.user_id) or KnownUser.nobody(user.user_id)
        user_id, state, context = user
        return self._judge.made(user_id, state, now_ms=now_ms, context=context, offset=offset)


class DelaysRefused(StreamsError):
    """Late lists were asked for beside sources that they would lack."""


class DelayedLists:
    """The lists of a run of which a part is known late: of each part by each delay."""

    def __init__(self, config: Config, live: LiveModels, *, first_event: int) -> None:
        """Begin where the learner begins.

        Args:
            config: Of the run.
            live: What it knows; nothing of it is changed from here.
            first_event: Place in the file where the evaluation begins.

        Raises:
            DelaysRefused: Models of finished logs are sources.
        """
        if others := [name for name in config.online.bundle_sources if name != TRANSFORMER]:
            found = list(config.evaluation.delays_s)
            raise DelaysRefused(
                f"evaluation.delays_s is {found} and online.extra_sources names "
                f"{', '.join(others)}, which late lists would lack: expected no model there but "
                "the transformer. Take it out, or leave evaluation.delays_s empty"
            )
        self._live = live
        self._first_event = first_event
        self._clock = PartitionClock(ClockConfig())
        delays_s = config.evaluation.delays_s
        self._pasts = [Past(config.online_models(), delay_s * 1000) for delay_s in delays_s]
        self._lists = [
            _Late(config, live, past, Delayed.by(delay_s, part))
            for part in PARTS
            for past, delay_s in zip(self._pasts, delays_s, strict=True)
        ]
        self._interval_ms = min(delays_s) * 1000 / _DELTAS_PER_DELAY
        self._delta_ms: float = -math.inf
        self._encoder: SequenceEncoder | None = None
        self._users: dict[UserId, KnownUser] = {}
        self._has_begun = False

    def advance(self, place: int, event: Event) -> None:
        """Let the time of the event come that stands at a place of the file, and no more of it."""
        before_ms = self._clock.now_ms
        self._clock.advance(event.ts_ms, event.user_id)
        begins = place >= self._first_event and not self._has_begun
        # Before the event is learned: what a delta holds is not newer than the event before.
        if begins or self._clock.now_ms - self._delta_ms >= self._interval_ms:
            self._publish(before_ms)
        for past in self._pasts:
            past.follow(self._clock.now_ms)
            if begins:
                past.stop()
        self._has_begun |= begins

    def places(self, place: int, event: Action) -> dict[str, int]:
        """Return where the item of an evaluated action stands in each list, from 1, 0 for nowhere.

        To be called after `advance` and before the action is taken in.
        """
        user, item_id = self._user(event.user_id), event.item_id or ""
        return {
            late.known.name: place_in(late.made(user, event.ts_ms, place), item_id).in_list
            for late in self._lists
        }

    def take(self, event: Event, effects: Effects) -> None:
        """Hear what came of an event, once it is learned, too."""
        user_id = event.user_id
        if user_id in effects.states:
            is_shown = isinstance(event, Impression)
            context = self._user(user_id).context if is_shown else event.context
            user = KnownUser(user_id, effects.states[user_id], context)
            self._users[user_id] = user
            self._tell(user, self._clock.now_ms)
        if self._live.encoder is not None and self._live.encoder is not self._encoder:
            self._encoder = self._live.encoder
            self._tell(self._encoder, self._clock.now_ms)

    def put_item(self, item: CatalogueItem) -> None:
        """Hear of a record that the catalogue has; records are late in no list."""
        for late in self._lists:
            late.put_item(item)

    def figures(self, log: OutcomeLog) -> list[Delayed]:
        """Return what the places in the log are worth, for each list."""
        return [
            replace(late.known, asked=ranked_metrics(log.places(late.known.name)[1]))
            for late in self._lists
        ]

    def _user(self, user_id: UserId) -> KnownUser:
        return self._users.get(user_id) or KnownUser.nobody(user_id)

    def _publish(self, now_ms: int) -> None:
        """Hand out what was learned since the last delta, up to a time."""
        self._delta_ms = now_ms
        self._tell(self._live.online.take_delta().payload, now_ms)
        self._live.online.delta_acknowledged()

    def _tell(self, news: News, now_ms: int) -> None:
        for past in self._pasts:
            past.hear(news, now_ms)


def _with_late(part: Part, online: OnlineModels, past: OnlineModels) -> OnlineModels:
    """Models of now, but for one part, which is of the past."""
    match part:
        case "counters":
            return past.with_weights_of(online)
        case "weights":
            return online.with_weights_of(past)
        case "state":
            return online

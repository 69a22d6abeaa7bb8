"""What happens in the shop, and when? The event loop over simulated sessions.

Time is a queue of steps. A step happens at its own time, reads the list it needs at that moment,
and emits events that carry that time; so events come out in event-time order, and a list is read
only after all earlier events have been handed out. With the same seed and the same lists served,
the same events come out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deploy.storefront.behaviour import Behaviour, Draws
from deploy.storefront.events import (
    Action,
    CatalogueItem,
    Event,
    Impression,
    ShownItem,
    Visit,
)
from deploy.storefront.policies import (
    Application,
    ExploringPolicy,
    Policy,
    PopularPolicy,
    RandomPolicy,
    ReadRecommendations,
    RecommenderPolicy,
    Request,
    Served,
)
from deploy.storefront.tally import Tally
from deploy.storefront.world import MINUTE_MS, World

if TYPE_CHECKING:
    from deploy.storefront.settings import Settings

CONTROL, TREATED = 0, 1
_BEHAVIOUR, _ARRIVALS, _LISTS, _REFERENCE = 11, 12, 13, 14
# Between opening a page and looking at its list: the page loads, the eye arrives.
_LOAD_MS = (80, 200)
# A log-normal has no end; the real log's longest gaps inside a session last a few hours.
_LONGEST_DWELL_S = 3 * 3_600.0
_ADD_TO_CART, _PURCHASE, _HIDE = 0.12, 0.35, 0.01


@dataclass(slots=True, kw_only=True)
class Session:
    """One shopper's time in the shop, under the id and session id that are sent."""

    shopper: int
    user_id: str
    session_id: str
    num_pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An item that was opened from a list, and where the deeds that follow point back to."""

    item: int
    request_id: str | None
    list_id: str | None


class Storefront:
    """A shop that is open from `start_ms` on.

    Args:
        settings: the shop.
        start_ms: Unix time at which simulated time begins.
        read: the recommender that `serve_halves` gives to the treated half; None where only
            the application's own lists are served.
    """

    def __init__(
        self, settings: Settings, start_ms: int, read: ReadRecommendations | None = None
    ) -> None:
        self.settings = settings
        self.world = World(settings, start_ms)
        self.behaviour = Behaviour(self.world, settings)
        self.application = Application(settings, self.world)
        self.half_U = np.arange(settings.num_users) % 2
        lists = np.random.default_rng([settings.seed, _LISTS])
        reference = np.random.default_rng([settings.seed, _REFERENCE])
        self.popular = PopularPolicy(self.application, settings)
        random = RandomPolicy(self.world, settings, lists)
        self.logging = ExploringPolicy(self.popular, random, settings, lists)
        self.recommender = (
            RecommenderPolicy(read, self.popular, self.world, settings) if read else None
        )
        self.tally = Tally(
            settings,
            self.behaviour,
            self.application,
            RandomPolicy(self.world, settings, reference),
        )
        self._policies: Sequence[Policy] = (self.logging, self.logging)
        self._draws = Draws(np.random.default_rng([settings.seed, _BEHAVIOUR]))
        self._arrivals = Draws(np.random.default_rng([settings.seed, _ARRIVALS]))
        self._activity_U = np.cumsum(self.world.users.activity_U)
        self._half_activity_HU = [
            np.cumsum(np.where(self.half_U == half, self.world.users.activity_U, 0.0))
            for half in (CONTROL, TREATED)
        ]
        self._run = f"{settings.seed:x}-{start_ms:x}"
        self._num_events = self._num_requests = self._num_sessions = 0
        self._busy: set[int] = set()
        self._on_offer: set[int] = set()
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._num_steps = 0
        self._out: list[Event] = []
        self.set_pace(settings.num_users * settings.sessions_per_user_hour / 3_600, hurry=1.0)
        self._at(start_ms, self._publish)
        self._at(start_ms + 1, self._arrive)

    def set_pace(self, sessions_per_s: float, *, hurry: float) -> None:
        """Let this many sessions open a second, and let shoppers take 1/hurry of their time."""
        self._sessions_per_s = sessions_per_s
        self._hurry = hurry

    def serve(self, policies: Sequence[Policy]) -> None:
        """From now on serve these policies: the control half's, then the treated half's."""
        self._policies = policies

    def serve_halves(self) -> None:
        """Serve popularity to the control half, the recommender to the treated half, and count.

        In `aa` mode, or without a recommender, both get popularity.
        """
        treated: Policy = self.popular
        if self.recommender is not None and self.settings.halves == "ab":
            treated = self.recommender
        self.serve((self.popular, treated))
        self.tally.counting = True

    def next_due_ms(self) -> int:
        """Return the simulated time of the next step; there always is one."""
        return self._due[0][0]

    def step(self) -> list[Event]:
        """Let the next step happen and return the events it causes, all at its time."""
        due_ms, _, happen = heapq.heappop(self._due)
        self._out = []
        happen(due_ms)
        return self._out

    def events(self, until_ms: int) -> Iterator[Event]:
        """Yield the events before `until_ms` in event-time order, lazily; may be called again."""
        while self.next_due_ms() < until_ms:
            yield from self.step()

    def _at(self, due_ms: float, happen: Callable[[int], None]) -> None:
        self._num_steps += 1
        heapq.heappush(self._due, (int(due_ms), self._num_steps, happen))

    def _after(self, now_ms: int, delay_s: float, happen: Callable[[int], None]) -> None:
        self._at(now_ms + max(1.0, 1_000 * delay_s / self._hurry), happen)

    # Catalogue.

    def _publish(self, now_ms: int) -> None:
        self.behaviour.appeal_I(now_ms)
        on_offer = set(np.flatnonzero(self.world.available_I(now_ms)).tolist())
        for item in sorted(on_offer - self._on_offer):
            self._out.append(self._catalogue_item(item, available=True))
        for item in sorted(self._on_offer - on_offer):
            self._out.append(self._catalogue_item(item, available=False))
        self._on_offer = on_offer
        self._at((now_ms // MINUTE_MS + 1) * MINUTE_MS, self._publish)

    def _catalogue_item(self, item: int, *, available: bool) -> CatalogueItem:
        items = self.world.items
        category, topic = int(items.category_I[item]), int(items.topic_I[item])
        return CatalogueItem(
            item_id=self.world.item_id(item),
            title=f"Item {item} of topic {topic}",
            categories=[f"category-{category:02d}", f"topic-{topic:03d}"],
            attributes={"price": float(items.price_I[item])},
            published_at_ms=int(items.published_ms_I[item]),
            available=available,
        )

    # Sessions.

    def _arrive(self, now_ms: int) -> None:
        gap_s = -np.log1p(-self._arrivals.uniform()) / self._sessions_per_s
        self._at(now_ms + max(1.0, 1_000 * gap_s), self._arrive)
        shopper = int(np.searchsorted(self._activity_U, self._arrivals.uniform(), side="right"))
        shopper = min(shopper, self.settings.num_users - 1)
        if shopper in self._busy:
            return
        self._busy.add(shopper)
        self._open_page(now_ms, Session(shopper=shopper, user_id="", session_id=""))

    def _open_page(self, now_ms: int, session: Session) -> None:
        """Open a session's page; the first one, and every one under a new id, sends a visit."""
        if session.num_pages == 0 or self.settings.histories == "shuffled":
            session.user_id = self._sent_id(session.shopper)
            self._num_sessions += 1
            session.session_id = f"{self._run}-s{self._num_sessions:x}"
            self._out.append(
                Visit(
                    event_id=self._event_id(),
                    user_id=session.user_id,
                    ts_ms=now_ms,
                    session_id=session.session_id,
                    context=self._context(session),
                )
            )
        session.num_pages += 1
        low_ms, high_ms = _LOAD_MS
        load_ms = low_ms + (high_ms - low_ms) * self._draws.uniform()
        if self._draws.uniform() < self.settings.organic_share:
            self._at(now_ms + load_ms, lambda ms: self._find(ms, session))
        else:
            self._at(now_ms + load_ms, lambda ms: self._view(ms, session))

    def _sent_id(self, shopper: int) -> str:
        if self.settings.histories == "own":
            return self.world.users.ids[shopper]
        activity_U = self._half_activity_HU[int(self.half_U[shopper])]
        draw = self._draws.uniform() * float(activity_U[-1])
        return self.world.users.ids[int(np.searchsorted(activity_U, draw, side="right"))]

    def _find(self, now_ms: int, session: Session) -> None:
        """A search or a link leads to an item, without a list."""
        probability_I = self.behaviour.probabilities(session.shopper, slice(None), now_ms)
        weight_I = np.cumsum(probability_I**self.settings.organic_sharpness)
        draw = self._draws.uniform() * float(weight_I[-1])
        item = int(np.searchsorted(weight_I, draw, side="right"))
        self._act(now_ms, session, "view", Opened(item=item, request_id=None, list_id=None))
        self._open_item(now_ms, session, Opened(item=item, request_id=None, list_id=None))

    def _view(self, now_ms: int, session: Session) -> None:
        """A list is read, shown and looked at."""
        shopper = session.shopper
        request = Request(user_id=session.user_id, shopper=shopper, now_ms=now_ms)
        served = self._policies[int(self.half_U[shopper])].serve(request)
        self._num_requests += 1
        request_id = f"{self._run}-r{self._num_requests:x}"
        self._out.append(self._impression(session, served, request_id, now_ms))
        probability_K = self.behaviour.probabilities(shopper, served.items, now_ms)
        chosen = self.behaviour.choose(probability_K, self._draws.uniform())
        self.tally.add(request, served, clicked=chosen >= 0)
        if chosen >= 0:
            opened = Opened(
                item=int(served.items[chosen]), request_id=request_id, list_id=served.list_id
            )
            reading_s = self._draws.lognormal(1.5 + 0.4 * chosen, 0.5)
            self._after(now_ms, reading_s, lambda ms: self._click(ms, session, opened))
            return
        if self._draws.uniform() < _HIDE and len(served.items):
            self._hide_one(now_ms, session, served, request_id)
        browse_s = self._draws.lognormal(self.settings.browse_median_s, 0.7)
        self._go_on(now_ms, browse_s, session)

    def _click(self, now_ms: int, session: Session, opened: Opened) -> None:
        self._act(now_ms, session, "click", opened)
        self._open_item(now_ms, session, opened)

    def _open_item(self, now_ms: int, session: Session, opened: Opened) -> None:
        """The shopper is on the item's page, may buy, and then goes on or leaves."""
        self.behaviour.open(session.shopper, opened.item, now_ms)
        self.application.opened(session.user_id, opened.item, now_ms)
        settings = self.settings
        dwell_s = self._draws.lognormal(settings.dwell_median_s, settings.dwell_sigma)
        dwell_s = min(dwell_s, _LONGEST_DWELL_S)
        user_id, session_id = session.user_id, session.session_id
        if self._draws.uniform() < _ADD_TO_CART:
            then = Session(shopper=session.shopper, user_id=user_id, session_id=session_id)
            self._after(
                now_ms, 0.4 * dwell_s, lambda ms: self._act(ms, then, "add_to_cart", opened)
            )
            if self._draws.uniform() < _PURCHASE:
                self._after(
                    now_ms, 0.8 * dwell_s, lambda ms: self._act(ms, then, "purchase", opened)
                )
        self._go_on(now_ms, dwell_s, session)

    def _hide_one(self, now_ms: int, session: Session, served: Served, request_id: str) -> None:
        item = int(served.items[int(self._draws.uniform() * len(served.items))])
        opened = Opened(item=item, request_id=request_id, list_id=served.list_id)
        self.behaviour.hide(session.shopper, item)
        self.application.hidden(session.user_id, item)
        then = Session(
            shopper=session.shopper, user_id=session.user_id, session_id=session.session_id
        )
        self._after(now_ms, 1.0, lambda ms: self._act(ms, then, "hide", opened))

    def _go_on(self, now_ms: int, delay_s: float, session: Session) -> None:
        if self._draws.uniform() < self.world.users.stay_U[session.shopper]:
            self._after(now_ms, delay_s, lambda ms: self._open_page(ms, session))
        else:
            self._after(now_ms, delay_s, lambda _: self._busy.discard(session.shopper))

    # Events.

    def _act(self, now_ms: int, session: Session, action: str, opened: Opened) -> None:
        price = float(self.world.items.price_I[opened.item])
        self._out.append(
            Action(
                event_id=self._event_id(),
                user_id=session.user_id,
                item_id=self.world.item_id(opened.item),
                action=action,
                ts_ms=now_ms,
                session_id=session.session_id,
                request_id=opened.request_id,
                list_id=opened.list_id,
                value=price if action == "purchase" else None,
            )
        )

    def _impression(
        self, session: Session, served: Served, request_id: str, now_ms: int
    ) -> Impression:
        item_id = self.world.item_id
        return Impression(
            event_id=self._event_id(),
            user_id=session.user_id,
            request_id=request_id,
            list_id=served.list_id,
            ts_ms=now_ms,
            session_id=session.session_id,
            items=[
                ShownItem(item_id=item_id(item), position=position, propensity=propensity)
                for position, (item, propensity) in enumerate(
                    zip(served.items.tolist(), served.propensities, strict=True), start=1
                )
            ],
            context=self._context(session),
        )

    def _context(self, session: Session) -> dict[str, str]:
        return {"device": self.world.users.devices[session.shopper]}

    def _event_id(self) -> str:
        self._num_events += 1
        return f"{self._run}-{self._num_events:x}"


def run(
    storefront: Storefront, until_ms: int, sink: Callable[[Event], None]
) -> int:
    """Hand every event before `until_ms` to `sink`, one by one; return how many there were.

    A list is read only after `sink` has returned from every earlier event, so a recommender that
    `sink` feeds in this process answers with the freshest state there can be.
    """
    num_events = 0
    for event in storefront.events(until_ms):
        sink(event)
        num_events += 1
    return num_events

"""What happens in the shop, and when? The event loop over simulated sessions.

Time is a queue of steps. A step happens at its own time, reads the list it needs at that moment,
and emits events that carry that time; so events come out in event-time order, and a list is read
only after all earlier events have been handed out. With the same settings, the same lists served
and a start shifted by whole minutes, the same events come out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from deploy.storefront.behaviour import Behaviour, Draws
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
from deploy.storefront.writer import Deed, EventWriter, Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.storefront.events import Event
    from deploy.storefront.settings import Settings

CONTROL, TREATED = 0, 1
_BEHAVIOUR, _ARRIVALS, _LISTS, _REFERENCE = 11, 12, 13, 14
# Between opening a page and looking at its list: the page loads, the eye arrives.
_LOAD_MS = (80, 200)
# A log-normal has no end; the real log's longest gaps inside a session last a few hours.
_LONGEST_DWELL_S = 3 * 3_600.0
_ADD_TO_CART, _PURCHASE, _HIDE = 0.12, 0.35, 0.01


class Storefront:
    """A shop that is open from `start_ms` on.

    Shoppers of even number are the control half, those of odd number the treated half. Until
    `serve_halves` both are served the logging policy: popularity with some exploration.

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
        lists = _generator(settings, _LISTS)
        random = RandomPolicy(self.world, settings, lists)
        self.popular = PopularPolicy(self.application, settings)
        self.recommender = (
            RecommenderPolicy(read, self.popular, self.world, settings) if read else None
        )
        self.tally = Tally(
            settings,
            self.behaviour,
            self.application,
            RandomPolicy(self.world, settings, _generator(settings, _REFERENCE)),
        )
        logging = ExploringPolicy(self.popular, random, settings, lists)
        self._policies: Sequence[Policy] = (logging, logging)
        self._writer = EventWriter(self.world)
        self._draws = Draws(_generator(settings, _BEHAVIOUR))
        self._arrivals = Draws(_generator(settings, _ARRIVALS))
        activity_U = self.world.users.activity_U
        self._activity_U = np.cumsum(activity_U)
        self._activity_HU = [
            np.cumsum(np.where(self.half_U == half, activity_U, 0.0)) for half in (CONTROL, TREATED)
        ]
        self._busy: set[int] = set()
        self._on_offer: set[int] = set()
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._num_steps = 0
        self._out: list[Event] = []
        self._sessions_per_s = settings.num_users * settings.sessions_per_user_hour / 3_600
        self._hurry = 1.0
        self._num_paces = 0
        self._at(start_ms, self._publish)
        self._at(start_ms + 1, self._arrivals_of(self._num_paces))

    def set_pace(self, sessions_per_s: float, *, hurry: float, from_ms: int) -> None:
        """Let this many sessions open a second, and let shoppers take 1/hurry of their time.

        The session that was to open next opens at the new pace, too: at a slow one it may have been
        seconds away.
        """
        self._sessions_per_s = sessions_per_s
        self._hurry = hurry
        self._num_paces += 1
        self._at(from_ms + self._gap_ms(), self._arrivals_of(self._num_paces))

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

    def _publish(self, now_ms: int) -> None:
        """Once a minute: announce what came on offer and what was withdrawn."""
        self.world.advance(now_ms)
        on_offer = set(np.flatnonzero(self.world.availability(now_ms)).tolist())
        for item in sorted(on_offer - self._on_offer):
            self._out.append(self._writer.catalogue_item(item, available=True))
        for item in sorted(self._on_offer - on_offer):
            self._out.append(self._writer.catalogue_item(item, available=False))
        self._on_offer = on_offer
        self._at((now_ms // MINUTE_MS + 1) * MINUTE_MS, self._publish)

    def _gap_ms(self) -> float:
        return max(1.0, -1_000 * math.log1p(-self._arrivals.uniform()) / self._sessions_per_s)

    def _arrivals_of(self, pace: int) -> Callable[[int], None]:
        """Return a step that repeats itself for as long as this pace lasts."""

        def arrive(now_ms: int) -> None:
            if pace == self._num_paces:
                self._at(now_ms + self._gap_ms(), arrive)
                self._arrive(now_ms)

        return arrive

    def _arrive(self, now_ms: int) -> None:
        """A shopper opens a session, unless they have one open."""
        shopper = _pick(self._activity_U, self._arrivals.uniform())
        if shopper not in self._busy:
            self._busy.add(shopper)
            self._open_page(now_ms, Session(shopper=shopper))

    def _open_page(self, now_ms: int, session: Session) -> None:
        """Open a session's page.

        The first one, every one under a new id, and every one that will show the recommender's list
        sends a visit.
        """
        is_new = session.num_pages == 0 or self.settings.histories == "shuffled"
        if is_new:
            session.user_id = self._sent_id(session.shopper)
            session.session_id = self._writer.new_session_id()
        if is_new or self._policies[int(self.half_U[session.shopper])] is self.recommender:
            self._out.append(self._writer.visit(session, now_ms))
        session.num_pages += 1
        low_ms, high_ms = _LOAD_MS
        load_ms = low_ms + (high_ms - low_ms) * self._draws.uniform()
        organic = self._draws.uniform() < self.settings.organic_share
        look = self._find if organic else self._view
        self._at(now_ms + load_ms, lambda ms: look(ms, session))

    def _sent_id(self, shopper: int) -> str:
        """Return the shopper's own id or, with shuffled histories, one of their half's."""
        if self.settings.histories == "own":
            return self.world.users.ids[shopper]
        activity_U = self._activity_HU[int(self.half_U[shopper])]
        return self.world.users.ids[_pick(activity_U, self._draws.uniform())]

    def _find(self, now_ms: int, session: Session) -> None:
        """A search or a link leads to an item, without a list."""
        probability_I = self.behaviour.probabilities(session.shopper, slice(None), now_ms)
        weight_I = np.cumsum(probability_I**self.settings.organic_sharpness)
        item = _pick(weight_I, self._draws.uniform())
        self._open_item(now_ms, session, "view", _deed(session, item))

    def _view(self, now_ms: int, session: Session) -> None:
        """A list is read, shown and looked at; an item may be clicked a little later."""
        shopper = session.shopper
        request = Request(user_id=session.user_id, shopper=shopper, now_ms=now_ms)
        served = self._policies[int(self.half_U[shopper])].serve(request)
        request_id = self._writer.new_request_id()
        self._out.append(self._writer.impression(session, served, request_id, now_ms))
        probability_K = self.behaviour.probabilities(shopper, served.items, now_ms)
        chosen = self.behaviour.choose(probability_K, self._draws.uniform())
        self.tally.add(request, served, clicked=chosen >= 0)
        if chosen < 0:
            self._pass_over(now_ms, session, served, request_id)
            return
        deed = _deed(session, int(served.items[chosen]), request_id, served.list_id)
        reading_s = self._draws.lognormal(1.5 + 0.4 * chosen, 0.5)
        self._after(now_ms, reading_s, lambda ms: self._open_item(ms, session, "click", deed))

    def _pass_over(self, now_ms: int, session: Session, served: Served, request_id: str) -> None:
        """Nothing was clicked: now and then an item is hidden; another page, or none."""
        if self._draws.uniform() < _HIDE and len(served.items):
            item = int(served.items[int(self._draws.uniform() * len(served.items))])
            deed = _deed(session, item, request_id, served.list_id)
            self.behaviour.hide(session.shopper, item)
            self.application.hidden(session.user_id, item)
            self._after(now_ms, 1.0, lambda ms: self._act(ms, "hide", deed))
        browse_s = self._draws.lognormal(self.settings.browse_median_s, 0.7)
        self._go_on(now_ms, browse_s, session)

    def _open_item(self, now_ms: int, session: Session, action: str, deed: Deed) -> None:
        """The shopper is on the item's page, may buy, and then goes on or leaves."""
        self._act(now_ms, action, deed)
        self.behaviour.open(session.shopper, deed.item, now_ms)
        self.application.opened(session.user_id, deed.item, now_ms)
        settings = self.settings
        dwell_s = self._draws.lognormal(settings.dwell_median_s, settings.dwell_sigma)
        dwell_s = min(dwell_s, _LONGEST_DWELL_S)
        if self._draws.uniform() < _ADD_TO_CART:
            self._after(now_ms, 0.4 * dwell_s, lambda ms: self._act(ms, "add_to_cart", deed))
            if self._draws.uniform() < _PURCHASE:
                self._after(now_ms, 0.8 * dwell_s, lambda ms: self._act(ms, "purchase", deed))
        self._go_on(now_ms, dwell_s, session)

    def _go_on(self, now_ms: int, delay_s: float, session: Session) -> None:
        """After a while the next page is opened, or the session is over."""
        if self._draws.uniform() < self.world.users.stay_U[session.shopper]:
            self._after(now_ms, delay_s, lambda ms: self._open_page(ms, session))
        else:
            self._after(now_ms, delay_s, lambda _: self._busy.discard(session.shopper))

    def _act(self, now_ms: int, action: str, deed: Deed) -> None:
        self._out.append(self._writer.action(action, deed, now_ms))


def run(storefront: Storefront, until_ms: int, sink: Callable[[Event], None]) -> int:
    """Hand every event before `until_ms` to `sink`, one by one; return how many there were.

    A list is read only after `sink` has returned from every earlier event, so a recommender that
    `sink` feeds in this process answers with the freshest state there can be.
    """
    num_events = 0
    for event in storefront.events(until_ms):
        sink(event)
        num_events += 1
    return num_events


def _deed(
    session: Session, item: int, request_id: str | None = None, list_id: str | None = None
) -> Deed:
    return Deed(
        item=item,
        shopper=session.shopper,
        user_id=session.user_id,
        session_id=session.session_id,
        request_id=request_id,
        list_id=list_id,
    )


def _pick(cumulated_N: NDArray[np.float64], draw: float) -> int:
    """Return the index that a uniform draw selects under cumulated weights."""
    return int(np.searchsorted(cumulated_N, draw * float(cumulated_N[-1]), side="right"))


def _generator(settings: Settings, purpose: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, purpose])

"""How is a deed in the shop written down? Wire events with the ids an application would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.storefront.events import Action, CatalogueItem, Impression, ShownItem, Visit

if TYPE_CHECKING:
    from deploy.storefront.policies import Served
    from deploy.storefront.world import World


@dataclass(slots=True, kw_only=True)
class Session:
    """One shopper's time in the shop, and the ids under which it is sent.

    Attributes:
        shopper: who it is.
        user_id: who the application says it is.
        session_id: the application's session.
        num_pages: pages opened so far.
    """

    shopper: int
    user_id: str = ""
    session_id: str = ""
    num_pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An item that a page was about, and under which ids what is done with it will be sent.

    Attributes:
        item: the item's number.
        shopper: who did it.
        user_id: as in the session when the page was opened.
        session_id: the same.
        request_id: the list that led to the item; None where a search or a link did.
        list_id: the same.
    """

    item: int
    shopper: int
    user_id: str
    session_id: str
    request_id: str | None = None
    list_id: str | None = None


class EventWriter:
    """Writes events with ids that are unique over all runs of all seeds and start times."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._run = f"{world.settings.seed:x}-{world.start_ms:x}"
        self._num_events = self._num_requests = self._num_sessions = 0

    def new_session_id(self) -> str:
        """Return an id for a session that opens."""
        self._num_sessions += 1
        return f"{self._run}-s{self._num_sessions:x}"

    def new_request_id(self) -> str:
        """Return an id for a list that is shown."""
        self._num_requests += 1
        return f"{self._run}-r{self._num_requests:x}"

    def visit(self, session: Session, now_ms: int) -> Visit:
        """Write that a session opened."""
        return Visit(
            event_id=self._new_event_id(),
            user_id=session.user_id,
            ts_ms=now_ms,
            session_id=session.session_id,
            context=self._context(session.shopper),
        )

    def impression(
        self, session: Session, served: Served, request_id: str, now_ms: int
    ) -> Impression:
        """Write that a list was shown, positions counted from 1."""
        item_id = self._world.item_id
        return Impression(
            event_id=self._new_event_id(),
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
            context=self._context(session.shopper),
        )

    def action(self, name: str, deed: Deed, now_ms: int) -> Action:
        """Write that something was done with an item; a purchase carries its price."""
        price = float(self._world.items.price_I[deed.item])
        return Action(
            event_id=self._new_event_id(),
            user_id=deed.user_id,
            item_id=self._world.item_id(deed.item),
            action=name,
            ts_ms=now_ms,
            session_id=deed.session_id,
            request_id=deed.request_id,
            list_id=deed.list_id,
            value=price if name == "purchase" else None,
            context=self._context(deed.shopper),
        )

    def catalogue_item(self, item: int, *, available: bool) -> CatalogueItem:
        """Write the record of an item that came on offer or was withdrawn."""
        items = self._world.items
        category, topic = int(items.category_I[item]), int(items.topic_I[item])
        return CatalogueItem(
            item_id=self._world.item_id(item),
            title=f"Item {item} of topic {topic}",
            categories=[f"category-{category:02d}", f"topic-{topic:03d}"],
            attributes={"price": float(items.price_I[item])},
            published_at_ms=int(items.published_ms_I[item]),
            available=available,
        )

    def _context(self, shopper: int) -> dict[str, str]:
        return {"device": self._world.users.devices[shopper]}

    def _new_event_id(self) -> str:
        self._num_events += 1
        return f"{self._run}-{self._num_events:x}"

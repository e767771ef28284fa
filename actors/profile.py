"""The profile actor: what one profile answers, in memory, as of one version.

`visit` is synchronous and does no I/O: the visitors' door calls it for every request. Everything else comes
by letter (see `actors.mailbox`). A new version replaces the routes in one synchronous step, so no visitor
ever sees half of a change.
"""

import logging
import re
from html import escape
from struct import pack
from typing import TYPE_CHECKING, Final

import trio

from actors.mailbox import Mailbox
from engine import journal_format, name, target
from engine.click import MAX_EXTRA_BYTES, VISITOR_BYTES, Kind
from engine.errors import UnavailableError
from engine.extra import TRIGGER, UTM, Trigger, item
from engine.profile import EdgeLink, PageLink, Snapshot
from engine.request import Origin, Request
from engine.visit_query import PAGE_QUERY, campaign, is_from_page, take_trigger
from engine.visitor_id import VisitorIds

if TYPE_CHECKING:
    from actors.registry import Registry

logger = logging.getLogger("waypost.profile")

_RETRY_S: Final = 0.2
_UNSAFE: Final = re.compile(rb"[^\x21-\x7e]")
_RECORD_BYTES: Final = journal_format.RECORD_BYTES
_FIXED_BYTES: Final = _RECORD_BYTES + VISITOR_BYTES
_NO_VISITOR: Final = journal_format.NO_VISITOR
_pack_start = journal_format.pack_start
_pack_texts = journal_format.pack_texts
_TRIGGERS: Final = {trigger: item(TRIGGER, bytes((trigger,))) for trigger in Trigger}
MAX_HOST_BYTES: Final = 96  # so that a record has room for the rest; a longer name is not recorded


class Route:
    """What one path leads to: everything of an answer and of its record that does not vary by visit."""

    __slots__ = ("actor", "ids", "kind", "passthrough", "paths", "status", "tail", "target")

    def __init__(
        self, actor: "ProfileActor", link_id: int, kind: int, status: int, tail: bytes
    ) -> None:
        self.actor = actor
        self.ids = journal_format.pack_ids(actor.tenant_id, actor.profile_id, link_id)
        self.kind = kind
        self.status = status
        self.tail = tail
        self.target: bytes = b""
        self.passthrough = False
        self.paths: tuple[bytes, ...] = ()


class ProfileActor:
    """One profile. `routes` by link id; the page's route is made when first asked for."""

    __slots__ = (
        "_ids", "_page_links", "_registry", "handle", "mailbox", "page", "page_paths", "profile_id",
        "routes", "tenant_id", "title", "version", "visited", "wanted", "weight",
    )  # fmt: skip

    def __init__(self, registry: "Registry", snapshot: Snapshot) -> None:
        self.mailbox = Mailbox()
        self.tenant_id = snapshot.tenant_id
        self.profile_id = snapshot.profile_id
        self._ids = pack("<qq", snapshot.tenant_id, snapshot.profile_id)
        self.routes: dict[int, Route] = {}
        self.visited = True
        self.wanted = snapshot.version
        self.weight = 0  # what the registry has counted of it
        self._registry = registry
        self._describe(snapshot)

    def _describe(self, snapshot: Snapshot) -> None:
        self.handle = snapshot.handle
        self.title = snapshot.title
        self.version = snapshot.version
        self._page_links = snapshot.page
        self.page: bytes | None = None
        self.page_paths = (name.encode_path("@" + snapshot.handle),)

    # ---- the hot side ---------------------------------------------------------------------------

    def visit(
        self, route: Route, request: Request, origin: Origin, visitors: VisitorIds | None,
        verdict: int, at_us: int,
    ) -> tuple[bytes, bytes]:  # fmt: skip
        """(the answer behind its status line and date, the record to journal). `verdict`: the record's
        byte, as of engine/visitor.py; `visitors`: of the day of `at_us`, None when nobody can tell."""
        self.visited = True
        agent, referrer, language = request.user_agent, request.referrer, request.language
        host = request.host
        extra = origin.place
        if 0 < len(host) <= MAX_HOST_BYTES:
            extra = b"%b\x02%c%b" % (extra, len(host), host)  # the item HOST
        query, trigger, utm = request.query, Trigger.LINK, b""
        if query:
            trigger, query = take_trigger(query)
            utm = query if b"utm_" in query else b""
        if not trigger and b"/@" in referrer and is_from_page(referrer, host, self.page_paths[0]):
            trigger = Trigger.PAGE
        if trigger:
            extra += _TRIGGERS[trigger]
        if utm:  # the last item, as it is what can be cut
            extra += item(UTM, campaign(utm, min(255, MAX_EXTRA_BYTES - len(extra) - 2)))
        if route.kind == Kind.VIEW:
            tail = self._page_tail(route)
        elif query and route.passthrough:
            location = target.with_query(route.target, _UNSAFE.sub(_percent, query))
            tail = self._registry.redirect_tail(route.status, location)
        else:
            tail = route.tail
        visitor = _NO_VISITOR
        if visitors is not None:
            visitor = visitors.of(self._ids + origin.network + agent)
        la, lr, ll = len(agent), len(referrer), len(language)
        record = (
            _pack_start(_FIXED_BYTES + la + lr + ll + len(extra), route.kind, verdict, at_us)
            + route.ids
            + _pack_texts(la, lr, ll)
            + agent
            + referrer
            + language
            + visitor
            + extra
        )
        return tail, record

    def _page_tail(self, route: Route) -> bytes:
        if self.page is None:
            self.page = self._registry.page_tail(render(self.handle, self.title, self._page_links))
        return self.page

    # ---- letters --------------------------------------------------------------------------------

    async def receive(self, letter: int) -> None:
        """A letter is a version that the profile is said to have reached: catch up with it."""
        if letter <= self.version or self._registry.profiles.get(self.profile_id) is not self:
            return
        try:
            snapshot = await self._registry.source.refresh(
                self.profile_id, self.version, self._registry.refresh_limit
            )
        except UnavailableError:
            # Visitors get what is known meanwhile; no poll will say this change again, so we do.
            await trio.sleep(_RETRY_S)
            self._registry.runners.post(self, letter)
            return
        self._registry.apply(self, snapshot)

    def replace(self, snapshot: Snapshot) -> tuple[list[Route], list[Route]]:
        """Take over a snapshot or a difference; (routes that are gone, routes that are new)."""
        renamed = snapshot.handle != self.handle
        gone: list[Route] = []
        if snapshot.since is None or renamed:
            gone.extend(self.routes.values())
            self.routes = {}
        else:
            touched = (*snapshot.removed, *(link.id for link in snapshot.links))
            gone.extend(route for i in touched if (route := self.routes.pop(i, None)) is not None)
        self._describe(snapshot)
        self.wanted = max(self.wanted, snapshot.version)
        return gone, self.add(snapshot.links)

    def add(self, links: tuple[EdgeLink, ...]) -> list[Route]:
        """Routes for links that it has none for yet. One with a target unfit for a header gets none."""
        routes = (self._route(link) for link in links if link.id not in self.routes)
        return [route for route in routes if route is not None]

    def weigh(self) -> int:
        """How many links it holds in memory, as routes or for its page; at least one."""
        return max(1, len(self.routes), len(self._page_links))

    def _route(self, link: EdgeLink) -> Route | None:
        location = link.target.encode("ascii", "replace")
        try:
            tail = self._registry.redirect_tail(link.status, location)
        except ValueError as error:
            logger.error("link %d: %s", link.id, error, extra={"event": "unsafe_target"})
            return None
        route = Route(self, link.id, Kind.CLICK, link.status, tail)
        route.target = location
        route.passthrough = link.passthrough
        own = name.encode_path(self.handle, link.slug)
        route.paths = (own, name.encode_path(link.slug)) if link.short else (own,)
        self.routes[link.id] = route
        return route

    def page_route(self) -> Route:
        route = Route(self, 0, Kind.VIEW, 200, b"")
        route.paths = self.page_paths
        return route


def _percent(match: "re.Match[bytes]") -> bytes:
    return b"%%%02X" % match[0][0]


def render(handle: str, title: str, links: tuple[PageLink, ...]) -> tuple[str, str]:
    """(title, body) of the plain page, as HTML; links go through the door so that they are counted."""
    heading = escape(title or f"@{handle}")
    items = "\n".join(
        f'<li><a href="{escape(name.encode_path(handle, link.slug).decode())}?{PAGE_QUERY}" rel="nofollow">'
        f"{escape(link.title or link.slug)}</a></li>"
        for link in links
    )
    return heading, f"<h1>{heading}</h1>\n<ul>\n{items}\n</ul>" if items else f"<h1>{heading}</h1>"

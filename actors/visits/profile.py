"""The profile actor: what one profile answers, in memory, as of one version.

`visit` is synchronous and does no I/O: the visitors' door calls it for every request. Everything else comes
by letter (see `actors.visits.mailbox`). A new version replaces the routes in one synchronous step, so no visitor
ever sees half of a change.
"""

import logging
import os
import re
from hashlib import blake2b
from html import escape
from struct import pack
from typing import TYPE_CHECKING, Final

import trio

from actors.visits.mailbox import Mailbox
from actors.visits.variants import (
    NO_PAGE_TRIALS,
    LinkExperiments,
    PageExperiments,
    VariantDestination,
    experiments_by_subject,
    exposure_items,
    outcome_items,
)
from engine.clicks.click import CLASS_MASK, MAX_ITEMS_BYTES, VISITOR_BYTES, ClickKind, VisitorClass
from engine.clicks.click_id import PARAMETER, ClickId
from engine.clicks.record_items import (
    COOKIE,
    EXPOSURES,
    NO_VARIANT_REF,
    TRIGGER,
    UTM,
    HostItems,
    Trigger,
    item,
    items,
)
from engine.clicks.record_items import unpack_variant_refs as arms_of
from engine.clicks.record_layout import NO_VISITOR, pack_ids, pack_record
from engine.common.errors import UnavailableError
from engine.links import name, target
from engine.visits.edge_assignment import (
    PREVIEW_PARAMETER,
    VariantAssigner,
    new_cookie_value,
    take_preview_token,
)
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.query_parameters import PAGE_QUERY, campaign, is_from_page, take_trigger
from engine.visits.request import ClientInfo, VisitRequest
from engine.visits.snapshot import EdgeLink, PageLink, Snapshot

if TYPE_CHECKING:
    from actors.visits.registry import Registry

logger = logging.getLogger("waypost.profile")

_RETRY_S: Final = 0.2
_UNSAFE: Final = re.compile(rb"[^\x21-\x7e]")
# Looked up once: each visit asks for them.
_LINK, _PAGE, _VIEW = Trigger.LINK, Trigger.PAGE, ClickKind.VIEW
_TRIGGERS: Final = {trigger: item(TRIGGER, bytes((trigger,))) for trigger in Trigger}
_NO_LINK_TRIALS: Final[dict[int, list[VariantAssigner]]] = {}  # of all profiles that have none
_PEOPLE: Final = frozenset(
    (VisitorClass.UNCLASSIFIED, VisitorClass.HUMAN)
)  # whom experiments are for
_OF_PEOPLE: Final = _PEOPLE | {VisitorClass.HEAD, VisitorClass.PREFETCH}  # who may be one of them
# Who may come to do something at the target: a prefetch may turn into a visit.
_HANDED_ON: Final = _PEOPLE | {VisitorClass.TOOL, VisitorClass.PREFETCH}
_host_items: Final = HostItems()


class VisitRoute:
    """What one path leads to: everything of an answer and of its record that does not vary by visit."""

    __slots__ = (
        "actor", "click_id", "ids", "kind", "link_id", "passthrough", "paths", "status", "tail", "target",
        "trials",
    )  # fmt: skip

    def __init__(
        self, actor: "ProfileActor", link_id: int, kind: int, status: int, tail: bytes
    ) -> None:
        self.actor = actor
        self.ids = pack_ids(actor.tenant_id, actor.profile_id, link_id)
        self.link_id = link_id
        self.kind = kind
        self.status = status
        self.tail = tail
        self.target: bytes = b""
        self.passthrough = False
        self.click_id = False
        self.paths: tuple[bytes, ...] = ()
        self.trials: LinkExperiments | None = None


class ProfileActor:
    """One profile. `routes` by link id; the page's route is made when first asked for."""

    __slots__ = (
        "_ids", "_link_trials", "_page_links", "_registry", "_trials", "handle", "mailbox", "page",
        "page_paths", "profile_id", "routes", "tenant_id", "title", "version", "visited", "wanted", "weight",
    )  # fmt: skip

    def __init__(self, registry: "Registry", snapshot: Snapshot) -> None:
        self.mailbox = Mailbox()
        self.tenant_id = snapshot.tenant_id
        self.profile_id = snapshot.profile_id
        self._ids = pack("<qq", snapshot.tenant_id, snapshot.profile_id)
        self.routes: dict[int, VisitRoute] = {}
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
        self._link_trials, self._trials = _NO_LINK_TRIALS, NO_PAGE_TRIALS
        if snapshot.experiments:
            self._link_trials, trials = experiments_by_subject(snapshot.experiments)
            self._trials = PageExperiments(trials, snapshot.page, self._rendered)

    # ---- the hot side ---------------------------------------------------------------------------

    def visit(
        self, route: VisitRoute, request: VisitRequest, origin: ClientInfo, visitors: Pseudonymiser | None,
        verdict: int, at_us: int,
    ) -> tuple[bytes, bytes]:  # fmt: skip
        """(the answer behind its status line and date, the record to journal). `verdict`: the record's
        byte, as of engine/visits/classifier.py; `visitors`: of the day of `at_us`, None when nobody can tell."""
        self.visited = True
        agent, referrer, language = request.user_agent, request.referrer, request.language
        host = request.host
        extra = origin.place + _host_items[host]
        query, trigger, utm, forced = request.query, _LINK, b"", b""
        if query:
            trigger, query = take_trigger(query)
            utm = query if query.find(b"utm_") >= 0 else b""
            if query.find(PREVIEW_PARAMETER) >= 0:
                forced, query = take_preview_token(query)
        if (
            not trigger
            and referrer.find(b"/@") >= 0
            and is_from_page(referrer, host, self.page_paths[0])
        ):
            trigger = _PAGE
        if trigger:
            extra += _TRIGGERS[trigger]
        visitor = NO_VISITOR
        if visitors is not None:
            visitor = visitors.pseudonym(self._ids + origin.network + agent)
        fields = arms = b""
        if route.kind == _VIEW:
            tail, arms, fields = self._render_page(request, origin, verdict, at_us, forced)
            extra += arms
        else:
            tail, location, trials = route.tail, route.target, route.trials
            if trials is not None and trials.only and trigger is not _PAGE and not forced:
                judged = verdict & CLASS_MASK
                arm, _, arms = trials.only.assign(request, origin, judged in _OF_PEOPLE, at_us, b"")
                if arm is not None:
                    location, tail = trials.destinations[arm]
                if judged in _PEOPLE:
                    extra += arms
                else:
                    arms = b""
            elif trials is not None or (trigger is _PAGE and self._trials.live):
                led, arms, fields = self._choose_destination(
                    route, request, origin, verdict, at_us, trigger, forced
                )
                extra += arms
                if led is not None:
                    location, tail = led
            if query and route.passthrough:
                location = target.add_query(location, _UNSAFE.sub(_percent, query))
                tail = self._registry.redirect_tail(route.status, location)
            if route.click_id and verdict & CLASS_MASK in _HANDED_ON:
                click = self._click_id(route, arms, visitor, at_us)
                if click:
                    location = target.add_query(location, click)
                    tail = self._registry.redirect_tail(route.status, location)
        if utm:  # the last item, as it is what can be cut
            extra += item(UTM, campaign(utm, min(255, MAX_ITEMS_BYTES - len(extra) - 2)))
        record = pack_record(
            route.kind, verdict, at_us, route.ids, agent, referrer, language, visitor, extra
        )
        return fields + tail, record

    def _render_page(
        self, request: VisitRequest, origin: ClientInfo, verdict: int, at_us: int, forced: bytes
    ) -> tuple[bytes, bytes, bytes]:
        """The page for this visitor, the items of the record that say which one, more header fields."""
        trials = self._trials
        if forced and (page := trials.forced(forced, at_us)) is not None:
            return page, b"", b""
        if not trials.live:
            if self.page is None:
                self.page = self._rendered(self._page_links)
            return self.page, b"", b""
        judged = verdict & CLASS_MASK
        counts, human = judged in _PEOPLE, judged in _OF_PEOPLE
        cookie, fields = self._cookie(request, trials.cookie and counts)
        choices, packed, by_cookie = trials.assign(request, origin, human, at_us, cookie)
        if not counts:
            return trials.page(choices), b"", fields
        items = exposure_items(packed, self._by_cookie(cookie) if by_cookie else b"", by_cookie)
        return trials.page(choices), items, fields

    def _choose_destination(
        self, route: VisitRoute, request: VisitRequest, origin: ClientInfo, verdict: int, at_us: int, trigger: Trigger,
        forced: bytes,
    ) -> tuple[VariantDestination | None, bytes, bytes]:  # fmt: skip
        """Where experiments lead this visitor (None: where the link does), the items of the record that say
        of which, and what the click decides for on the page that it comes from; more header fields."""
        trials, led, shown, shown_by_cookie, fields = route.trials, None, b"", 0, b""
        judged = verdict & CLASS_MASK
        counts, human = judged in _PEOPLE, judged in _OF_PEOPLE
        cookie = request.cookie
        if trials is not None:
            if forced and (led := trials.forced(forced, at_us)) is not None:
                return led, b"", b""
            cookie, fields = self._cookie(request, trials.cookie and counts)
            led, shown, shown_by_cookie = trials.assign(request, origin, human, at_us, cookie)
            shown = shown if counts else b""
            shown_by_cookie = bool(shown) and shown_by_cookie
        if trigger is not Trigger.PAGE or not counts or not self._trials.live:
            pseudonym = self._by_cookie(cookie) if shown_by_cookie else b""
            return led, exposure_items(shown, pseudonym, shown_by_cookie), fields
        packed, by_cookie = self._trials.outcomes(
            route.link_id, request, origin, at_us, request.cookie
        )
        pseudonym = self._by_cookie(cookie) if shown_by_cookie or by_cookie else b""
        return led, outcome_items(shown, shown_by_cookie, packed, by_cookie, pseudonym), fields

    def _click_id(self, route: VisitRoute, arms: bytes, visitor: bytes, at_us: int) -> bytes:
        """The parameter that lets the target tell what came of this click; empty while nobody can seal."""
        seal = self._registry.seal
        if seal is None:
            self._registry.unsealed += 1
            return b""
        found = items(arms)
        shown = next(iter(arms_of(found.get(EXPOSURES, b""))), NO_VARIANT_REF)
        cookie = found.get(COOKIE, b"")
        by_cookie = bool(cookie) and bool(cookie[VISITOR_BYTES])
        who = cookie[:VISITOR_BYTES] if by_cookie else visitor
        click = ClickId(
            self.tenant_id, self.profile_id, route.link_id, at_us, *shown, by_cookie, who
        )
        return PARAMETER + seal.seal(click)

    def _cookie(self, request: VisitRequest, asked: bool) -> tuple[bytes, bytes]:
        """The visitor's cookie, where an experiment asks for one, and the field that sets a new one."""
        if request.cookie or not asked:
            return request.cookie, b""
        cookie = new_cookie_value(os.urandom(16))
        return cookie, self._registry.visitor_cookie(cookie)

    def _by_cookie(self, cookie: bytes) -> bytes:
        """A pseudonym of whoever has this cookie, another one in each profile."""
        return blake2b(self._ids + cookie, digest_size=VISITOR_BYTES).digest()

    def _rendered(self, links: tuple[PageLink, ...]) -> bytes:
        return self._registry.page_tail(render(self.handle, self.title, links))

    # ---- letters --------------------------------------------------------------------------------

    async def handle_message(self, letter: int) -> None:
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
            self._registry.runners.send(self, letter)
            return
        self._registry.apply(self, snapshot)

    def replace(self, snapshot: Snapshot) -> tuple[list[VisitRoute], list[VisitRoute]]:
        """Take over a snapshot or a difference; (routes that are gone, routes that are new)."""
        renamed = snapshot.handle != self.handle
        gone: list[VisitRoute] = []
        if snapshot.since is None or renamed:
            gone.extend(self.routes.values())
            self.routes = {}
        else:
            touched = (*snapshot.removed, *(link.id for link in snapshot.links))
            gone.extend(route for i in touched if (route := self.routes.pop(i, None)) is not None)
        self._describe(snapshot)
        for route in self.routes.values():
            self._attach_experiments(route)
        self.wanted = max(self.wanted, snapshot.version)
        return gone, self.add(snapshot.links)

    def add(self, links: tuple[EdgeLink, ...]) -> list[VisitRoute]:
        """Routes for links that it has none for yet. One with a target unfit for a header gets none."""
        routes = (self._route(link) for link in links if link.id not in self.routes)
        return [route for route in routes if route is not None]

    def resident_links(self) -> int:
        """How many links it holds in memory, as routes or for its page; at least one."""
        return max(1, len(self.routes), len(self._page_links))

    def _route(self, link: EdgeLink) -> VisitRoute | None:
        location = link.target.encode("ascii", "replace")
        try:
            tail = self._registry.redirect_tail(link.status, location)
        except ValueError as error:
            logger.error("link %d: %s", link.id, error, extra={"event": "unsafe_target"})
            return None
        route = VisitRoute(self, link.id, ClickKind.CLICK, link.status, tail)
        route.target = location
        route.passthrough = link.passthrough
        route.click_id = link.click_id and location.startswith(b"http")
        self._attach_experiments(route)
        own = name.encode_path(self.handle, link.slug)
        route.paths = (own, name.encode_path(link.slug)) if link.short else (own,)
        self.routes[link.id] = route
        return route

    def _attach_experiments(self, route: VisitRoute) -> None:
        """Give a route the experiments of its link."""
        trials = self._link_trials.get(route.link_id)
        route.trials = None
        if trials:
            route.trials = LinkExperiments(trials, route.status, self._registry.redirect_tail)

    def page_route(self) -> VisitRoute:
        route = VisitRoute(self, 0, ClickKind.VIEW, 200, b"")
        route.paths = self.page_paths
        return route


def _percent(match: "re.Match[bytes]") -> bytes:
    return b"%%%02X" % match[0][0]


def render(handle: str, title: str, links: tuple[PageLink, ...]) -> tuple[str, str]:
    """(title, body) of the plain page, as HTML; links go through the door so that they are counted."""
    heading = escape(title or f"@{handle}")
    items = "\n".join(
        f'<li><a href="{escape(name.encode_path(handle, link.slug).decode())}?{PAGE_QUERY}" rel="nofollow">'
        f"{_thumbnail(link)}{escape(link.title or link.slug)}</a></li>"
        for link in links
    )
    return heading, f"<h1>{heading}</h1>\n<ul>\n{items}\n</ul>" if items else f"<h1>{heading}</h1>"


def _thumbnail(link: PageLink) -> str:
    return f'<img src="{escape(link.thumbnail)}" alt="" height="24"> ' if link.thumbnail else ""

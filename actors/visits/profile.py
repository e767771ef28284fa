"""The profile actor: answers the visits of one profile from memory, as of one version.

`visit` is synchronous and does no I/O: the visitor server calls it for every request. Changes come as
messages (actors/visits/mailbox.py). A new version replaces the routes in one synchronous step, so no visitor
ever sees half of a change.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from hashlib import blake2b
from struct import pack
from typing import Final

import msgspec

from actors.visits.click_ids import GIVEN_CLICK_ID, ClickIds, click_of
from actors.visits.entrances import Entrances
from actors.visits.experiments.hit_variants import HitVariants, PageElsewhere
from actors.visits.experiments.variants import (
    ASSIGNED,
    EXPOSED,
    NO_PAGE_EXPERIMENTS,
    LinkExperiments,
    PageExperiments,
    VariantDestination,
    experiments_by_subject,
    exposure_items,
    outcome_items,
)
from actors.visits.link_gate import GateParts, LinkGate, needs_gate, own_location, robots
from actors.visits.page_renders import Look, PageRenders, WantedPage
from actors.visits.profile_page import NO_PAGE, PageSource, ShownVariant, make_page
from actors.visits.responses import PageTails, VisitResponses, page_response
from actors.visits.route import VisitRoute, extra_weight
from engine.clicks.click import CLASS_MASK, MAX_ITEMS_BYTES, VISITOR_BYTES, ClickKind
from engine.clicks.own_event import event_items
from engine.clicks.record_items import HIT, TRIGGER_ITEMS, UTM, HostItems, Trigger, item
from engine.clicks.record_layout import NO_VISITOR, pack_record
from engine.links import name, target
from engine.links.slugs.link_path import link_path
from engine.pages.files import PageFile
from engine.visits.edge_assignment import (
    PREVIEW_PARAMETER,
    VariantAssigner,
    new_cookie_value,
    take_preview_token,
)
from engine.visits.entrance import OwnReferrer, own_referrer, way_from_page
from engine.visits.hit import Hit
from engine.visits.query_parameters import campaign, names_campaign, take_trigger
from engine.visits.request import Visit, VisitRequest
from engine.visits.snapshot import EdgeLink, Snapshot

logger = logging.getLogger("waypost.profile")

# Looked up once, as each visit compares with them.
_LINK, _PAGE, _VIEW = Trigger.LINK, Trigger.PAGE, ClickKind.VIEW
_NO_PAGE_CHOSEN: Final = b"", b"", b""
_NO_LINK_EXPERIMENTS: Final[dict[int, list[VariantAssigner]]] = {}  # shared by all profiles without
# Visitor classes whose entrances are remembered: a prefetched page may be shown without another request.
_REMEMBERED: Final = GIVEN_CLICK_ID
_host_items: Final = HostItems()


class ProfileActor(msgspec.Struct, gc=False, eq=False):
    """The actor of one profile; profile_actor() makes it. `routes` by link id; the route of the page is made by
    page_route().

    `refresh(actor, version)` brings the actor up to a version that the profile is said to have reached.

    The garbage collector does not look at actors, as there may be a million of them, and a full collection
    would stop all visitors for as long. So close() has to be called when visitors do not reach it any more.
    """

    tenant_id: int
    profile_id: int
    _responses: VisitResponses
    _click_ids: ClickIds
    _entrances: Entrances
    _gate_parts: GateParts
    _page_renders: PageRenders
    _refresh: "Callable[[ProfileActor, int], Awaitable[None]]"
    handle: str = ""
    title: str = ""
    version: int = 0
    wanted: int = 0  # the highest version announced
    visited: bool = True
    weight: int = 0  # resident links that the registry has counted for it
    _extra_weight: int = 0  # of its routes
    page: PageSource = NO_PAGE
    page_path: bytes = b""
    routes: dict[int, VisitRoute] = msgspec.field(default_factory=dict)
    _ids: bytes = b""
    _link_experiments: dict[int, list[VariantAssigner]] = _NO_LINK_EXPERIMENTS
    _page_experiments: PageExperiments = NO_PAGE_EXPERIMENTS

    def __post_init__(self) -> None:
        self._ids = pack("<qq", self.tenant_id, self.profile_id)

    def close(self) -> None:
        """Break the circle between the actor and its routes, and drop its pages, to free their memory."""
        self.routes = {}
        self._page_renders.forget(self.profile_id)

    def describe(self, snapshot: Snapshot) -> None:
        """Take over all of the snapshot but its links."""
        self.handle = snapshot.handle
        self.title = snapshot.title
        self.version = snapshot.version
        self.page = PageSource.of(snapshot)
        self.page_path = name.encode_path("@" + snapshot.handle)
        self._link_experiments = _NO_LINK_EXPERIMENTS
        self._page_experiments = NO_PAGE_EXPERIMENTS
        if snapshot.experiments:
            self._link_experiments, assigners = experiments_by_subject(snapshot.experiments)
            self._page_experiments = PageExperiments(assigners, self.page.subjects())

    # ---- the hot path ---------------------------------------------------------------------------

    # long: each call that it were cut into costs 0.1 µs of every visit.
    def visit(self, route: VisitRoute, visit: Visit) -> tuple[bytes, bytes]:  # noqa: C901
        """Return (the response after its status line and date, the record to journal); both are empty for a
        view of a page that has to be rendered first.

        Written out, as each call costs 0.1 µs: a plain redirect makes two, for the pseudonym and the record.
        """
        self.visited = True
        if not route.ids:
            route.make_ready(self._responses.redirect_tail)
        request, client = visit.request, visit.client
        agent, referrer = request.user_agent, request.referrer
        host, query = request.host, request.query
        items = client.place + _host_items[host]
        trigger, utm_query, preview_token = _LINK, b"", b""
        if query:
            trigger, query = take_trigger(query)
            utm_query = query if names_campaign(query) else b""
            if query.find(PREVIEW_PARAMETER) >= 0:
                preview_token, query = take_preview_token(query)
        own: OwnReferrer | None = None
        is_view, page = route.kind == _VIEW, _NO_PAGE_CHOSEN
        if is_view:
            page = self._choose_page(visit, preview_token)
            if not page[0]:
                return b"", b""
        if referrer and (trigger or is_view or referrer.find(b"/@") >= 0):
            own = own_referrer(referrer, host, self.page_path)
            if own is not None and own.is_page and not trigger:
                trigger = _PAGE
        if trigger:
            items += TRIGGER_ITEMS[trigger]
        visitor_id, fields = NO_VISITOR, b""
        if visit.pseudonymiser is not None:
            visitor_id = visit.pseudonymiser.pseudonym(self._ids + client.network + agent)
        if trigger or is_view:
            referrer, utm_query = self._way(route, visit, trigger, own, utm_query, visitor_id)
        if is_view:
            tail, variant_items, fields = page
            items += variant_items
        elif route.plain and (trigger is not _PAGE or not self._page_experiments.live):
            tail = route.tail
            if query and route.passthrough:
                _, tail = self._replace_query(route, route.target, query)
        elif route.sole_assigner is not None and trigger is not _PAGE and not preview_token:
            visitor_class = visit.classification & CLASS_MASK
            assigned = route.sole_assigner.assign(visit, visitor_class in ASSIGNED, b"")
            variant, _, exposure_item = assigned
            tail = route.tail if variant is None else route.sole_destinations[variant].tail
            if visitor_class in EXPOSED:
                items += exposure_item
        else:
            _, tail, variant_items, fields = self._redirect(
                route, visit, trigger, query, preview_token, visitor_id
            )
            items += variant_items
        if utm_query:  # the last item, as it is the one that may be cut
            items += item(UTM, campaign(utm_query, min(255, MAX_ITEMS_BYTES - len(items) - 2)))
        record = pack_record(
            route.kind, visit.classification, visit.at_us, route.ids, agent, referrer,
            request.language, visitor_id, items,
        )  # fmt: skip
        return fields + tail, record

    def page_elsewhere(self) -> PageElsewhere:
        return PageElsewhere(self._page_experiments, self.page, self._responses.visitors_url)

    def hit_variants(self, route: VisitRoute, visit: Visit, hit: Hit) -> HitVariants:
        leads_on = route.link_id and (route.gate is None or route.gate.leads_on)
        if not (leads_on and hit.experiments):
            return self.page_elsewhere().of_hit(visit, route.link_id, hit)
        visitor_id, (token, _) = self._visitor_id(visit), take_preview_token(visit.request.query)
        location, _, items, _ = self._redirect(
            route, visit, _PAGE, b"", token, visitor_id, sets_cookie=False
        )
        return HitVariants(items, target=location.decode("ascii"))

    def hit(
        self, route: VisitRoute, visit: Visit, hit: Hit, hit_id: bytes, variant_items: bytes
    ) -> bytes:
        if not route.ids:
            route.make_ready(self._responses.redirect_tail)
        request = visit.request
        items = visit.client.place + item(HIT, hit_id) + variant_items
        if request.host:
            items += _host_items[request.host]
        is_view = route.kind == _VIEW
        if not is_view:
            items += TRIGGER_ITEMS[_PAGE]
        visitor_id = self._visitor_id(visit)
        query = request.query if names_campaign(request.query) else b""
        trigger = _PAGE if hit.is_inside or hit.event or not is_view else _LINK
        referrer, query = self._way(route, visit, trigger, None, query, visitor_id)
        if query:
            items += item(UTM, campaign(query, min(255, MAX_ITEMS_BYTES - len(items) - 2)))
        kind = route.kind
        if hit.event:
            kind, items = ClickKind.EVENT, items + event_items(hit.event)
        return pack_record(
            kind, visit.classification, visit.at_us, route.ids, request.user_agent, referrer,
            request.language, visitor_id, items,
        )  # fmt: skip

    def _visitor_id(self, visit: Visit) -> bytes:
        if visit.pseudonymiser is None:
            return NO_VISITOR
        identity = self._ids + visit.client.network + visit.request.user_agent
        return visit.pseudonymiser.pseudonym(identity)

    def _way(
        self,
        route: VisitRoute,
        visit: Visit,
        trigger: Trigger,
        own: OwnReferrer | None,
        utm_query: bytes,
        visitor_id: bytes,
    ) -> tuple[bytes, bytes]:
        """Return (the referrer, the query with the campaign) to record: those of the visitor's entrance, if the
        visit comes from the page. Remember the visit if it is an entrance."""
        request = visit.request
        referrer = request.referrer if own is None else b""
        is_entrance = route.kind == _VIEW and bool(referrer or utm_query)
        if is_entrance and visitor_id != NO_VISITOR:
            if visit.classification & CLASS_MASK in _REMEMBERED:
                self._entrances.enter(self.profile_id, visit.at_us, visitor_id, referrer, utm_query)
        elif own is not None or (trigger is _PAGE and not referrer):
            network, agent = visit.client.network, request.user_agent
            return self.way_from_page(own, utm_query, visitor_id, network, agent, visit.at_us)
        return referrer, utm_query

    @property
    def has_page_experiments(self) -> bool:
        """Whether experiments on the page are live, of which clicks from there are outcomes."""
        return bool(self._page_experiments.live)

    def way_from_page(
        self,
        own: OwnReferrer | None,
        utm_query: bytes,
        visitor_id: bytes,
        network: bytes,
        user_agent: bytes,
        at_us: int,
    ) -> tuple[bytes, bytes]:
        """Return (the referrer, the query with the campaign) of a click from the page, by its entrance."""
        entrance = self._entrances.last(visitor_id, self._ids + network + user_agent, at_us)
        return way_from_page(utm_query, b"" if own is None else own.query, entrance)

    def _choose_page(self, visit: Visit, preview_token: bytes) -> tuple[bytes, bytes, bytes]:
        """Return (the page, record items with exposures, more header fields); the page is empty if it has to
        be rendered first."""
        experiments = self._page_experiments
        if preview_token and (look := experiments.preview(preview_token, visit.at_us)) is not None:
            return page_response(visit, self._page(visit, *look)), b"", b""
        if not experiments.live:
            return page_response(visit, self._page(visit, (), ())), b"", b""
        visitor_class = visit.classification & CLASS_MASK
        exposed = visitor_class in EXPOSED
        cookie, fields = self._cookie(visit.request, experiments.asks_for_cookie and exposed)
        assignments = experiments.assign(visit, visitor_class in ASSIGNED, cookie)
        numbers = tuple(assignment.variant for assignment in assignments)
        tails = self._page(visit, numbers, experiments.shown(numbers))
        if tails is None or not exposed:
            return page_response(visit, tails), b"", fields
        packed, by_cookie = experiments.exposures(assignments, tails.subjects)
        pseudonym = self._cookie_pseudonym(cookie) if by_cookie else b""
        return page_response(visit, tails), exposure_items(packed, pseudonym, by_cookie), fields

    def plain_page(self, accept_language: bytes, at_us: int) -> PageTails | None:
        """Return the page of visitors in no experiment; None while one is live, or if it has to be rendered."""
        if self._page_experiments.live:
            return None
        look = (self.page.language_of(accept_language),)
        return self._page_renders.page(self.profile_id, self.version, look, at_us)

    def _page(self, visit: Visit, look: Look, shown: Sequence[ShownVariant]) -> PageTails | None:
        """Return the page with this look; None if it has to be rendered."""
        request, renders = visit.request, self._page_renders
        language = self.page.language_of(request.language)
        look = (language, *look)
        tails = renders.page(self.profile_id, self.version, look, visit.at_us)
        if tails is None and request.has_waited:  # the profile may change all the time
            tails = renders.last(self.profile_id, look)
        if tails is None:
            make = partial(make_page, self.page, shown, language, visit.at_us, self._responses)
            visit.wanted_page = WantedPage(self.profile_id, self.version, look, make)
            request.has_waited = True
        return tails

    def _redirect(
        self,
        route: VisitRoute,
        visit: Visit,
        trigger: Trigger,
        query: bytes,
        preview_token: bytes,
        visitor_id: bytes,
        *,
        sets_cookie: bool = True,
    ) -> tuple[bytes, bytes, bytes, bytes]:
        """Answer a visit to a link that is in experiments or gives click ids. Returns (where it leads, the
        response after its status line and date, record items with exposures and outcomes, more header fields).
        """
        location, tail, items, fields = route.target, route.tail, b"", b""
        if (extra := visit.request.extra) and route.gate is not None:
            location, tail = self._moved(route, route.gate.extended(extra) or location)
        ruled = None if route.gate is None else route.gate.destination(visit)
        if ruled is not None:
            location, tail = ruled
        elif route.experiments is not None or (trigger is _PAGE and self._page_experiments.live):
            destination, items, fields = self._choose_destination(
                route, visit, trigger, preview_token, sets_cookie=sets_cookie
            )
            if destination is not None:
                location, tail = destination
        if query and route.passthrough:
            location, tail = self._replace_query(route, location, query)
        if route.click_id and visit.classification & CLASS_MASK in GIVEN_CLICK_ID:
            ids = self.tenant_id, self.profile_id, route.link_id
            click_id = self._click_ids.parameter(click_of(ids, visit.at_us, items, visitor_id))
            if click_id:
                location, tail = self._moved(route, target.add_query(location, click_id))
        return location, tail, items, fields

    def _replace_query(
        self, route: VisitRoute, location: bytes, query: bytes
    ) -> tuple[bytes, bytes]:
        """Return the same with the visitor's query, which goes before parameters of the location."""
        return self._moved(route, target.replace_query(location, target.safe_query(query)))

    def _moved(self, route: VisitRoute, location: bytes) -> tuple[bytes, bytes]:
        """Return (the location, the redirect to it after its status line and date)."""
        return location, route.robots + self._responses.redirect_tail(route.status, location)

    def _choose_destination(
        self,
        route: VisitRoute,
        visit: Visit,
        trigger: Trigger,
        preview_token: bytes,
        *,
        sets_cookie: bool,
    ) -> tuple[VariantDestination | None, bytes, bytes]:
        """Return (destination or None for the link's own target, record items with exposures and outcomes,
        more header fields)."""
        experiments, destination, fields = route.experiments, None, b""
        exposures, exposures_by_cookie = b"", False
        visitor_class = visit.classification & CLASS_MASK
        exposed = visitor_class in EXPOSED
        cookie = visit.request.cookie
        if experiments is not None:
            if preview_token:
                destination = experiments.preview(preview_token, visit.at_us)
                if destination is not None:
                    return destination, b"", b""
            asks = sets_cookie and experiments.asks_for_cookie
            cookie, fields = self._cookie(visit.request, asks and exposed)
            destination, exposures, exposures_by_cookie = experiments.assign(
                visit, visitor_class in ASSIGNED, cookie
            )
            exposures = exposures if exposed else b""
            exposures_by_cookie = bool(exposures) and exposures_by_cookie
        if trigger is not _PAGE or not exposed or not self._page_experiments.live:
            pseudonym = self._cookie_pseudonym(cookie) if exposures_by_cookie else b""
            return destination, exposure_items(exposures, pseudonym, exposures_by_cookie), fields
        outcomes, by_cookie = self._page_experiments.outcomes(
            route.link_id, visit, visit.request.cookie
        )
        pseudonym = self._cookie_pseudonym(cookie) if exposures_by_cookie or by_cookie else b""
        items = outcome_items(exposures, exposures_by_cookie, outcomes, by_cookie, pseudonym)
        return destination, items, fields

    def _cookie(self, request: VisitRequest, wanted: bool) -> tuple[bytes, bytes]:
        """Return (the visitor's cookie or empty, the header field that sets a new one or empty). A new one is
        made only if `wanted`."""
        if request.cookie or not wanted:
            return request.cookie, b""
        cookie = new_cookie_value(os.urandom(16))
        return cookie, self._responses.visitor_cookie(cookie)

    def _cookie_pseudonym(self, cookie: bytes) -> bytes:
        """Return the pseudonym of the visitor with this cookie; it differs between profiles."""
        return blake2b(self._ids + cookie, digest_size=VISITOR_BYTES).digest()

    # ---- versions -------------------------------------------------------------------------------

    async def handle_message(self, message: int) -> None:
        """Catch up with a version that the profile is said to have reached."""
        if message > self.version:
            await self._refresh(self, message)

    def replace(self, snapshot: Snapshot) -> tuple[list[VisitRoute], list[VisitRoute]]:
        """Take over a snapshot or a difference. Returns (routes that are gone, routes that are new)."""
        renamed = snapshot.handle != self.handle
        gone: list[VisitRoute] = []
        if snapshot.since is None or renamed:
            gone.extend(self.routes.values())
            self.routes = {}
        else:
            changed = (*snapshot.removed, *(link.id for link in snapshot.links))
            gone.extend(route for i in changed if (route := self.routes.pop(i, None)) is not None)
        self._extra_weight -= sum(map(extra_weight, gone))
        self.describe(snapshot)
        for route in self.routes.values():
            self._attach_experiments(route)
        self.wanted = max(self.wanted, snapshot.version)
        return gone, self.add(snapshot.links)

    def add(self, links: tuple[EdgeLink, ...]) -> list[VisitRoute]:
        """Make routes for the links that have none yet, and return them. A link gets none if its target is
        unfit for a header."""
        routes = (self._route(link) for link in links if link.id not in self.routes)
        return [route for route in routes if route is not None]

    def resident_links(self) -> int:
        """Return how many links of usual size are in memory, as routes or for the page; at least 1."""
        return max(1, len(self.routes), self.page.size) + self._extra_weight

    def page_file(self, name: str, at_us: int) -> PageFile | None:
        return self.page.file(name, at_us, self._responses.visitors_url)

    def page_route(self) -> VisitRoute:
        route = VisitRoute(self, 0, ClickKind.VIEW, 200)
        route.path = self.page_path
        return route

    def _route(self, link: EdgeLink) -> VisitRoute | None:
        options, gate = link.options, None
        # After a form a browser follows with GET only a 303.
        status = link.status if link.password_hash is None else 303
        location = own_location(link)
        try:
            if not target.is_location_safe(location):  # which is of rows written by hand
                raise ValueError("its target is unfit for a header")
            if needs_gate(link):
                parts = self._responses, self._gate_parts, self._card_picture
                gate = LinkGate(link, self.tenant_id, status, *parts)
        except ValueError as error:
            logger.error("link %d: %s", link.id, error, extra={"event": "unsafe_target"})
            return None
        route = VisitRoute(self, link.id, ClickKind.CLICK, status, target=location)
        route.gate, route.robots = gate, robots(options)
        route.passthrough = link.passthrough
        route.click_id = link.click_id and location.startswith(b"http")
        self._attach_experiments(route)
        route.path = link_path(self.handle, link.slug)
        route.short_path = name.encode_path(link.slug) if link.short else b""
        self.routes[link.id] = route
        self._extra_weight += extra_weight(route)
        return route

    def _card_picture(self, link: EdgeLink) -> str:
        return self._responses.visitors_url + self.page.link_picture(self.tenant_id, link)

    def _attach_experiments(self, route: VisitRoute) -> None:
        assigners = self._link_experiments.get(route.link_id)
        route.set_experiments(
            LinkExperiments(assigners, route.status, self._responses.redirect_tail)
            if assigners
            else None
        )


def profile_actor(
    snapshot: Snapshot,
    responses: VisitResponses,
    click_ids: ClickIds,
    entrances: Entrances,
    gate_parts: GateParts,
    page_renders: PageRenders,
    refresh: Callable[[ProfileActor, int], Awaitable[None]],
) -> ProfileActor:
    """Return an actor of the profile, without routes: add() makes those."""
    ids = snapshot.tenant_id, snapshot.profile_id
    actor = ProfileActor(*ids, responses, click_ids, entrances, gate_parts, page_renders, refresh)
    actor.wanted = snapshot.version
    actor.describe(snapshot)
    return actor

"""Hits that servers report, at the edge that records them.

Guarantees:

- A hit is in the journal before it is answered.
- A hit that comes again is recorded once: the edge remembers the last MAX_IDS ids. After a restart it reads
  them from the journals of its machine (storage/clicks/hit_ids.py), so a crash before the answer doubles
  nothing.
- A hit that takes part in experiments is answered with its visitor's variants, also when it comes again.
- An address is used to make place and pseudonym, and is kept nowhere but in the bounded table of clients.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio

from actors.visits.experiments.hit_variants import NO_HIT_VARIANTS
from actors.visits.registry import Found, Registry
from actors.visits.route import VisitRoute, is_closed
from api.visits.client_resolver import ClientResolver
from api.visits.ports import ClickRecorder, PseudonymSource
from engine.common.errors import UnavailableError
from engine.links.slugs.link_path import folded_path
from engine.operations.metrics import Metric, Sample
from engine.visits.classifier import ClassificationCache
from engine.visits.daily_key import DAY_US
from engine.visits.hit import Hit, HitAnswer, HitOutcome, ServerHit, server_hit
from engine.visits.request import Visit

MAX_IDS: Final = 100_000
_LOOKUP_S: Final = 5.0

SERVER_HITS: Final = Metric(
    "waypost_server_hits_total",
    "Hits that servers reported, by outcome (recorded, duplicate, unknown: no such link, or closed)",
    ("outcome",),
)


class PathWaiter:
    """A waiter of the registry's finder that is no connection."""

    def __init__(self) -> None:
        self._found = trio.Event()
        self._route: VisitRoute | None = None
        self._available = False

    def resolve(self, route: VisitRoute | None, available: bool) -> None:
        self._route, self._available = route, available
        self._found.set()

    async def route(self) -> VisitRoute | None:
        """Return the route, or None where the path leads nowhere. Raises UnavailableError."""
        with trio.move_on_after(_LOOKUP_S):
            await self._found.wait()
        if not self._available:
            raise UnavailableError("the profile could not be looked up")
        return self._route


class ServerHits:
    """Records hits of servers. `clients` resolves addresses as of peers."""

    def __init__(
        self,
        registry: Registry,
        recorder: ClickRecorder,
        clients: ClientResolver,
        pseudonyms: PseudonymSource,
        clock_us: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._recorder = recorder
        self._clients = clients
        self._pseudonyms = pseudonyms
        self._clock_us = clock_us
        self._classifications = ClassificationCache()
        self._refuses = False
        self._ids: OrderedDict[bytes, None] = OrderedDict()
        self._counts: dict[str, int] = dict.fromkeys(("recorded", "duplicate", "unknown"), 0)

    def remember(self, ids: Iterable[bytes]) -> None:
        """Remember ids of recorded hits, the oldest first."""
        for id_ in ids:
            self._ids[id_] = None
            self._ids.move_to_end(id_)
            if len(self._ids) > MAX_IDS:
                self._ids.popitem(last=False)

    def refuse(self) -> None:
        """Take no hits any more: a successor reads from the journals which ones were recorded."""
        self._refuses = True

    async def record(self, hits: Sequence[ServerHit]) -> list[HitAnswer]:
        """Record the hits that are new. Returns an answer for each.

        Raises UnavailableError when none was recorded, so all may be sent again.
        """
        routes = {path: await self._route(path) for path in {hit.path for hit in hits}}
        now_us = self._clock_us()
        # No await from here on: a hit that comes twice at once is recorded once.
        if self._refuses:
            raise UnavailableError("the edge is being restarted")
        answers: list[HitAnswer] = []
        records: dict[bytes, bytes] = {}
        for hit in hits:
            route = routes[hit.path]
            is_new = hit.id not in self._ids and hit.id not in records
            if route is None or is_closed(route, now_us):
                answers.append(HitAnswer("unknown" if is_new else "duplicate"))
                continue
            page = server_hit(hit)
            visit = self._visit(hit, page, now_us)
            variants = NO_HIT_VARIANTS
            if page.takes_part:
                variants = route.actor.hit_variants(route, visit, page)
            outcome: HitOutcome = "recorded" if is_new else "duplicate"
            answers.append(HitAnswer(outcome, variants.variants, variants.target))
            if is_new:
                records[hit.id] = route.actor.hit(route, visit, page, hit.id, variants.items)
        if records and not self._recorder.append(list(records.values())):
            raise UnavailableError("the journal cannot be written")
        self.remember(records)
        for answer in answers:
            self._counts[answer.outcome] += 1
        return answers

    async def _route(self, path: bytes) -> VisitRoute | None:
        """Return the route of a path, or else of the path in which case is ignored."""
        route = await self._route_at(path)
        if route is None and (folded := folded_path(path)) is not None:
            return await self._route_at(folded)
        return route

    async def _route_at(self, path: bytes) -> VisitRoute | None:
        route = self._registry.paths.get(path)
        if route is not None or self._registry.is_unknown(path):
            return route
        waiter = PathWaiter()
        if not self._registry.wait(path, waiter):
            raise UnavailableError("too many visits wait for their profiles")
        return await waiter.route()

    def _visit(self, hit: ServerHit, page: Hit, now_us: int) -> Visit:
        return Visit(
            page.request,
            self._clients.of_peer(hit.address),
            self._classifications[page.request.user_agent],
            now_us,
            self._pseudonyms.pseudonymiser(now_us // DAY_US),
        )

    def places_changed(self) -> None:
        """Look all places up again, as another geo file is in use."""
        self._clients.forget()

    def samples(self) -> list[Sample]:
        return SERVER_HITS.by_label(self._counts)


def deliver(
    results: list[Found], available: bool, to_visitors: Callable[[list[Found], bool], None]
) -> None:
    """Hand routes to those who wait for them: hits here, connections by `to_visitors`."""
    for_visitors: list[Found] = []
    for waiters, route in results:
        connections = []
        for waiter in waiters:
            if isinstance(waiter, PathWaiter):
                waiter.resolve(route, available)
            else:
                connections.append(waiter)
        if connections:
            for_visitors.append((connections, route))
    if for_visitors:
        to_visitors(for_visitors, available)

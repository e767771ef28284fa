"""A registry at work with profiles in memory, and visits of it as the visitor server makes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio
from trio.testing import wait_all_tasks_blocked

from actors.visits.changes import ChangePoller, follow_announcements
from actors.visits.registry import Found, Registry
from actors.visits.route import VisitRoute
from api.visits.pages.visit_responses import visit_responses
from api.visits.server_hits import deliver
from engine.common.errors import UnavailableError
from engine.links.profile import ProfileChange
from engine.visits.request import UNKNOWN_CLIENT, Visit, VisitRequest
from storage.visits.memory_announcer import MemoryAnnouncer, MemoryPubSub
from tests.kit.delayed_profiles import DelayedProfiles

POLL_S = 0.4


def plain_visit() -> Visit:
    return Visit(VisitRequest(b"/", b"", b"", b"", b"", False, True), UNKNOWN_CLIENT, 0, 1, None)


class RunningRegistry:
    """A registry with profiles in memory, and visits of it."""

    def __init__(self, *, max_links: int = 10_000, max_unknown: int = 1000) -> None:
        self.profiles = DelayedProfiles()
        self.channel = MemoryPubSub()
        self.announcer = MemoryAnnouncer(self.channel)
        self.poller = ChangePoller(self.profiles, POLL_S)
        self.registry = Registry(
            self.profiles,
            visit_responses("http://links.example"),
            max_links=max_links,
            max_unknown=max_unknown,
        )

    def deliver(self, results: list[Found], available: bool) -> None:
        deliver(results, available, self._call)

    def _call(self, results: list[Found], available: bool) -> None:
        for waiters, route in results:
            for waiter in waiters:
                waiter(route, available)

    async def visit(self, path: bytes) -> str | None:
        """Return the target of the path's link, or the page as text; None for 404.

        Raises UnavailableError for 503.
        """
        route = self.registry.paths.get(path)
        if route is None and self.registry.is_unknown(path):
            return None
        if route is None:
            done = trio.Event()
            delivered: list[tuple[VisitRoute | None, bool]] = []

            def waiter(route: VisitRoute | None, available: bool) -> None:
                delivered.append((route, available))
                done.set()

            if not self.registry.wait(path, waiter):
                raise UnavailableError("too many wait")
            await done.wait()
            ((route, available),) = delivered
            if not available:
                raise UnavailableError("away")
        if route is None:
            return None
        visit = plain_visit()
        tail, record = route.actor.visit(route, visit)
        if not record:  # an edge renders it in a thread, which virtual time does not wait for
            self.registry.page_renders.make(visit.wanted_page)
            tail, _ = route.actor.visit(route, visit)
        return route.target.decode() if route.status != 200 else tail.decode()

    async def announce(self, *changes: ProfileChange) -> None:
        await self.announcer.announce(changes)
        await wait_all_tasks_blocked()

    @property
    def counts(self) -> dict[str, int]:
        registry = self.registry
        return registry.counts | {
            "profiles": len(registry.profiles),
            "links": registry.links,
            "paths": len(registry.paths),
            "unknown_paths": registry.unknown_paths,
            "waiting": registry.waiting,
            "mailbox_refused": registry.dispatcher.refused,
        }


@asynccontextmanager
async def running_registry(
    *, polling: bool = False, **bounds: int
) -> AsyncIterator[RunningRegistry]:
    """Run a registry with its finder, dispatcher, sweep and announcements; with polling only if `polling`."""
    edge = RunningRegistry(**bounds)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(edge.registry.find, edge.deliver))
        for _ in range(2):
            nursery.start_soon(edge.registry.dispatcher.run_one)
        nursery.start_soon(edge.registry.sweep)
        nursery.start_soon(edge.registry.preloader.run)
        nursery.start_soon(follow_announcements, edge.announcer, edge.registry.changed)
        if polling:
            nursery.start_soon(edge.poller.run, edge.registry.changed)
        await wait_all_tasks_blocked()
        yield edge
        assert_consistent(edge.registry)
        nursery.cancel_scope.cancel()


def assert_consistent(registry: Registry) -> None:
    """Assert that counters and indexes agree with the actors."""
    actors = registry.profiles.values()
    assert registry.links == sum(len(actor.routes) for actor in actors)
    resident = {id(actor): actor for actor in actors}
    for path, route in registry.paths.items():
        assert id(route.actor) in resident, f"{path!r} leads to an actor that is gone"
        assert path in route.paths
        if route.status != 200:
            link_routes = list(resident[id(route.actor)].routes.values())
            assert any(each is route for each in link_routes), f"{path!r} leads to an old route"
    assert registry.waiting == 0

"""The registry and its profile actors: loads, news, races between both, and memory; in virtual time."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.visits import registry as registry_module
from actors.visits.changes import ChangePoller, follow_announcements
from actors.visits.mailbox import MAX_MESSAGES
from actors.visits.registry import FIND_INTERVAL_S, Found, Registry
from actors.visits.route import VisitRoute
from api.visits.responses import visit_responses
from engine.common.errors import ConflictError, UnavailableError
from engine.links.link import LinkDraft
from engine.links.ports import ImportRow
from engine.links.profile import MAX_WHOLE_LINKS, ProfileChange, ProfileDraft
from engine.visits.request import UNKNOWN_CLIENT, Visit, VisitRequest
from storage.visits.memory_announcer import MemoryAnnouncer, MemoryPubSub
from tests.kit.delayed_profiles import TENANT, HeldProfiles

POLL_S = 0.4
PLAIN = Visit(VisitRequest(b"/", b"", b"", b"", b"", False, True), UNKNOWN_CLIENT, 0, 1, None)


class Edge:
    """A registry at work, and what a door asks of it."""

    def __init__(self, *, max_links: int = 10_000, max_unknown: int = 1000) -> None:
        self.profiles = HeldProfiles()
        self.channel = MemoryPubSub()
        self.announcer = MemoryAnnouncer(self.channel)
        self.poller = ChangePoller(self.profiles, POLL_S)
        self.registry = Registry(
            self.profiles,
            visit_responses(secure=False),
            max_links=max_links,
            max_unknown=max_unknown,
        )

    def deliver(self, found: list[Found], available: bool) -> None:
        for waiters, route in found:
            for waiter in waiters:
                waiter(route, available)

    async def visit(self, path: bytes) -> str | None:
        """Where the path leads (a page's own path for a page), None for 404.

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
        tail, _ = route.actor.visit(route, PLAIN)
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
async def working(*, polling: bool = False, **bounds: int) -> AsyncIterator[Edge]:
    """An edge with a finder, runners, a sweep and announcements; with polling only if wanted."""
    edge = Edge(**bounds)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(edge.registry.find, edge.deliver))
        for _ in range(2):
            nursery.start_soon(edge.registry.dispatcher.run_one)
        nursery.start_soon(edge.registry.sweep)
        nursery.start_soon(follow_announcements, edge.announcer, edge.registry.changed)
        if polling:
            nursery.start_soon(edge.poller.run, edge.registry.changed)
        await wait_all_tasks_blocked()
        yield edge
        assert_consistent(edge.registry)
        nursery.cancel_scope.cancel()


def assert_consistent(registry: Registry) -> None:
    """Counters and indexes say the same as the actors."""
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


# ---- loads -----------------------------------------------------------------------------------------


async def test_a_profile_is_loaded_once_however_many_wait(autojump_clock: MockClock) -> None:
    async with working() as edge:
        await edge.profiles.made("shop", "a", "b")
        seen: list[str | None] = []

        async def visit(path: bytes) -> None:
            seen.append(await edge.visit(path))

        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(visit, (b"/shop/a", b"/shop/b", b"/a")[number % 3])
            await edge.profiles.is_holding()
            for _ in range(50):
                nursery.start_soon(visit, b"/shop/a")  # while the query runs
            await wait_all_tasks_blocked()
            edge.profiles.release()
        assert set(seen) == {"https://a.example/", "https://b.example/"}
        assert len(seen) == 350
        assert len(edge.profiles.asked) == 1
        assert sorted(edge.profiles.asked[0][1]) == [b"/a", b"/shop/a", b"/shop/b"]
        assert await edge.visit(b"/@shop")
        assert len(edge.profiles.asked) == 1
        assert edge.counts["loaded"] == 1


async def test_a_waiter_who_leaves_does_not_end_the_load_of_the_others(
    autojump_clock: MockClock,
) -> None:
    async with working() as edge:
        await edge.profiles.made("shop", "a")
        edge.profiles.hold()
        seen: list[str | None] = []

        async def visit(scope: trio.CancelScope) -> None:
            with scope:
                seen.append(await edge.visit(b"/shop/a"))

        scopes = [trio.CancelScope() for _ in range(5)]
        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(visit, scope)
            await edge.profiles.is_holding()
            for scope in scopes[:4]:
                scope.cancel()
            await wait_all_tasks_blocked()
            edge.profiles.release()
        assert seen == ["https://a.example/"]
        assert edge.counts["queries"] == 1


async def test_a_failure_reaches_all_who_wait_and_the_next_visit_loads(
    autojump_clock: MockClock,
) -> None:
    async with working() as edge:
        await edge.profiles.made("shop", "a")
        edge.profiles.away = True
        edge.profiles.hold()
        failed = 0

        async def visit() -> None:
            nonlocal failed
            with pytest.raises(UnavailableError):
                await edge.visit(b"/shop/a")
            failed += 1

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(visit)
            await edge.profiles.is_holding()
            edge.profiles.release()
        assert failed == 10
        assert edge.counts["unavailable"] == 1
        edge.profiles.away = False
        assert await edge.visit(b"/shop/a") == "https://a.example/"


async def test_too_many_who_wait_are_refused(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "MAX_WAITING", 4)
    async with working() as edge:
        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(edge.visit, b"/cold-%d" % number)
            await edge.profiles.is_holding()
            with pytest.raises(UnavailableError):
                await edge.visit(b"/cold")
            edge.profiles.release()
        assert edge.counts["refused"] == 1
        assert await edge.visit(b"/cold") is None


async def test_a_scan_reaches_the_store_at_a_bounded_rate_and_is_remembered_boundedly(
    autojump_clock: MockClock,
) -> None:
    async with working(max_unknown=1000) as edge:
        paths = [b"/scan-%d" % number for number in range(6000)]
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for path in paths:
                nursery.start_soon(edge.visit, path)
        times = [at for at, _ in edge.profiles.asked]
        assert len(times) == 6000 / registry_module.MAX_PATHS_A_QUERY
        assert times[0] == begun
        gaps = [after - before for before, after in pairwise(times)]
        assert min(gaps) == pytest.approx(FIND_INTERVAL_S)
        assert edge.counts["unknown_paths"] == 1000
        in_order = [path for _, asked in edge.profiles.asked for path in asked]
        for path in in_order[-1000:]:
            assert await edge.visit(path) is None
        assert len(edge.profiles.asked) == 12  # none of them asked again
        # One at a time it is no faster: what is asked again and again waits for its turn.
        for path in in_order[:50]:
            assert await edge.visit(path) is None
        assert edge.profiles.asked[-1][0] - times[-1] >= 49 * FIND_INTERVAL_S


async def test_a_large_profile_comes_link_by_link(autojump_clock: MockClock) -> None:
    async with working() as edge:
        rows = [
            ImportRow(n, "large", f"l{n}", f"https://l{n}.example/", "")
            for n in range(MAX_WHOLE_LINKS + 50)
        ]
        await edge.profiles.import_rows(TENANT, rows)
        for slug in ("l3", "l220"):
            assert await edge.visit(b"/large/" + slug.encode()) == f"https://{slug}.example/"
        assert (edge.counts["links"], edge.counts["profiles"]) == (2, 1)
        assert await edge.visit(b"/large/none") is None


# ---- news ------------------------------------------------------------------------------------------


async def test_an_announced_change_is_what_the_next_visitor_gets(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        assert await edge.visit(b"/shop/a") == "https://a.example/"
        assert await edge.visit(b"/shop/b") is None
        await edge.announce(await edge.profiles.retargeted(link, "https://two.example/"))
        assert await edge.visit(b"/shop/a") == await edge.visit(b"/a") == "https://two.example/"
        _, change = await edge.profiles.linked(profile_id, "b")
        await edge.announce(change)
        assert await edge.visit(b"/shop/b") == "https://b.example/"
        await edge.announce(await edge.profiles.delete_link(TENANT, link.id))
        assert await edge.visit(b"/shop/a") is await edge.visit(b"/a") is None
        assert "/shop/b" in (await edge.visit(b"/@shop") or "")
        assert "/shop/a" not in (await edge.visit(b"/@shop") or "")


async def test_a_new_profile_answers_where_unknown_paths_were_remembered(
    autojump_clock: MockClock,
) -> None:
    async with working() as edge:
        for path in (b"/@new", b"/new/a", b"/a"):
            assert await edge.visit(path) is None
        profile_id = await edge.profiles.made("new", "a")
        await edge.announce(ProfileChange(profile_id, 2))
        assert await edge.visit(b"/a") == await edge.visit(b"/new/a") == "https://a.example/"
        assert await edge.visit(b"/@new")


async def test_many_announcements_of_one_version_refresh_once(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop", "a")
        await edge.visit(b"/a")
        _, change = await edge.profiles.linked(profile_id, "b")
        await edge.announce(*[change] * 200)
        assert edge.profiles.refreshed == [profile_id]
        await edge.announce(change)  # as the poll says it once more
        assert edge.profiles.refreshed == [profile_id]


async def test_a_lost_announcement_is_found_within_a_second(autojump_clock: MockClock) -> None:
    async with working(polling=True) as edge:
        edge.channel.down = True
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        assert await edge.visit(b"/shop/a") == "https://a.example/"
        for number in range(20):
            target = f"https://t{number}.example/"
            await edge.announce(await edge.profiles.retargeted(link, target))
            edited = trio.current_time()
            while await edge.visit(b"/shop/a") != target:  # noqa: ASYNC110  # visitors just come
                await trio.sleep(0.01)
            assert trio.current_time() - edited < 1
            await trio.sleep(random.Random(number).random())
        unknown = await edge.visit(b"/later")
        assert unknown is None
        await edge.profiles.made("later", "later")
        await trio.sleep(POLL_S * 1.5)
        assert await edge.visit(b"/later") == "https://later.example/"


async def test_polling_goes_on_after_the_store_was_away(autojump_clock: MockClock) -> None:
    async with working(polling=True) as edge:
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        await edge.visit(b"/a")
        edge.profiles.away = True
        await trio.sleep(5)
        assert edge.poller.last_error == "the server is away"
        await edge.profiles.retargeted(link, "https://two.example/")
        assert await edge.visit(b"/a") == "https://a.example/"  # residents go on meanwhile
        edge.profiles.away = False
        await trio.sleep(1)
        assert await edge.visit(b"/a") == "https://two.example/"
        assert edge.poller.last_error == ""


async def test_a_refresh_that_failed_is_tried_until_it_succeeds(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        await edge.visit(b"/a")
        edge.profiles.away = True
        await edge.announce(await edge.profiles.retargeted(link, "https://two.example/"))
        await trio.sleep(3)
        assert await edge.visit(b"/a") == "https://a.example/"
        assert 3 < len(edge.profiles.refreshed) < 30
        edge.profiles.away = False
        await trio.sleep(0.5)
        assert await edge.visit(b"/a") == "https://two.example/"


async def test_news_during_a_refresh_is_caught_up_with(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        await edge.visit(b"/a")
        edge.profiles.hold()
        await edge.announce(await edge.profiles.retargeted(link, "https://two.example/"))
        await edge.profiles.is_holding()
        await edge.announce(await edge.profiles.retargeted(link, "https://three.example/"))
        edge.profiles.release()
        await wait_all_tasks_blocked()
        assert await edge.visit(b"/a") == "https://three.example/"


async def test_too_many_changes_doubt_everything(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        await edge.visit(b"/a")
        assert await edge.visit(b"/b") is None
        await edge.profiles.retargeted(link, "https://two.example/")
        await edge.profiles.linked(profile_id, "b")
        edge.registry.changed(None)
        assert await edge.visit(b"/a") == "https://two.example/"
        assert await edge.visit(b"/b") == "https://b.example/"


async def test_a_flood_of_news_for_one_profile_loses_nothing(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop", "a")
        await edge.visit(b"/a")
        assert await edge.visit(b"/z") is None
        edge.profiles.hold()
        for number in range(MAX_MESSAGES + 10):
            _, change = await edge.profiles.linked(profile_id, f"n{number}")
            await edge.announce(change)
        _, change = await edge.profiles.linked(profile_id, "z")
        await edge.announce(change)
        edge.profiles.release()
        await trio.sleep(1)
        assert await edge.visit(b"/z") == "https://z.example/"
        assert edge.counts["mailbox_refused"] >= 1


# ---- races of loads and news -----------------------------------------------------------------------


@pytest.mark.parametrize("news", ["announced", "too many to tell"])
async def test_what_changed_during_its_load_is_not_kept_as_it_was(
    autojump_clock: MockClock, news: str
) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop")
        link, _ = await edge.profiles.linked(profile_id, "a")
        edge.profiles.hold()
        seen: list[str | None] = []

        async def visit() -> None:
            seen.append(await edge.visit(b"/a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit)
            await edge.profiles.is_holding()  # the old target has been read
            change = await edge.profiles.retargeted(link, "https://two.example/")
            edge.registry.changed([change] if news == "announced" else None)
            edge.profiles.release()
        assert seen == ["https://two.example/"]
        assert await edge.visit(b"/shop/a") == "https://two.example/"


async def test_what_was_deleted_during_its_load_is_not_kept(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop", "a")
        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.visit, b"/a")
            await edge.profiles.is_holding()
            gone = await edge.profiles.delete_profile(TENANT, profile_id)
            await edge.announce(ProfileChange(profile_id, gone.version, True))
            edge.profiles.release()
        assert await edge.visit(b"/a") is await edge.visit(b"/@shop") is None
        assert edge.counts["profiles"] == 0


async def test_what_came_to_be_during_its_search_is_not_remembered_as_unknown(
    autojump_clock: MockClock,
) -> None:
    async with working() as edge:
        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.visit, b"/a")
            await edge.profiles.is_holding()
            profile_id = await edge.profiles.made("shop", "a")
            await edge.announce(ProfileChange(profile_id, 2))
            edge.profiles.release()
        assert await edge.visit(b"/a") == "https://a.example/"


async def test_news_for_one_that_is_passivated_first_makes_unknown_paths_doubtful(
    autojump_clock: MockClock,
) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop", "a")
        await edge.visit(b"/a")
        assert await edge.visit(b"/shop/b") is None
        edge.profiles.hold()
        _, change = await edge.profiles.linked(profile_id, "b")
        await edge.announce(change)
        await edge.profiles.is_holding()
        edge.registry._drop(list(edge.registry.profiles.values()))
        edge.profiles.release()
        assert await edge.visit(b"/shop/b") == "https://b.example/"


async def test_a_difference_too_large_to_tell_makes_unknown_paths_doubtful(
    autojump_clock: MockClock,
) -> None:
    async with working() as edge:
        edge.registry.refresh_limit = 20
        rows = [
            ImportRow(n, "large", f"l{n}", f"https://l{n}.example/", "")
            for n in range(MAX_WHOLE_LINKS + 50)
        ]
        await edge.profiles.import_rows(TENANT, rows)
        assert await edge.visit(b"/large/l1") == "https://l1.example/"
        assert await edge.visit(b"/large/new5") is None
        more = [
            ImportRow(n, "large", f"new{n}", f"https://new{n}.example/", "") for n in range(100)
        ]
        result = await edge.profiles.import_rows(TENANT, more)
        await edge.announce(*result.changes)
        assert await edge.visit(b"/large/new5") == "https://new5.example/"
        assert await edge.visit(b"/large/l1") == "https://l1.example/"


# ---- names that change hands -----------------------------------------------------------------------


async def test_a_renamed_profile_answers_on_its_new_handle_only(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("old", "a")
        await edge.visit(b"/old/a")
        assert await edge.visit(b"/new/a") is None
        renamed = await edge.profiles.update_profile(TENANT, profile_id, ProfileDraft(handle="new"))
        await edge.announce(ProfileChange(profile_id, renamed.version))
        assert await edge.visit(b"/new/a") == await edge.visit(b"/a") == "https://a.example/"
        assert await edge.visit(b"/@new")
        assert await edge.visit(b"/old/a") is await edge.visit(b"/@old") is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_handle_passes_from_one_profile_to_another(
    autojump_clock: MockClock, order: tuple[int, int]
) -> None:
    async with working() as edge:
        one = await edge.profiles.made("x", "a", title="One")
        two = await edge.profiles.made("y", "b", title="Two")
        assert "One" in (await edge.visit(b"/@x") or "")
        assert "Two" in (await edge.visit(b"/@y") or "")
        changes = []
        for profile_id, handle, title in ((one, "z", "One"), (two, "x", "Two")):
            draft = ProfileDraft(handle=handle, title=title)
            moved = await edge.profiles.update_profile(TENANT, profile_id, draft)
            changes.append(ProfileChange(profile_id, moved.version))
        for place in order:
            await edge.announce(changes[place])
        assert "Two" in (await edge.visit(b"/@x") or "")
        assert "One" in (await edge.visit(b"/@z") or "")
        assert await edge.visit(b"/@y") is None
        assert await edge.visit(b"/x/b") == "https://b.example/"
        assert await edge.visit(b"/x/a") is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_short_slug_passes_from_one_profile_to_another(
    autojump_clock: MockClock, order: tuple[int, int]
) -> None:
    async with working() as edge:
        one = await edge.profiles.made("one")
        two = await edge.profiles.made("two")
        first, _ = await edge.profiles.linked(one, "s", "https://one.example/")
        second, _ = await edge.profiles.linked(two, "s", "https://two.example/")
        for path, target in ((b"/s", "one"), (b"/one/s", "one"), (b"/two/s", "two")):
            assert await edge.visit(path) == f"https://{target}.example/"
        _, released = await edge.profiles.update_link(
            TENANT, first.id, LinkDraft(slug="s", target=first.target, short=False)
        )
        _, claimed = await edge.profiles.update_link(
            TENANT, second.id, LinkDraft(slug="s", target=second.target, short=True)
        )
        for place in order:
            await edge.announce((released, claimed)[place])
        for path, target in ((b"/s", "two"), (b"/one/s", "one"), (b"/two/s", "two")):
            assert await edge.visit(path) == f"https://{target}.example/"
        await edge.announce(await edge.profiles.delete_link(TENANT, second.id))
        assert await edge.visit(b"/s") is None


async def test_a_deleted_profile_is_gone_at_once(autojump_clock: MockClock) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop", "a")
        await edge.visit(b"/a")
        gone = await edge.profiles.delete_profile(TENANT, profile_id)
        await edge.announce(ProfileChange(profile_id, gone.version, True))
        for path in (b"/a", b"/shop/a", b"/@shop"):
            assert await edge.visit(path) is None
        assert (edge.counts["profiles"], edge.counts["links"], edge.counts["paths"]) == (0, 0, 0)
        again = await edge.profiles.made("shop", "a")  # by somebody else, perhaps
        await edge.announce(ProfileChange(again, 2))
        assert await edge.visit(b"/a") == "https://a.example/"


async def test_a_target_that_no_header_may_carry_costs_its_own_link_only(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with working() as edge:
        profile_id = await edge.profiles.made("shop", "a")
        await edge.profiles.linked(profile_id, "bad", "https://x.example/\r\nSet-Cookie: a=b")
        assert await edge.visit(b"/shop/bad") is None
        assert await edge.visit(b"/shop/a") == "https://a.example/"
        assert [r.event for r in caplog.records] == ["unsafe_target"]  # type: ignore[attr-defined]


# ---- memory ----------------------------------------------------------------------------------------


async def test_idle_profiles_passivate_under_the_bound_and_come_back(
    autojump_clock: MockClock,
) -> None:
    async with working(max_links=1000) as edge:
        for number in range(30):
            rows = [
                ImportRow(n, f"p{number}", f"l{n}-{number}", f"https://l{n}.example/", "")
                for n in range(100)
            ]
            await edge.profiles.import_rows(TENANT, rows)

        async def visit(*numbers: int) -> None:
            for number in numbers:
                path = b"/p%d/l7-%d" % (number, number)
                assert await edge.visit(path) == "https://l7.example/"

        for start in (0, 10, 20):
            await visit(*range(start, start + 10))
            await trio.sleep(1.1)
            assert edge.counts["links"] <= 1000
        assert edge.counts["passivated"] >= 20
        first = int(next(iter(edge.registry.profiles.values())).handle[1:])
        await visit(first, 0, 1)
        loaded = edge.counts["loaded"]
        await trio.sleep(1.1)
        assert edge.counts["links"] <= 1000
        await visit(first, 0, 1)
        assert edge.counts["loaded"] == loaded  # others were idle for longer
        assert edge.counts["profiles"] + edge.counts["passivated"] == loaded


async def test_pages_without_resident_links_are_bounded_too(autojump_clock: MockClock) -> None:
    async with working(max_links=1000, max_unknown=100) as edge:
        for number in range(3000):
            await edge.profiles.made(f"p{number}")
        for start in range(0, 3000, 500):
            async with trio.open_nursery() as nursery:
                for number in range(start, start + 500):
                    nursery.start_soon(edge.visit, b"/@p%d" % number)
        await trio.sleep(1.1)
        assert edge.counts["profiles"] <= 1000


# ---- any order -------------------------------------------------------------------------------------


async def change_something(edge: Edge, ids: list[int], dice: random.Random) -> ProfileChange | None:
    profile_id = dice.choice(ids)
    links = (await edge.profiles.list_links(TENANT, profile_id, 0, 100)).items
    draft = LinkDraft(
        slug=dice.choice("ab"),
        target=f"https://{dice.randrange(10**6)}.example/",
        short=dice.choice([None, True, False]),
    )
    try:
        match dice.choice(["link", "link", "delete", "handle"]):
            case "link" if not links or dice.random() < 0.4:
                return (await edge.profiles.create_link(TENANT, profile_id, draft))[1]
            case "link":
                link = dice.choice(links)
                return (await edge.profiles.update_link(TENANT, link.id, draft))[1]
            case "delete" if links:
                return await edge.profiles.delete_link(TENANT, dice.choice(links).id)
            case _:
                handle = ProfileDraft(handle=dice.choice("xyz"))
                profile = await edge.profiles.update_profile(TENANT, profile_id, handle)
                return ProfileChange(profile_id, profile.version)
    except ConflictError:
        return None


async def live_through(dice: random.Random) -> None:
    async with working(polling=True) as edge:
        ids = [await edge.profiles.made(handle) for handle in "xy"]
        paths = [b"/a", b"/b"]
        paths += [b"/%s/%s" % (h, s) for h in (b"x", b"y", b"z") for s in (b"a", b"b")]
        paths += [b"/@x", b"/@y", b"/@z"]

        async def visits() -> None:
            while True:
                await edge.visit(dice.choice(paths))
                await trio.sleep(dice.random() / 100)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(visits)
            for _ in range(25):
                edge.channel.down = dice.random() < 0.3
                change = await change_something(edge, ids, dice)
                if dice.random() < 0.2:
                    edge.profiles.hold()
                if change and dice.random() < 0.8:
                    nursery.start_soon(edge.announcer.announce, [change])
                if dice.random() < 0.1 and edge.registry.profiles:
                    edge.registry._drop([dice.choice(list(edge.registry.profiles.values()))])
                await trio.sleep(dice.random() / 50)
                if dice.random() < 0.7:
                    edge.profiles.release()
            edge.profiles.release()
            await trio.sleep(2 * POLL_S)
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            while edge.counts["waiting"]:  # noqa: ASYNC110  # nobody is told
                await trio.sleep(0.01)
        for path in paths:
            await sees_what_is_stored(edge, path)


async def sees_what_is_stored(edge: Edge, path: bytes) -> None:
    truth = edge.profiles._resolve(path)
    seen = await edge.visit(path)
    if truth is None:
        assert seen is None, path
    elif truth[1] is None:
        assert seen is not None, path
        assert f"<title>@{truth[0].profile.handle}</title>" in seen
    else:
        assert seen == truth[1].target, path


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_after_any_story_visitors_get_what_is_stored(seed: int) -> None:
    trio.run(partial(live_through, random.Random(seed)), clock=MockClock(autojump_threshold=0))

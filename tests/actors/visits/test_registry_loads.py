"""Loads of cold profiles: once for all who wait, bounded, and passivated again; in virtual time."""

import time
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.visits import registry as registry_module
from actors.visits.profile import ProfileActor
from actors.visits.registry import (
    FIND_INTERVAL_S,
    LINKS_PER_WAITER,
    MAX_WAITERS_A_PART,
    Found,
    Registry,
)
from api.visits.pages.visit_responses import visit_responses
from engine.common.errors import UnavailableError
from engine.links.ports import ImportRow
from engine.links.profile import MAX_WHOLE_LINKS, ProfileChange
from engine.links.rules import LinkRule, RuleConditions
from tests.kit.delayed_profiles import TENANT, DelayedProfiles
from tests.kit.running_registry import running_registry


async def test_a_profile_is_loaded_once_however_many_wait(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        await edge.profiles.add_profile("shop", "a", "b")
        targets: list[str | None] = []

        async def visit(path: bytes) -> None:
            targets.append(await edge.visit(path))

        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            for number in range(300):
                nursery.start_soon(visit, (b"/shop/a", b"/shop/b", b"/a")[number % 3])
            await edge.profiles.wait_until_held()
            for _ in range(50):
                nursery.start_soon(visit, b"/shop/a")  # while the query runs
            await wait_all_tasks_blocked()
            edge.profiles.release()
        assert set(targets) == {"https://a.example/", "https://b.example/"}
        assert len(targets) == 350
        assert len(edge.profiles.queries) == 1
        assert sorted(edge.profiles.queries[0][1]) == [b"/a", b"/shop/a", b"/shop/b"]
        assert await edge.visit(b"/@shop")
        assert len(edge.profiles.queries) == 1
        assert edge.counts["loaded"] == 1


async def test_a_look_up_is_handed_back_in_parts_between_which_others_run(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        for number in range(100):
            await edge.profiles.add_profile(f"p{number}", *(f"{number}-{n}" for n in range(5)))
        parts: list[tuple[int, int, int]] = []  # (waiters, profiles in memory, ticks so far)
        ticks = 0
        hand_back = edge._call

        def spy(results: list[Found], available: bool) -> None:
            waiters = sum(len(waiters) for waiters, _ in results)
            parts.append((waiters, len(edge.registry.profiles), ticks))
            hand_back(results, available)

        edge._call = spy  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            for number in range(400):
                nursery.start_soon(edge.visit, f"/p{number % 100}/{number % 100}-0".encode())
            for _ in range(400):
                nursery.start_soon(edge.visit, b"/p0/0-1")
            while sum(waiters for waiters, _, _ in parts) < 800:
                await trio.lowlevel.checkpoint()
                ticks += 1
        assert sum(waiters for waiters, _, _ in parts) == 800
        assert max(waiters for waiters, _, _ in parts) <= MAX_WAITERS_A_PART
        loaded = [after - before for (_, before, _), (_, after, _) in pairwise(parts)]
        assert max(loaded) <= 1 + LINKS_PER_WAITER * MAX_WAITERS_A_PART // 5
        assert len({ticks for _, _, ticks in parts}) >= len(parts) // 2


async def test_who_waits_while_a_profile_leaves_between_two_parts_is_looked_up_again(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        shop = await edge.profiles.add_profile("shop", "a")
        hand_back = edge._call

        def drop_and_hand_back(results: list[Found], available: bool) -> None:
            if len(edge.profiles.queries) == 1:
                edge.registry.changed([ProfileChange(shop, 99, deleted=True)])
            hand_back(results, available)

        edge._call = drop_and_hand_back  # type: ignore[method-assign]
        targets: list[str | None] = []

        async def visit() -> None:
            targets.append(await edge.visit(b"/shop/a"))

        async with trio.open_nursery() as nursery:
            for _ in range(MAX_WAITERS_A_PART + 5):
                nursery.start_soon(visit)
        assert targets == ["https://a.example/"] * (MAX_WAITERS_A_PART + 5)
        assert len(edge.profiles.queries) == 2


async def test_large_targets_take_the_place_of_several_links(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        shop = await edge.profiles.add_profile("shop", "a", "b")
        assert await edge.visit(b"/shop/a")
        (actor,) = edge.registry.profiles.values()
        assert actor.resident_links() == 2
        rules = (
            LinkRule(
                when=RuleConditions(device=("phone",)), target=f"https://r.example/{'x' * 8_000}"
            ),
        )
        link, change = await edge.profiles.add_link(
            shop, "c", f"https://c.example/{'x' * 30_000}", rules=rules
        )
        await edge.announce(change)
        assert actor.resident_links() == 3 + (2 * 30_000 + 2 * 8_000) // 2_048
        await edge.announce(await edge.profiles.delete_link(TENANT, link.id))
        assert actor.resident_links() == 2


async def test_a_waiter_who_leaves_does_not_end_the_load_of_the_others(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        await edge.profiles.add_profile("shop", "a")
        edge.profiles.hold()
        targets: list[str | None] = []

        async def visit(scope: trio.CancelScope) -> None:
            with scope:
                targets.append(await edge.visit(b"/shop/a"))

        scopes = [trio.CancelScope() for _ in range(5)]
        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(visit, scope)
            await edge.profiles.wait_until_held()
            for scope in scopes[:4]:
                scope.cancel()
            await wait_all_tasks_blocked()
            edge.profiles.release()
        assert targets == ["https://a.example/"]
        assert edge.counts["queries"] == 1


async def test_a_failure_reaches_all_who_wait_and_the_next_visit_loads(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        await edge.profiles.add_profile("shop", "a")
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
            await edge.profiles.wait_until_held()
            edge.profiles.release()
        assert failed == 10
        assert edge.counts["unavailable"] == 1
        edge.profiles.away = False
        assert await edge.visit(b"/shop/a") == "https://a.example/"


async def test_too_many_who_wait_are_refused(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "MAX_WAITING", 4)
    async with running_registry() as edge:
        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(edge.visit, b"/cold-%d" % number)
            await edge.profiles.wait_until_held()
            with pytest.raises(UnavailableError):
                await edge.visit(b"/cold")
            edge.profiles.release()
        assert edge.counts["refused"] == 1
        assert await edge.visit(b"/cold") is None


async def test_a_scan_reaches_the_store_at_a_bounded_rate_and_is_remembered_boundedly(
    autojump_clock: MockClock,
) -> None:
    async with running_registry(max_unknown=1000) as edge:
        paths = [b"/scan-%d" % number for number in range(6000)]
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            for path in paths:
                nursery.start_soon(edge.visit, path)
        times = [at for at, _ in edge.profiles.queries]
        assert len(times) == 6000 / registry_module.MAX_PATHS_A_QUERY
        assert times[0] == begun
        gaps = [after - before for before, after in pairwise(times)]
        assert min(gaps) == pytest.approx(FIND_INTERVAL_S)
        assert edge.counts["unknown_paths"] == 1000
        in_order = [path for _, queried in edge.profiles.queries for path in queried]
        for path in in_order[-1000:]:
            assert await edge.visit(path) is None
        assert len(edge.profiles.queries) == 12  # none of them is looked up again
        # One after the other they are no faster: each waits for the next query.
        for path in in_order[:50]:
            assert await edge.visit(path) is None
        assert edge.profiles.queries[-1][0] - times[-1] >= 49 * FIND_INTERVAL_S


async def test_a_large_profile_comes_link_by_link(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        rows = [
            ImportRow(n, "large", f"l{n}", f"https://l{n}.example/", "")
            for n in range(MAX_WHOLE_LINKS + 50)
        ]
        await edge.profiles.import_rows(TENANT, rows)
        for slug in ("l3", "l220"):
            assert await edge.visit(b"/large/" + slug.encode()) == f"https://{slug}.example/"
        assert (edge.counts["links"], edge.counts["profiles"]) == (2, 1)
        assert await edge.visit(b"/large/none") is None


async def test_a_sweep_drops_few_profiles_at_a_time(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visitors wait for each step, and are let in before the next."""
    steps: list[int] = []
    drop = Registry._drop

    def noted_drop(edge: Registry, actors: list[ProfileActor]) -> None:
        steps.append(len(actors))
        drop(edge, actors)

    monkeypatch.setattr(registry_module, "_SWEEP_PROFILES", 8)
    monkeypatch.setattr(Registry, "_drop", noted_drop)
    async with running_registry(max_links=1000) as edge:
        for number in range(110):
            name = f"p{number}"
            rows = [ImportRow(n, name, f"l{n}", "https://l.example/", "") for n in range(10)]
            await edge.profiles.import_rows(TENANT, rows)
            assert await edge.visit(b"/%b/l7" % name.encode()) is not None
        await trio.sleep(1.1)
        assert edge.counts["links"] <= 1000
    assert max(steps) <= 8
    assert sum(steps) >= 10


def test_the_oldest_of_many_unknown_paths_is_found_at_once() -> None:
    """Scans of random paths fill that memory, and each path more has the oldest forgotten."""
    edge = Registry(
        DelayedProfiles(), visit_responses("http://x"), max_links=10, max_unknown=50_000
    )
    seconds = []
    for part in range(17):
        began = time.process_time()
        for number in range(5_000):
            edge._remember_unknown(b"/%d-%d" % (part, number))
        seconds.append(time.process_time() - began)
    assert edge.unknown_paths == 50_000
    assert min(seconds[-2:]) < 20 * min(seconds[:4])


async def test_idle_profiles_passivate_under_the_bound_and_come_back(
    autojump_clock: MockClock,
) -> None:
    async with running_registry(max_links=1000) as edge:
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
    async with running_registry(max_links=1000, max_unknown=100) as edge:
        for number in range(3000):
            await edge.profiles.add_profile(f"p{number}")
        for start in range(0, 3000, 500):
            async with trio.open_nursery() as nursery:
                for number in range(start, start + 500):
                    nursery.start_soon(edge.visit, b"/@p%d" % number)
        await trio.sleep(1.1)
        assert edge.counts["profiles"] <= 1000

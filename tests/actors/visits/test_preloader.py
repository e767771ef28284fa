"""Links of large profiles, loaded ahead of their visitors: bounded, current, and in nobody's way."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.visits import preloader as preloader_module
from actors.visits.preloader import MIN_LOOKUPS, PRELOADED_PER_LINK
from actors.visits.registry import PRELOADED_SHARE
from engine.links.ports import ImportRow
from engine.links.profile import ProfileChange
from tests.kit.delayed_profiles import TENANT
from tests.kit.running_registry import RunningRegistry, running_registry

LINKS = 1000


async def import_links(edge: RunningRegistry, handle: str = "large", count: int = LINKS) -> int:
    """Return the id of a profile with links that lead to https://l{n}.example/."""
    rows = [
        ImportRow(n, handle, f"{handle}{n}", f"https://l{n}.example/", "") for n in range(count)
    ]
    return (await edge.profiles.import_rows(TENANT, rows)).changes[0].profile_id


async def visit(edge: RunningRegistry, *numbers: int, handle: str = "large") -> None:
    async with trio.open_nursery() as nursery:
        for number in numbers:
            nursery.start_soon(visit_one, edge, handle, number)


async def visit_one(edge: RunningRegistry, handle: str, number: int) -> None:
    path = f"/{handle}/{handle}{number}".encode()
    assert await edge.visit(path) == f"https://l{number}.example/"


async def test_links_come_ahead_once_many_were_looked_up(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        await import_links(edge)
        await visit(edge, *range(MIN_LOOKUPS - 1))
        await trio.sleep(2)
        await visit(edge, *range(20, 20 + MIN_LOOKUPS - 1))  # as few, in another second
        await trio.sleep(2)
        assert edge.counts["preloaded"] == 0
        await visit(edge, *range(900, 1000))
        await trio.sleep(1)
        assert 300 <= edge.counts["preloaded"] <= 100 * PRELOADED_PER_LINK
        await visit(edge, *range(300, 700))
        await trio.sleep(1)
        assert edge.counts["links"] == LINKS
        queries = edge.counts["queries"]
        await visit(edge, *range(LINKS))
        assert edge.counts["queries"] == queries
        assert edge.registry.paths[b"/large0"] is edge.registry.paths[b"/large/large0"]


async def test_a_visitor_who_waits_is_answered_by_what_came_meanwhile(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        await import_links(edge)
        await visit(edge, *range(100, 200))
        queried = len(edge.profiles.queries)
        await visit(edge, *range(100))
        await trio.sleep(1)
        looked_up = [path for _, paths in edge.profiles.queries[queried:] for path in paths]
        assert len(looked_up) < 100
        assert edge.counts["waiting"] == 0


async def test_links_ahead_make_no_other_profile_leave(autojump_clock: MockClock) -> None:
    async with running_registry(max_links=3200) as edge:
        await import_links(edge)
        for numbers in (range(100), range(900, 950)):
            await visit(edge, *numbers)
            await trio.sleep(2)
            assert edge.counts["preloaded"] == 3200 // PRELOADED_SHARE - 100
        for number in range(13):
            await import_links(edge, f"small{number}-", 190)
            await visit(edge, 3, handle=f"small{number}-")
        await import_links(edge, "second")
        await visit(edge, *range(50), handle="second")
        await trio.sleep(2)
        assert edge.counts["preloaded"] == 3200 // PRELOADED_SHARE - 100
        assert edge.counts["passivated"] == 0


async def test_links_of_an_older_version_are_not_taken(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await import_links(edge)
        edge.profiles.hold_preloads()
        await visit(edge, *range(100))
        await edge.profiles.wait_until_held()
        links = (await edge.profiles.list_links(TENANT, profile_id, 0, 1000)).items
        link, deleted = links[150], links[160]
        await edge.announce(await edge.profiles.retarget(link, "https://new.example/"))
        await edge.announce(await edge.profiles.delete_link(TENANT, deleted.id))
        edge.profiles.release()
        await trio.sleep(1)
        assert await edge.visit(f"/large/{link.slug}".encode()) == "https://new.example/"
        assert await edge.visit(f"/{link.slug}".encode()) == "https://new.example/"
        assert await edge.visit(f"/large/{deleted.slug}".encode()) is None


async def test_links_of_a_profile_that_has_gone_are_not_taken(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await import_links(edge)
        edge.profiles.hold_preloads()
        await visit(edge, *range(100))
        await edge.profiles.wait_until_held()
        deleted = await edge.profiles.delete_profile(TENANT, profile_id)
        await edge.announce(ProfileChange(profile_id, deleted.version + 1, True))
        edge.profiles.release()
        await trio.sleep(1)
        assert (edge.counts["links"], edge.counts["paths"]) == (0, 0)
        assert await edge.visit(b"/large/large700") is None


async def test_a_short_slug_stays_with_its_new_owner(autojump_clock: MockClock) -> None:
    """The links were read before the slug changed hands, and no announcement came."""
    async with running_registry() as edge:
        profile_id = await import_links(edge)
        await visit(edge, *range(100))
        links = (await edge.profiles.list_links(TENANT, profile_id, 0, 1000)).items
        actor = edge.registry.profiles[profile_id]
        batch = await edge.profiles.following_links(1, profile_id, 0, LINKS)
        slug = next(
            link.slug for link in links if b"/" + link.slug.encode() not in edge.registry.paths
        )
        link = next(link for link in links if link.slug == slug)
        await edge.profiles.delete_link(TENANT, link.id)
        await edge.profiles.add_profile("owner", slug)
        path = f"/{slug}".encode()
        assert await edge.visit(path) == f"https://{slug}.example/"
        assert edge.registry._admit_following(actor, batch)
        assert await edge.visit(path) == f"https://{slug}.example/"
        edge.registry.changed([ProfileChange(profile_id, actor.version + 1)])
        await trio.sleep(1)
        assert await edge.visit(path) == f"https://{slug}.example/"
        assert await edge.visit(b"/large/" + slug.encode()) is None


async def test_the_preloader_outlives_a_server_that_is_away(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        await import_links(edge)
        await visit(edge, *range(100))
        edge.profiles.away = True
        await trio.sleep(1)
        before = edge.counts["preloaded"]
        edge.profiles.away = False
        await trio.sleep(2)
        assert edge.counts["preloaded"] == before  # nobody asks for more
        await visit(edge, *range(600, 900))
        await trio.sleep(1)
        assert edge.counts["preloaded"] > before


async def test_few_profiles_are_observed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preloader_module, "MAX_PROFILES", 3)
    async with running_registry() as edge:
        for number in range(6):
            await import_links(edge, f"p{number}-", 210)
            await visit(edge, 1, handle=f"p{number}-")
            assert len(edge.registry.preloader._profiles) <= 3
        await wait_all_tasks_blocked()

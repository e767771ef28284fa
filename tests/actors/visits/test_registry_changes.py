"""Changes of profiles: announced, polled, lost, and in a race with a load; in virtual time."""

import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.visits.mailbox import MAX_MESSAGES
from engine.links.ports import ImportRow
from engine.links.profile import MAX_WHOLE_LINKS, ProfileChange
from tests.kit.delayed_profiles import TENANT
from tests.kit.running_registry import POLL_S, running_registry


async def test_an_announced_change_is_what_the_next_visitor_gets(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        assert await edge.visit(b"/shop/a") == "https://a.example/"
        assert await edge.visit(b"/shop/b") is None
        await edge.announce(await edge.profiles.retarget(link, "https://two.example/"))
        assert await edge.visit(b"/shop/a") == await edge.visit(b"/a") == "https://two.example/"
        _, change = await edge.profiles.add_link(profile_id, "b")
        await edge.announce(change)
        assert await edge.visit(b"/shop/b") == "https://b.example/"
        await edge.announce(await edge.profiles.delete_link(TENANT, link.id))
        assert await edge.visit(b"/shop/a") is await edge.visit(b"/a") is None
        assert "/shop/b" in (await edge.visit(b"/@shop") or "")
        assert "/shop/a" not in (await edge.visit(b"/@shop") or "")


async def test_a_new_profile_answers_where_unknown_paths_were_remembered(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        for path in (b"/@new", b"/new/a", b"/a"):
            assert await edge.visit(path) is None
        profile_id = await edge.profiles.add_profile("new", "a")
        await edge.announce(ProfileChange(profile_id, 2))
        assert await edge.visit(b"/a") == await edge.visit(b"/new/a") == "https://a.example/"
        assert await edge.visit(b"/@new")


async def test_many_announcements_of_one_version_refresh_once(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        await edge.visit(b"/a")
        _, change = await edge.profiles.add_link(profile_id, "b")
        await edge.announce(*[change] * 200)
        assert edge.profiles.refreshed == [profile_id]
        await edge.announce(change)  # as the poll says it once more
        assert edge.profiles.refreshed == [profile_id]


async def test_a_lost_announcement_is_found_within_a_second(autojump_clock: MockClock) -> None:
    async with running_registry(polling=True) as edge:
        edge.channel.down = True
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        assert await edge.visit(b"/shop/a") == "https://a.example/"
        for number in range(20):
            target = f"https://t{number}.example/"
            await edge.announce(await edge.profiles.retarget(link, target))
            edited = trio.current_time()
            while await edge.visit(b"/shop/a") != target:  # noqa: ASYNC110  # visitors just come
                await trio.sleep(0.01)
            assert trio.current_time() - edited < 1
            await trio.sleep(random.Random(number).random())
        unknown = await edge.visit(b"/later")
        assert unknown is None
        await edge.profiles.add_profile("later", "later")
        await trio.sleep(POLL_S * 1.5)
        assert await edge.visit(b"/later") == "https://later.example/"


async def test_polling_goes_on_after_the_store_was_away(autojump_clock: MockClock) -> None:
    async with running_registry(polling=True) as edge:
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        await edge.visit(b"/a")
        edge.profiles.away = True
        await trio.sleep(5)
        assert edge.poller.last_error == "the server is away"
        await edge.profiles.retarget(link, "https://two.example/")
        assert await edge.visit(b"/a") == "https://a.example/"  # residents go on meanwhile
        edge.profiles.away = False
        await trio.sleep(1)
        assert await edge.visit(b"/a") == "https://two.example/"
        assert edge.poller.last_error == ""


async def test_a_refresh_that_failed_is_tried_until_it_succeeds(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        await edge.visit(b"/a")
        edge.profiles.away = True
        await edge.announce(await edge.profiles.retarget(link, "https://two.example/"))
        await trio.sleep(3)
        assert await edge.visit(b"/a") == "https://a.example/"
        assert 3 < len(edge.profiles.refreshed) < 30
        edge.profiles.away = False
        await trio.sleep(0.5)
        assert await edge.visit(b"/a") == "https://two.example/"


async def test_a_change_during_a_refresh_is_caught_up_with(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        await edge.visit(b"/a")
        edge.profiles.hold()
        await edge.announce(await edge.profiles.retarget(link, "https://two.example/"))
        await edge.profiles.wait_until_held()
        await edge.announce(await edge.profiles.retarget(link, "https://three.example/"))
        edge.profiles.release()
        await wait_all_tasks_blocked()
        assert await edge.visit(b"/a") == "https://three.example/"


async def test_too_many_changes_drop_everything(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        await edge.visit(b"/a")
        assert await edge.visit(b"/b") is None
        await edge.profiles.retarget(link, "https://two.example/")
        await edge.profiles.add_link(profile_id, "b")
        edge.registry.changed(None)
        assert await edge.visit(b"/a") == "https://two.example/"
        assert await edge.visit(b"/b") == "https://b.example/"


async def test_a_flood_of_changes_of_one_profile_loses_nothing(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        await edge.visit(b"/a")
        assert await edge.visit(b"/z") is None
        edge.profiles.hold()
        for number in range(MAX_MESSAGES + 10):
            _, change = await edge.profiles.add_link(profile_id, f"n{number}")
            await edge.announce(change)
        _, change = await edge.profiles.add_link(profile_id, "z")
        await edge.announce(change)
        edge.profiles.release()
        await trio.sleep(1)
        assert await edge.visit(b"/z") == "https://z.example/"
        assert edge.counts["mailbox_refused"] >= 1


@pytest.mark.parametrize("changes", ["announced", "too many to list"])
async def test_a_profile_changed_during_its_load_is_loaded_again(
    autojump_clock: MockClock, changes: str
) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        link, _ = await edge.profiles.add_link(profile_id, "a")
        edge.profiles.hold()
        targets: list[str | None] = []

        async def visit() -> None:
            targets.append(await edge.visit(b"/a"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit)
            await edge.profiles.wait_until_held()  # the old target has been read
            change = await edge.profiles.retarget(link, "https://two.example/")
            edge.registry.changed([change] if changes == "announced" else None)
            edge.profiles.release()
        assert targets == ["https://two.example/"]
        assert await edge.visit(b"/shop/a") == "https://two.example/"


async def test_a_profile_deleted_during_its_load_is_not_kept(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.visit, b"/a")
            await edge.profiles.wait_until_held()
            gone = await edge.profiles.delete_profile(TENANT, profile_id)
            await edge.announce(ProfileChange(profile_id, gone.version, True))
            edge.profiles.release()
        assert await edge.visit(b"/a") is await edge.visit(b"/@shop") is None
        assert edge.counts["profiles"] == 0


async def test_a_path_created_during_its_search_is_not_remembered_as_unknown(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        edge.profiles.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(edge.visit, b"/a")
            await edge.profiles.wait_until_held()
            profile_id = await edge.profiles.add_profile("shop", "a")
            await edge.announce(ProfileChange(profile_id, 2))
            edge.profiles.release()
        assert await edge.visit(b"/a") == "https://a.example/"


async def test_a_change_of_a_profile_passivated_first_invalidates_unknown_paths(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        await edge.visit(b"/a")
        assert await edge.visit(b"/shop/b") is None
        edge.profiles.hold()
        _, change = await edge.profiles.add_link(profile_id, "b")
        await edge.announce(change)
        await edge.profiles.wait_until_held()
        edge.registry._drop(list(edge.registry.profiles.values()))
        edge.profiles.release()
        assert await edge.visit(b"/shop/b") == "https://b.example/"


async def test_a_difference_too_large_to_list_invalidates_unknown_paths(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
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

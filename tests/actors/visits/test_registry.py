"""Names that pass from one profile to another, and any order of changes, visits and loads."""

import random
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.common.errors import ConflictError
from engine.links.link import LinkDraft
from engine.links.profile import ProfileChange, ProfileDraft
from tests.kit.delayed_profiles import TENANT
from tests.kit.running_registry import POLL_S, RunningRegistry, running_registry


async def test_a_renamed_profile_answers_on_its_new_handle_only(autojump_clock: MockClock) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("old", "a")
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
    async with running_registry() as edge:
        first_id = await edge.profiles.add_profile("x", "a", title="One")
        second_id = await edge.profiles.add_profile("y", "b", title="Two")
        assert "One" in (await edge.visit(b"/@x") or "")
        assert "Two" in (await edge.visit(b"/@y") or "")
        changes = []
        for profile_id, handle, title in ((first_id, "z", "One"), (second_id, "x", "Two")):
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
    async with running_registry() as edge:
        first_id = await edge.profiles.add_profile("one")
        second_id = await edge.profiles.add_profile("two")
        first, _ = await edge.profiles.add_link(first_id, "s", "https://one.example/")
        second, _ = await edge.profiles.add_link(second_id, "s", "https://two.example/")
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
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        await edge.visit(b"/a")
        gone = await edge.profiles.delete_profile(TENANT, profile_id)
        await edge.announce(ProfileChange(profile_id, gone.version, True))
        for path in (b"/a", b"/shop/a", b"/@shop"):
            assert await edge.visit(path) is None
        assert (edge.counts["profiles"], edge.counts["links"], edge.counts["paths"]) == (0, 0, 0)
        new_id = await edge.profiles.add_profile("shop", "a")  # perhaps by another member
        await edge.announce(ProfileChange(new_id, 2))
        assert await edge.visit(b"/a") == "https://a.example/"


async def test_a_target_that_no_header_may_carry_costs_its_own_link_only(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        await edge.profiles.add_link(profile_id, "bad", "https://x.example/\r\nSet-Cookie: a=b")
        assert await edge.visit(b"/shop/bad") is None
        assert await edge.visit(b"/shop/a") == "https://a.example/"
        assert [r.event for r in caplog.records] == ["unsafe_target"]  # type: ignore[attr-defined]


async def change_something(
    edge: RunningRegistry, ids: list[int], dice: random.Random
) -> ProfileChange | None:
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
    async with running_registry(polling=True) as edge:
        ids = [await edge.profiles.add_profile(handle) for handle in "xy"]
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
            while edge.counts["waiting"]:  # noqa: ASYNC110  # nothing announces it
                await trio.sleep(0.01)
        for path in paths:
            await sees_what_is_stored(edge, path)


async def sees_what_is_stored(edge: RunningRegistry, path: bytes) -> None:
    truth = edge.profiles._resolve(path)
    result = await edge.visit(path)
    if truth is None:
        assert result is None, path
    elif truth[1] is None:
        assert result is not None, path
        assert f"<title>@{truth[0].profile.handle}</title>" in result
    else:
        assert result == truth[1].target, path


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_after_any_story_visitors_get_the_stored_links(seed: int) -> None:
    trio.run(partial(live_through, random.Random(seed)), clock=MockClock(autojump_threshold=0))

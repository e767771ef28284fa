"""Random changes: differences lead to the snapshot that find() returns, in both twins alike."""

import random
from functools import partial

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.accounts.access import Caller
from engine.common.errors import ConflictError
from engine.links.link import LinkDraft
from engine.links.ports import ProfileStore
from engine.links.profile import ProfileDraft
from engine.visits.ports import SnapshotSource
from engine.visits.snapshot import Snapshot
from storage.accounts.keys import ensure_owner
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.visits.snapshots import PostgresSnapshotSource
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase, opened, second_owner


def applied(snapshot: Snapshot, difference: Snapshot) -> Snapshot:
    links = {link.id: link for link in snapshot.links if link.id not in difference.removed}
    links |= {link.id: link for link in difference.links}
    ordered = tuple(links[link_id] for link_id in sorted(links))
    return msgspec.structs.replace(difference, links=ordered, since=None, removed=())


async def change_something(
    profiles: ProfileStore, caller: Caller, profile_id: int, dice: random.Random
) -> None:
    links = (await profiles.list_links(caller, profile_id, 0, 100)).items
    slug = dice.choice("abcdef")
    short = dice.choice([None, True, False])
    status = dice.choice([301, 302])
    draft = LinkDraft(slug=slug, target="https://example.com/", status=status, short=short)
    try:
        match (
            dice.choice(["create", "create", "update", "delete", "profile"]) if links else "create"
        ):
            case "create":
                await profiles.create_link(caller, profile_id, draft)
            case "update":
                await profiles.update_link(caller, dice.choice(links).id, draft)
            case "delete":
                await profiles.delete_link(caller, dice.choice(links).id)
            case _:
                handle = dice.choice(["demo", "demo2"])
                await profiles.update_profile(caller, profile_id, ProfileDraft(handle=handle))
    except ConflictError:
        pass


async def follow(
    profiles: ProfileStore, source: SnapshotSource, caller: Caller, dice: random.Random, steps: int
) -> None:
    profile = await profiles.create_profile(caller, ProfileDraft(handle="demo"))
    (snapshot,) = await source.find([b"/@demo"])
    assert snapshot is not None
    for _ in range(steps):
        for _ in range(dice.randrange(3)):
            await change_something(profiles, caller, profile.id, dice)
        difference = await source.refresh(profile.id, snapshot.version, 100)
        assert difference is not None
        snapshot = applied(snapshot, difference)
        assert [snapshot] == await source.find([f"/@{snapshot.handle}".encode()])


@given(st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_differences_lead_to_the_whole_snapshot_in_memory(dice: random.Random) -> None:
    memory = MemoryProfiles()
    trio.run(partial(follow, memory, memory, Caller(1, 1), dice, 20))


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
@pytest.mark.parametrize("seed", [1, 2])
async def test_differences_lead_to_the_whole_snapshot_in_postgres(
    open_database: OpenDatabase, seed: int
) -> None:
    app, edge = await open_database("waypost_app"), await open_database("waypost_edge")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    await follow(
        PostgresProfileStore(app),
        PostgresSnapshotSource(edge),
        owner.caller,
        random.Random(seed),
        30,
    )


@given(st.integers(0, 2**32))
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.slow
def test_both_twins_return_equal_snapshots(database_url: str, seed: int) -> None:
    async def play(profiles: ProfileStore, source: SnapshotSource, caller: Caller) -> list[object]:
        dice = random.Random(seed)
        observations: list[object] = []
        profile = await profiles.create_profile(caller, ProfileDraft(handle=f"p{seed}"))
        for _ in range(25):
            await change_something(profiles, caller, profile.id, dice)
            difference = await source.refresh(profile.id, 1, 100)
            assert difference is not None
            fields = [(link.slug, link.status, link.short) for link in difference.links]
            page = [msgspec.structs.replace(link, id=0) for link in difference.page]
            observations.append(
                (difference.version, difference.handle, fields, len(difference.removed), page)
            )
        await profiles.delete_profile(caller, profile.id)
        return observations

    async def compare() -> None:
        memory = MemoryProfiles()
        async with opened(database_url) as open_role:
            app, edge = await open_role("waypost_app"), await open_role("waypost_edge")
            stored = await play(
                PostgresProfileStore(app),
                PostgresSnapshotSource(edge),
                await second_owner(database_url),
            )
        assert stored == await play(memory, memory, Caller(1, 1))

    hosted_run(compare)

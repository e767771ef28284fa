"""Annotations, saved questions and goals: one contract, in memory and in Postgres."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import ConflictError, ForbiddenError, LostUpdateError, NotFoundError
from engine.links.profile import Profile, ProfileDraft
from engine.stats.dashboards.goal import GoalDraft
from engine.stats.dashboards.item import AnnotationDraft, SavedQuestionDraft
from engine.stats.dashboards.ports import DashboardItemStore
from storage.links.memory_profiles import MemoryProfiles
from storage.stats.dashboards.item_kinds import ANNOTATION, GOAL, SAVED_QUESTION, ItemKind
from storage.stats.dashboards.items import PostgresItemStore
from storage.stats.dashboards.memory_items import MemoryItemStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import Stores, opened

pytestmark = pytest.mark.trio(run=hosted_run)

KINDS: dict[str, ItemKind[Any, Any]] = {
    "annotation": ANNOTATION,
    "question": SAVED_QUESTION,
    "goal": GOAL,
}
DRAFTS = {
    "annotation": AnnotationDraft(at="2026-05-01", text="Spring"),
    "goal": GoalDraft(name="Sign-ups", event="signup", property="plan=pro"),
    "question": SavedQuestionDraft(name="Italy", query="filter[country]=IT"),
}


class World(NamedTuple):
    """A store of one kind with bound 3, a draft of the kind and another, and a profile of `me`."""

    store: DashboardItemStore[Any, Any]
    draft: Any
    other_draft: Any
    profile: Profile
    me: Caller
    them: Caller


@pytest.fixture(params=list(KINDS))
async def world(request: pytest.FixtureRequest, place: str, stores: Stores) -> AsyncIterator[World]:
    kind, draft = KINDS[request.param]._replace(limit=3), DRAFTS[request.param]
    first_field = draft.__struct_fields__[0]
    other = msgspec.structs.replace(draft, **{first_field: "2026-05-02T10:00:00Z"})
    profile = await stores.profiles.create_profile(stores.caller, ProfileDraft(handle="ada"))
    rest = draft, other, profile, stores.caller, stores.other
    if not place:
        assert isinstance(stores.profiles, MemoryProfiles)
        yield World(MemoryItemStore(stores.profiles, kind), *rest)
        return
    async with opened(place) as open_database:
        yield World(PostgresItemStore(await open_database("waypost_app", 8), kind), *rest)


async def test_an_item_is_made_read_changed_and_deleted(world: World) -> None:
    store, draft, other, profile, me, _ = world
    item = await store.create(me, profile.id, draft)
    assert (item.version, item.created_by, item.profile_id) == (1, me.user_id, profile.id)
    assert all(getattr(item, name) == getattr(draft, name) for name in draft.__struct_fields__)
    assert await store.item(me, profile.id, item.id) == item
    assert await store.update(me, profile.id, item.id, draft) == item
    changed = await store.update(me, profile.id, item.id, lambda _: other, 1)
    assert changed.version == 2
    with pytest.raises(LostUpdateError):
        await store.update(me, profile.id, item.id, draft, 1)
    with pytest.raises(LostUpdateError):
        await store.delete(me, profile.id, item.id, 1)
    second = await store.create(me, profile.id, draft)
    assert await store.list_items(me, profile.id, 0, 1) == ([changed], item.id)
    assert await store.list_items(me, profile.id, item.id, 1) == ([second], None)
    assert await store.all_of(me.tenant_id, profile.id) == [changed, second]
    await store.delete(me, profile.id, item.id, 2)
    for gone in (item.id, 2**63 - 1, 2**70):
        with pytest.raises(NotFoundError):
            await store.item(me, profile.id, gone)


async def test_a_stranger_finds_nothing_and_a_key_that_reads_changes_nothing(world: World) -> None:
    store, draft, _, profile, me, them = world
    item = await store.create(me, profile.id, draft)
    for call in (
        store.list_items(them, profile.id, 0, 10),
        store.item(them, profile.id, item.id),
        store.create(them, profile.id, draft),
        store.update(them, profile.id, item.id, draft),
        store.delete(them, profile.id, item.id),
        store.item(me, profile.id + 1, item.id),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert await store.all_of(them.tenant_id, profile.id + 1) == []
    reader = me._replace(scopes=("read",))
    assert await store.item(reader, profile.id, item.id) == item
    with pytest.raises(ForbiddenError):
        await store.create(reader, profile.id, draft)
    with pytest.raises(ForbiddenError):
        await store.delete(reader, profile.id, item.id)


async def test_a_profile_has_a_bounded_number_however_many_are_made_at_once(world: World) -> None:
    store, draft, _, profile, me, _ = world
    refused: list[ConflictError] = []

    async def create() -> None:
        try:
            await store.create(me, profile.id, draft)
        except ConflictError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(create)
    assert len(refused) == 3
    assert "at most 3" in str(refused[0])
    (first, *_), _ = await store.list_items(me, profile.id, 0, 10)
    await store.delete(me, profile.id, first.id)
    await store.create(me, profile.id, draft)

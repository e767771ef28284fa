"""Outbox of events: an event and its change are committed together, or neither is."""

from typing import Any, NamedTuple

import msgspec
import pytest

from engine.accounts.access import Caller
from engine.links.link import LinkDraft
from engine.links.profile import Profile, ProfileDraft
from engine.webhooks.events import (
    EVENT_TYPES,
    EventDraft,
    LinkMilestone,
    encode_body,
    matching_names,
)
from storage.accounts.keys import ensure_owner
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection, Database
from storage.webhooks.outbox import append_to_outbox
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

SPRING = LinkDraft(slug="spring", target="https://example.com/", title="Spring")


class World(NamedTuple):
    app: Database
    workers: Database
    profiles: PostgresProfileStore
    caller: Caller
    profile: Profile

    async def subscribe(self, *types: str) -> None:
        """Insert a webhook of the profile for these event types."""

        async def work(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO webhooks (tenant_id, profile_id, url, event_types, slot) SELECT $1, $2, "
                "'https://example.com/', $3, count(*) + 1 FROM webhooks",
                self.profile.tenant_id, self.profile.id, list(types),
            )  # fmt: skip

        await self.app.transaction(work, caller=self.caller)

    async def events(self) -> list[Any]:
        async def work(connection: Connection) -> list[Any]:
            return await connection.fetch("SELECT * FROM events ORDER BY id")

        return await self.workers.transaction(work)

    async def types(self) -> list[str]:
        return [row["type"] for row in await self.events()]


@pytest.fixture
async def world(open_database: OpenDatabase) -> World:
    app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profiles = PostgresProfileStore(app)
    profile = await profiles.create_profile(owner.caller, ProfileDraft(handle="demo"))
    return World(app, workers, profiles, owner.caller, profile)


async def test_changes_of_links_write_the_events_of_the_catalogue(world: World) -> None:
    await world.subscribe("*")
    link, _ = await world.profiles.create_link(world.caller, world.profile.id, SPRING)
    changed = msgspec.structs.replace(SPRING, title="Summer")
    await world.profiles.update_link(world.caller, link.id, changed)
    await world.profiles.delete_link(world.caller, link.id)
    renamed = ProfileDraft(handle="demo", title="New")
    await world.profiles.update_profile(world.caller, world.profile.id, renamed)
    await world.profiles.delete_profile(world.caller, world.profile.id)
    rows = await world.events()
    assert [row["type"] for row in rows] == [
        "link.created", "link.updated", "link.deleted", "profile.updated", "profile.deleted",
    ]  # fmt: skip
    for row in rows:
        body = encode_body(row["type"], row["at"], msgspec.json.decode(row["data"]))
        data = msgspec.json.decode(body)["data"]
        assert data["user_id"] == str(world.caller.user_id)
        assert data["profile_id"] == str(world.profile.id)
    updated = msgspec.json.decode(rows[1]["data"])
    assert (updated["before"]["title"], updated["after"]["title"]) == ("Spring", "Summer")


async def test_an_event_without_a_subscribed_webhook_is_not_written(world: World) -> None:
    await world.profiles.create_link(world.caller, world.profile.id, SPRING)
    assert await world.types() == []
    await world.subscribe("member.*", "link.deleted")
    draft = msgspec.structs.replace(SPRING, slug="b")
    link, _ = await world.profiles.create_link(world.caller, world.profile.id, draft)
    await world.profiles.delete_link(world.caller, link.id)
    assert await world.types() == ["link.deleted"]


async def test_a_change_that_is_rolled_back_leaves_no_event(world: World) -> None:
    await world.subscribe("*")

    async def work(connection: Connection) -> None:
        await connection.execute("UPDATE profiles SET title = 'x' WHERE id = $1", world.profile.id)
        await append_to_outbox(connection, [milestone(world)])
        assert await connection.fetchval("SELECT count(*) FROM events") == 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await world.app.transaction(work, caller=world.caller)
    assert await world.types() == []


async def test_workers_write_events_and_once_is_unique(world: World) -> None:
    await world.subscribe("link.milestone")
    once = milestone(world)._replace(once="milestone 5 10")

    async def work(connection: Connection) -> None:
        await append_to_outbox(connection, [])
        await append_to_outbox(connection, [once, once])
        await append_to_outbox(connection, [once])

    await world.workers.transaction(work)
    assert await world.types() == ["link.milestone"]


async def test_data_of_another_type_is_a_mistake_of_the_code(world: World) -> None:
    async def work(connection: Connection) -> None:
        await append_to_outbox(connection, [milestone(world)._replace(type="link.clicked")])

    with pytest.raises(TypeError, match="LinksClicked"):
        await world.workers.transaction(work)


async def test_event_names_in_the_database_match(world: World) -> None:
    async def work(connection: Connection) -> None:
        for type_ in EVENT_TYPES:
            assert await connection.fetchval("SELECT event_names($1)", type_) == [
                *matching_names(type_)
            ]

    await world.workers.transaction(work)


def milestone(world: World) -> EventDraft:
    data = LinkMilestone(profile_id=str(world.profile.id), link_id="5", clicks=10)
    return EventDraft(world.profile.tenant_id, world.profile.id, "link.milestone", data)

"""Events are written with what they tell of, or neither is."""

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


class Place(NamedTuple):
    app: Database
    workers: Database
    profiles: PostgresProfileStore
    caller: Caller
    profile: Profile

    async def listen(self, *types: str) -> None:
        """A webhook of the profile that wants these."""

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
async def place(open_database: OpenDatabase) -> Place:
    app, workers = await open_database("waypost_app"), await open_database("waypost_aggregator")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profiles = PostgresProfileStore(app)
    profile = await profiles.create_profile(owner.caller, ProfileDraft(handle="demo"))
    return Place(app, workers, profiles, owner.caller, profile)


async def test_changes_of_links_are_told_as_the_catalogue_says(place: Place) -> None:
    await place.listen("*")
    link, _ = await place.profiles.create_link(place.caller, place.profile.id, SPRING)
    changed = msgspec.structs.replace(SPRING, title="Summer")
    await place.profiles.update_link(place.caller, link.id, changed)
    await place.profiles.delete_link(place.caller, link.id)
    renamed = ProfileDraft(handle="demo", title="New")
    await place.profiles.update_profile(place.caller, place.profile.id, renamed)
    await place.profiles.delete_profile(place.caller, place.profile.id)
    rows = await place.events()
    assert [row["type"] for row in rows] == [
        "link.created", "link.updated", "link.deleted", "profile.updated", "profile.deleted",
    ]  # fmt: skip
    for row in rows:
        body = encode_body(row["type"], row["at"], msgspec.json.decode(row["data"]))
        data = msgspec.json.decode(body)["data"]
        assert data["user_id"] == str(place.caller.user_id)
        assert data["profile_id"] == str(place.profile.id)
    told = msgspec.json.decode(rows[1]["data"])
    assert (told["before"]["title"], told["after"]["title"]) == ("Spring", "Summer")


async def test_nothing_is_written_that_nobody_wants_to_hear(place: Place) -> None:
    await place.profiles.create_link(place.caller, place.profile.id, SPRING)
    assert await place.types() == []
    await place.listen("member.*", "link.deleted")
    draft = msgspec.structs.replace(SPRING, slug="b")
    link, _ = await place.profiles.create_link(place.caller, place.profile.id, draft)
    await place.profiles.delete_link(place.caller, link.id)
    assert await place.types() == ["link.deleted"]


async def test_a_change_that_is_rolled_back_leaves_no_event(place: Place) -> None:
    await place.listen("*")

    async def work(connection: Connection) -> None:
        await connection.execute("UPDATE profiles SET title = 'x' WHERE id = $1", place.profile.id)
        await append_to_outbox(connection, [milestone(place)])
        assert await connection.fetchval("SELECT count(*) FROM events") == 2
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await place.app.transaction(work, caller=place.caller)
    assert await place.types() == []


async def test_workers_emit_too_and_what_is_once_is_once(place: Place) -> None:
    await place.listen("link.milestone")
    once = milestone(place)._replace(once="milestone 5 10")

    async def work(connection: Connection) -> None:
        await append_to_outbox(connection, [])
        await append_to_outbox(connection, [once, once])
        await append_to_outbox(connection, [once])

    await place.workers.transaction(work)
    assert await place.types() == ["link.milestone"]


async def test_data_of_another_type_is_a_mistake_of_the_code(place: Place) -> None:
    async def work(connection: Connection) -> None:
        await append_to_outbox(connection, [milestone(place)._replace(type="link.clicked")])

    with pytest.raises(TypeError, match="LinksClicked"):
        await place.workers.transaction(work)


async def test_the_database_knows_the_same_names(place: Place) -> None:
    async def work(connection: Connection) -> None:
        for type_ in EVENT_TYPES:
            assert await connection.fetchval("SELECT event_names($1)", type_) == [
                *matching_names(type_)
            ]

    await place.workers.transaction(work)


def milestone(place: Place) -> EventDraft:
    data = LinkMilestone(profile_id=str(place.profile.id), link_id="5", clicks=10)
    return EventDraft(place.profile.tenant_id, place.profile.id, "link.milestone", data)

"""Creates with an idempotency key: one creation and one response, in one transaction, in both twins."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import ConflictError, ForbiddenError, InvalidError
from engine.common.idempotency import (
    RETENTION,
    AlreadyAnsweredError,
    IdempotentRequest,
    StoredResponse,
)
from engine.links.link import Link, LinkDraft
from engine.links.profile import Profile, ProfileChange, ProfileDraft
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection
from storage.postgres.idempotency import IdempotencyPurge
from tests.conftest import execute, on_connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase, Stores

pytestmark = pytest.mark.trio(run=hosted_run)

SAME, OTHER = b"s" * 32, b"o" * 32
SPRING = LinkDraft(slug="spring", target="https://example.com/")


def respond(profile: Profile) -> StoredResponse:
    return StoredResponse(201, {"ETag": f'"{profile.version}"'}, f"{profile.id}".encode())


def once(key: str = "key", digest: bytes = SAME) -> IdempotentRequest[Profile]:
    return IdempotentRequest(key, digest, respond)


async def create(
    stores: Stores, caller: Caller, handle: str, request: IdempotentRequest[Profile]
) -> Profile:
    return await stores.profiles.create_profile(caller, ProfileDraft(handle=handle), request)


async def handles(stores: Stores, caller: Caller) -> list[str]:
    return [item.handle for item in (await stores.profiles.list_profiles(caller, 0, 100)).items]


async def test_a_repeated_request_gets_the_stored_response(stores: Stores) -> None:
    created = await create(stores, stores.caller, "demo", once())
    for _ in range(2):
        with pytest.raises(AlreadyAnsweredError) as caught:
            await create(stores, stores.caller, "demo", once())
        assert caught.value.response == respond(created)
    assert await handles(stores, stores.caller) == ["demo"]


async def test_another_request_with_the_key_is_refused(stores: Stores) -> None:
    await create(stores, stores.caller, "demo", once())
    with pytest.raises(InvalidError) as caught:
        await create(stores, stores.caller, "other", once(digest=OTHER))
    assert [error.field for error in caught.value.errors] == ["Idempotency-Key"]
    assert await handles(stores, stores.caller) == ["demo"]


async def test_a_key_belongs_to_its_user(stores: Stores) -> None:
    await create(stores, stores.caller, "mine", once())
    await create(stores, stores.other, "theirs", once())
    assert await handles(stores, stores.other) == ["theirs"]


async def test_a_failed_create_uses_no_key(stores: Stores) -> None:
    await create(stores, stores.other, "taken", once("else"))
    with pytest.raises(ConflictError):
        await create(stores, stores.caller, "taken", once())
    readonly = stores.caller._replace(scopes=("read",))
    with pytest.raises(ForbiddenError):
        await create(stores, readonly, "free", once())
    await create(stores, stores.caller, "free", once(digest=OTHER))


async def test_a_link_is_created_once(stores: Stores) -> None:
    profile = await create(stores, stores.caller, "demo", once("p"))

    def respond_link(result: tuple[Link, ProfileChange]) -> StoredResponse:
        return StoredResponse(201, {}, str(result[0].id).encode())

    request = IdempotentRequest("l", SAME, respond_link)
    link, _ = await stores.profiles.create_link(stores.caller, profile.id, SPRING, request)
    with pytest.raises(AlreadyAnsweredError) as caught:
        await stores.profiles.create_link(stores.caller, profile.id, SPRING, request)
    assert caught.value.response.body == str(link.id).encode()
    assert (await stores.profiles.profile(stores.caller, profile.id)).version == 2


async def test_a_key_is_free_again_after_a_day() -> None:
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    profiles = MemoryProfiles(lambda: now[0])
    caller = Caller(1, 1)
    await profiles.create_profile(caller, ProfileDraft(handle="a"), once())
    now[0] += RETENTION - timedelta(seconds=1)
    with pytest.raises(AlreadyAnsweredError):
        await profiles.create_profile(caller, ProfileDraft(handle="a"), once())
    now[0] += timedelta(seconds=1)
    await profiles.create_profile(caller, ProfileDraft(handle="b"), once(digest=OTHER))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
class TestPostgres:
    async def test_twenty_concurrent_requests_create_once(self, stores: Stores) -> None:
        responses: Counter[bytes] = Counter()

        async def post() -> None:
            try:
                created = await create(stores, stores.caller, "demo", once())
                responses[respond(created).body] += 1
            except AlreadyAnsweredError as replay:
                responses[replay.response.body] += 1

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(post)
        assert list(responses.values()) == [20]
        assert await handles(stores, stores.caller) == ["demo"]

    async def test_a_crash_loses_the_key_with_the_creation(
        self, stores: Stores, open_database: OpenDatabase
    ) -> None:
        """A crash between insert and commit leaves neither, so the request can be sent again."""
        profiles = PostgresProfileStore(await open_database("waypost_app"))

        def crash(_: Profile) -> StoredResponse:
            raise RuntimeError("the process dies here")

        draft = ProfileDraft(handle="demo")
        with pytest.raises(RuntimeError):
            await profiles.create_profile(
                stores.caller, draft, IdempotentRequest("key", SAME, crash)
            )
        assert await handles(stores, stores.caller) == []
        await create(stores, stores.caller, "demo", once())
        with pytest.raises(AlreadyAnsweredError):
            await create(stores, stores.caller, "demo", once())

    async def test_the_response_for_a_member_is_stored_in_the_members_tenant(
        self, stores: Stores, place: str, open_database: OpenDatabase
    ) -> None:
        profile = await create(stores, stores.other, "theirs", once("p"))
        database = await open_database("waypost_app")

        async def rows(connection: Connection) -> list[str]:
            return [
                row["key"] for row in await connection.fetch("SELECT key FROM idempotency_keys")
            ]

        await trio.to_thread.run_sync(join, place, stores.caller, profile)
        request = IdempotentRequest[Any]("l", SAME, lambda _: StoredResponse(201, {}, b""))
        await stores.profiles.create_link(stores.caller, profile.id, SPRING, request)
        with pytest.raises(AlreadyAnsweredError):
            await stores.profiles.create_link(stores.caller, profile.id, SPRING, request)
        assert await database.transaction(rows, caller=stores.caller) == ["l"]
        assert await database.transaction(rows, caller=stores.other) == ["p"]

    async def test_old_keys_are_free_again_and_are_purged(
        self, stores: Stores, place: str, open_database: OpenDatabase
    ) -> None:
        await create(stores, stores.caller, "one", once("old"))
        await create(stores, stores.caller, "two", once("gone"))
        await create(stores, stores.caller, "new", once("new"))
        await trio.to_thread.run_sync(
            execute,
            place,
            "UPDATE waypost.idempotency_keys SET created_at = now() - interval '24 hours' "
            "WHERE key <> 'new'",
        )
        await create(stores, stores.caller, "three", once("old", OTHER))
        await IdempotencyPurge(await open_database("waypost_aggregator")).purge_expired()
        remaining = await trio.to_thread.run_sync(keys, place)
        assert remaining == ["new", "old"]


def join(url: str, caller: Caller, profile: Profile) -> None:
    execute(
        url,
        "INSERT INTO waypost.members (tenant_id, profile_id, user_id, home_tenant_id, role, slot) "
        f"VALUES ({profile.tenant_id}, {profile.id}, {caller.user_id}, {caller.tenant_id}, "
        "'editor', 2)",
    )


def keys(url: str) -> list[str]:
    async def work(connection: Connection) -> list[str]:
        rows = await connection.fetch("SELECT key FROM waypost.idempotency_keys ORDER BY key")
        return [row["key"] for row in rows]

    return on_connection(url, work)

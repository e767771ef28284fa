"""The first owner and their credentials. Isolation of tenants is in test_isolation.py."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
import trio

from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from engine.links.target import MAX_TARGET_CHARS
from storage.accounts.keys import OwnerCredentials, PostgresApiKeyStore, ensure_owner, first_owner
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection, Database
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


def sql(query: str, *args: object) -> Callable[[Connection], Awaitable[list[asyncpg.Record]]]:
    async def work(connection: Connection) -> list[asyncpg.Record]:
        return await connection.fetch(query, *args)

    return work


async def owner_with_links(app: Database) -> OwnerCredentials:
    """Make the first owner with a profile and links. Returns the owner's credentials."""
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profiles = PostgresProfileStore(app)
    profile = await profiles.create_profile(owner.caller, ProfileDraft(handle="demo"))
    for slug in ("a", "b"):
        draft = LinkDraft(slug=slug, target="https://example.com/")
        link, _ = await profiles.create_link(owner.caller, profile.id, draft)
    await profiles.delete_link(owner.caller, link.id)
    return owner


@pytest.mark.parametrize(
    "target",
    [
        "https://e.com/\r\nSet-Cookie: a=b",
        "https://e.com/\n",
        "",
        "https://é.com",
        "a b",
        "x" * (MAX_TARGET_CHARS + 1),
    ],
)
async def test_no_target_can_break_a_header(open_database: OpenDatabase, target: str) -> None:
    app = await open_database("waypost_app")
    owner = await owner_with_links(app)
    with pytest.raises(asyncpg.CheckViolationError):
        await app.transaction(sql("UPDATE links SET target = $1", target), caller=owner.caller)


async def test_the_first_owner_is_made_once(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")
    assert await first_owner(app) is None
    credentials: list[OwnerCredentials | None] = []

    async def make_owner() -> None:
        credentials.append(await ensure_owner(app, "owner@example.com"))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(make_owner)
    (owner,) = filter(None, credentials)
    assert await first_owner(app) == owner.caller
    assert await ensure_owner(app, "other@example.com") is None
    key = await PostgresApiKeyStore(app).authenticate(owner.api_key)
    assert key is not None
    assert key == owner.caller._replace(key_id=key.key_id)


async def test_credentials_are_stored_as_hashes_only(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")
    owner = await owner_with_links(app)
    users = await app.transaction(sql("SELECT * FROM users"), caller=owner.caller)
    keys = await app.transaction(sql("SELECT * FROM api_keys"), caller=owner.caller)
    stored = repr([*users, *keys])
    assert owner.password not in stored
    assert owner.api_key not in stored
    assert users[0]["password_hash"].startswith("$argon2id$")
    assert len(keys[0]["key_sha256"]) == 32

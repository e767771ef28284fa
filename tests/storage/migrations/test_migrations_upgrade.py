"""What an earlier version has stored is still there, and right, after its migration."""

import hashlib

import asyncpg
import pytest

from engine.accounts.access import Caller
from storage.accounts.keys import PostgresApiKeyStore
from storage.bridge import in_asyncio
from storage.links.profiles import PostgresProfileStore
from storage.migrations import migrate, migrations
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


KEY_SHA256 = "\\x" + hashlib.sha256(b"wp_old").hexdigest()


async def run(url: str, *statements: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    await in_asyncio(work)


async def test_profiles_and_keys_of_the_time_before_teams_belong_to_the_first_user(
    bare_database_url: str,
) -> None:
    await migrate(bare_database_url, migrations()[:2])
    await run(
        bare_database_url,
        "INSERT INTO waypost.tenants (id, name) VALUES (1, 'one'), (2, 'two')",
        "INSERT INTO waypost.users (tenant_id, id, email, password_hash) "
        "VALUES (1, 11, 'a@example.com', ''), (1, 12, 'b@example.com', ''), "
        "(2, 21, 'c@example.com', '')",
        f"INSERT INTO waypost.api_keys (tenant_id, id, key_sha256) VALUES (1, 5, '{KEY_SHA256}')",
        "INSERT INTO waypost.profiles (tenant_id, id, handle) VALUES (1, 100, 'a'), (2, 200, 'c')",
    )
    await migrate(bare_database_url)
    async with opened(bare_database_url) as open_role:
        app = await open_role("waypost_app")
        caller = await PostgresApiKeyStore(app).authenticate("wp_old")
        assert caller == Caller(1, 11, 5)
        profiles = PostgresProfileStore(app)
        for owner, profile_id in ((caller, 100), (Caller(2, 21), 200)):
            page = await profiles.list_profiles(owner, 0, 10)
            assert [one.id for one in page.items] == [profile_id]
            await profiles.delete_profile(owner, profile_id)

"""Purges of sessions, keys and invitations: rows that ended long ago, and no others."""

from typing import Any

import asyncpg
import pytest

from storage.accounts.purge import AccountsPurge
from storage.bridge import in_asyncio
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

FILL = """
INSERT INTO waypost.tenants (id, name) VALUES (1, 'one');
INSERT INTO waypost.users (tenant_id, id, email, password_hash) VALUES (1, 1, 'a@example.com', 'x');
SELECT set_config('waypost.tenant', '1', false), set_config('waypost.user', '1', false);
INSERT INTO waypost.profiles (tenant_id, id, handle) VALUES (1, 1, 'anna');
INSERT INTO waypost.sessions (tenant_id, user_id, token_sha256, expires_at)
SELECT 1, 1, sha256(n::text::bytea), now() + make_interval(hours => n) FROM generate_series(-2, 2) AS n;
INSERT INTO waypost.api_keys (tenant_id, user_id, key_sha256, label, expires_at, revoked_at)
SELECT 1, 1, sha256(label::bytea), label, now() + expires, now() + revoked FROM (VALUES
    ('for ever', NULL::interval, NULL::interval), ('just expired', '-1 day', NULL), ('works', '1 day', NULL),
    ('long expired', '-31 days', NULL), ('long revoked', '1 year', '-31 days'),
    ('just revoked', NULL, '-29 days')) AS k (label, expires, revoked);
INSERT INTO waypost.invitations
    (tenant_id, profile_id, email, role, token_sha256, invited_by, expires_at, accepted_at)
SELECT 1, 1, email || '@example.com', 'editor', sha256(email::bytea), 1, now() + expires, now() + accepted
FROM (VALUES
    ('open', '1 day'::interval, NULL::interval), ('just-ended', '-1 day', NULL), ('old', '-31 days', NULL),
    ('joined', '1 day', '-31 days')) AS i (email, expires, accepted);
"""


async def test_only_rows_that_ended_long_ago_are_purged(
    database_url: str, open_database: OpenDatabase
) -> None:
    async def fetch(query: str) -> list[Any]:
        async def run() -> list[Any]:
            connection = await asyncpg.connect(database_url)
            try:
                if query == FILL:
                    await connection.execute(query)
                    return []
                return [row[0] for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return await in_asyncio(run)

    await fetch(FILL)
    purge = AccountsPurge(await open_database("waypost_aggregator"))
    for _ in range(2):  # a second purge changes nothing
        await purge.purge_sessions()
        await purge.purge_keys()
        await purge.purge_invitations()
    assert await fetch("SELECT expires_at > now() FROM waypost.sessions") == [True, True]
    remaining = await fetch("SELECT label FROM waypost.api_keys ORDER BY label")
    assert remaining == ["for ever", "just expired", "just revoked", "works"]
    remaining = await fetch("SELECT email FROM waypost.invitations ORDER BY email")
    assert remaining == ["just-ended@example.com", "open@example.com"]
    # The log has the deletions, without a user.
    logged = await fetch(
        "SELECT action || ' ' || (user_id IS NULL) FROM waypost.audit_log WHERE action LIKE '%.deleted' "
        "ORDER BY action"
    )
    assert logged == ["invitation.deleted true"] * 2 + ["key.deleted true"] * 2

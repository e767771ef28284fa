"""What Postgres reads for a look-up: as much as visitors asked for, however large a profile is and whatever the
planner believes."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest

from engine.links.profile import MAX_WHOLE_BYTES, MAX_WHOLE_LINKS
from storage.bridge import in_asyncio
from storage.postgres.session import EDGE_PLANS
from storage.visits.snapshots import SQL
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.slow, pytest.mark.trio(run=hosted_run)]

SMALL, LINKS, PATHS = 1_000, 3_000, 50
LARGE = 10_000
_PROFILES = """INSERT INTO profiles (tenant_id, id, handle)
    SELECT 1, n, 'p' || n FROM generate_series($1::int, $2::int) AS n"""
_LINK = """INSERT INTO links (tenant_id, profile_id, id, revision, slug, target)
    SELECT 1, coalesce($3, n), n, 1, 'l' || n, 'https://x.example/'
    FROM generate_series($1::int, $2::int) AS n"""
_SHORT = """INSERT INTO short_slugs (slug, tenant_id, profile_id, link_id)
    SELECT slug, tenant_id, profile_id, id FROM links"""

_ASSETS = """WITH assets AS (
    INSERT INTO assets (tenant_id, profile_id, id, address, content_type, bytes)
    SELECT 1, n, n, 'a' || n, 'image/png', 1 FROM generate_series(1, $1::int) AS n RETURNING *
) INSERT INTO asset_files (tenant_id, hash, source, width, height, renditions, writable_until)
SELECT tenant_id, address, 'png', 1, 1, '[]', now() FROM assets"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection to a database whose statistics know small profiles only, and that has a large one."""
    connection = await in_asyncio(
        asyncpg.connect, database_url,
        server_settings={"search_path": "waypost", "session_replication_role": "replica"},
    )  # fmt: skip
    await in_asyncio(connection.execute, _PROFILES, 1, SMALL)
    await in_asyncio(connection.execute, _LINK, 1, SMALL, None)
    await in_asyncio(connection.execute, "ANALYZE profiles, links")
    await in_asyncio(connection.execute, _PROFILES, LARGE, LARGE)
    await in_asyncio(connection.execute, _LINK, LARGE, LARGE + LINKS - 1, LARGE)
    await in_asyncio(connection.execute, _SHORT)
    yield connection
    await in_asyncio(connection.close)


def rows_read(node: dict[str, Any]) -> float:
    """Return how many rows the nodes of a plan gave or threw away."""
    thrown = sum(rows for name, rows in node.items() if name.startswith("Rows Removed"))
    own = (node["Actual Rows"] + thrown) * node["Actual Loops"]
    return float(own + sum(map(rows_read, node.get("Plans", ()))))


async def rows_read_by(connection: asyncpg.Connection, query: str, *args: object) -> float:
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}"
    plan = await in_asyncio(connection.fetchval, explain, *args)
    return rows_read(msgspec.json.decode(plan)[0]["Plan"])


def look_up(links: list[tuple[str, str]], ids: list[int]) -> list[object]:
    """Return the parameters of `profiles` for links by handle and slug, and for ids."""
    numbers = list(range(len(links)))
    names = [handle for handle, _ in links], [slug for _, slug in links]
    return [[], [], [], [], numbers, *names, ids, MAX_WHOLE_LINKS, MAX_WHOLE_BYTES]


async def test_links_of_a_large_profile_are_read_one_by_one(
    connection: asyncpg.Connection,
) -> None:
    links = [(f"p{LARGE}", f"l{LARGE + n}") for n in range(PATHS)]
    read = await rows_read_by(connection, SQL["profiles"], *look_up(links, []))
    assert read <= 10 * PATHS + 2 * SMALL  # profiles, if their table is read whole


async def test_a_large_profile_is_measured_and_not_read(connection: asyncpg.Connection) -> None:
    read = await rows_read_by(connection, SQL["profiles"], *look_up([], [LARGE]))
    assert read <= 1_000


async def test_pictures_of_variants_are_read_by_their_keys(connection: asyncpg.Connection) -> None:
    await in_asyncio(connection.execute, _ASSETS, LINKS)
    read = await rows_read_by(connection, SQL["pictures"], [1], [7], [7])
    assert 1 <= read <= 10


async def test_a_plan_that_was_made_for_empty_tables_reads_by_keys_when_they_have_grown(
    database_url: str,
) -> None:
    connection = await in_asyncio(
        asyncpg.connect, database_url, server_settings={"search_path": "waypost", **EDGE_PLANS}
    )
    await in_asyncio(connection.execute, "ANALYZE profiles, links, short_slugs")
    await in_asyncio(connection.execute, "SET session_replication_role = replica")
    await in_asyncio(connection.execute, f"PREPARE look_up AS {SQL['profiles']}")
    numbers, handles, slugs = (
        ",".join(f"{name}{n}" for n in range(1, PATHS + 1)) for name in ("", "p", "l")
    )
    execute = (
        "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE look_up('{}', '{}', '{}', '{}', "
        f"'{{{numbers}}}', '{{{handles}}}', '{{{slugs}}}', '{{}}', "
        f"{MAX_WHOLE_LINKS}, {MAX_WHOLE_BYTES})"
    )
    await in_asyncio(connection.fetchval, execute)
    await in_asyncio(connection.execute, _PROFILES, 1, SMALL)
    await in_asyncio(connection.execute, _LINK, 1, SMALL, None)
    await in_asyncio(connection.execute, _SHORT)
    plan = await in_asyncio(connection.fetchval, execute)
    await in_asyncio(connection.close)
    read = rows_read(msgspec.json.decode(plan)[0]["Plan"])
    assert PATHS < read <= 25 * PATHS

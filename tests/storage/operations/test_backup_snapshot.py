"""The database snapshot of a backup: one moment, for users that see all rows."""

import hashlib
from urllib.parse import urlsplit

import asyncpg
import pytest
import trio

from engine.common.errors import UnavailableError
from engine.operations.backup import BackupError
from storage.assets.unused import PostgresUnusedFilesStore
from storage.operations.backup_snapshot import BackupSnapshot
from tests.conftest import Servers, execute
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


async def test_counts_and_watermarks_are_of_one_moment(database_url: str) -> None:
    snapshot = await BackupSnapshot.open(database_url)
    try:
        await snapshot.take()
        first = snapshot.id, snapshot.moment
        insert = "INSERT INTO waypost.journals (journal_id, folded) VALUES (gen_random_uuid(), 7)"
        await run_apart(database_url, insert)
        assert (snapshot.journals, (await snapshot.count_rows())["journals"]) == ({}, 0)
        await snapshot.take()
        assert (snapshot.id, snapshot.moment) > first
        (state,) = snapshot.journals.values()
        assert (state.folded, state.retired) == (7, False)
        assert (await snapshot.count_rows())["journals"] == 1
        assert snapshot.server_version >= 150_000
    finally:
        await snapshot.close()


async def run_apart(database_url: str, statement: str) -> None:
    """Run the statement on another thread, as a loop runs in this one."""
    await trio.to_thread.run_sync(execute, database_url, statement)


async def test_partitions_are_kept_while_they_are_read(database_url: str) -> None:
    snapshot = await BackupSnapshot.open(database_url)
    await snapshot.take()
    drop = "SET lock_timeout = '1ms'; DROP TABLE waypost.clicks_default"
    try:
        with pytest.raises(asyncpg.LockNotAvailableError):
            await run_apart(database_url, drop)
    finally:
        await snapshot.close()
    await run_apart(database_url, drop)


async def test_files_of_pictures_are_not_collected_while_they_are_copied(
    database_url: str, open_database: OpenDatabase
) -> None:
    unused = PostgresUnusedFilesStore(await open_database("waypost_aggregator"))
    insert = (
        "INSERT INTO waypost.asset_files (tenant_id, hash, source, width, height, renditions, written, "
        "writable_until, unused_since) SELECT 1, md5('{}'), 'png', 1, 1, '[]', true, now(), {}"
    )
    await run_apart(database_url, insert.format("used", "NULL"))
    snapshot = await BackupSnapshot.open(database_url)
    try:
        await snapshot.take()
        await run_apart(database_url, insert.format("deleted since", "now()"))
        assert await snapshot.pictures() == [hashlib.md5(b"used").hexdigest()]
        assert await unused.claim(10) == []
    finally:
        await snapshot.close()
    assert len(await unused.claim(10)) == 1


async def test_a_user_that_does_not_see_all_rows_is_refused(
    database_url: str, servers: Servers
) -> None:
    name = f"{urlsplit(database_url).path[1:]}_plain"
    await run_apart(servers.database_url, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    hosts = urlsplit(database_url).netloc.rpartition("@")[2]
    url = urlsplit(database_url)._replace(netloc=f"{name}:x@{hosts}").geturl()
    try:
        with pytest.raises(BackupError, match=f"ALTER ROLE {name} BYPASSRLS"):
            await BackupSnapshot.open(url)
        await run_apart(servers.database_url, f"ALTER ROLE {name} BYPASSRLS")
        snapshot = await BackupSnapshot.open(url)
        with pytest.raises(BackupError, match="may not read all tables: permission denied"):
            await snapshot.take()
        await snapshot.close()
    finally:
        await run_apart(servers.database_url, f"DROP ROLE {name}")


async def test_a_database_that_is_none_of_ours_is_refused(bare_database_url: str) -> None:
    snapshot = await BackupSnapshot.open(bare_database_url)
    with pytest.raises(BackupError, match="no schema of Waypost"):
        await snapshot.take()
    await snapshot.close()
    with pytest.raises(UnavailableError):
        await BackupSnapshot.open("postgresql://waypost@/waypost?host=/nonexistent")

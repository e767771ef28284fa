"""Database: transactions, tenants, time limits, and a server that is away."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from storage.bridge import in_asyncio
from storage.embedded import EmbeddedServers
from storage.migrations import migrate
from storage.postgres.database import Connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


TERMINATE_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def value(query: str, *args: object) -> Callable[[Connection], Awaitable[Any]]:
    async def work(connection: Connection) -> Any:
        return await connection.fetchval(query, *args)

    return work


async def as_superuser(url: str, query: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(query)
        finally:
            await connection.close()

    await in_asyncio(work)


async def test_a_session_has_its_role_and_settings(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app", query_timeout_ms=1234)
    for query, expected in (
        ("SELECT current_user", "waypost_app"),
        ("SHOW search_path", "waypost"),
        ("SHOW timezone", "UTC"),
        ("SHOW jit", "off"),
        ("SHOW statement_timeout", "1234ms"),
    ):
        assert await app.transaction(value(query)) == expected


async def test_the_tenant_does_not_outlive_its_transaction(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app", size=1)
    tenant = value("SELECT current_setting('waypost.tenant', true)")
    assert await app.transaction(tenant, caller=Caller(7, 1)) == "7"
    assert await app.transaction(tenant) in (None, "")
    assert await app.transaction(value("SELECT current_tenant()")) is None


async def test_a_failed_transaction_changes_nothing(open_database: OpenDatabase) -> None:
    aggregator = await open_database("waypost_aggregator", size=1)

    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO user_agents VALUES (1, 'x')")
        raise LookupError

    with pytest.raises(LookupError):
        await aggregator.transaction(work)
    assert await aggregator.transaction(value("SELECT count(*) FROM user_agents")) == 0


async def test_a_reader_sees_one_snapshot_and_writes_nothing(open_database: OpenDatabase) -> None:
    aggregator = await open_database("waypost_aggregator")
    counts: list[int] = []
    read_once, written = trio.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def work(connection: Connection) -> None:
        for _ in range(2):
            counts.append(await connection.fetchval("SELECT count(*) FROM user_agents"))
            token.run_sync_soon(read_once.set)
            while not written.is_set():
                await connection.execute("SELECT pg_sleep(0.001)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: aggregator.transaction(work, read_only=True))
        await read_once.wait()
        await aggregator.transaction(value("INSERT INTO user_agents VALUES (1, 'x')"))
        written.set()
    assert counts == [0, 0]
    with pytest.raises(UnavailableError, match="read-only"):
        await aggregator.transaction(
            value("INSERT INTO user_agents VALUES (2, 'y')"), read_only=True
        )


async def test_a_snapshot_is_read_in_chunks_and_frees_its_connection(
    open_database: OpenDatabase,
) -> None:
    app = await open_database("waypost_app", size=1)
    series = "SELECT n FROM generate_series(1, $1) AS n"
    async with app.snapshot(Caller(7, 1)) as reader:
        assert await reader.run(value("SELECT current_setting('waypost.tenant')")) == "7"
        sizes = [len(rows) async for rows in reader.rows(series, 2_500)]
    assert sizes == [1_000, 1_000, 500]
    # The connection is free again after a reader is left early, cancelled or failed.
    async with app.snapshot(Caller(7, 1)) as reader:
        async for rows in reader.rows(series, 10**6):
            assert rows[-1][0] == 1_000
            break
    with trio.move_on_after(0.05):
        async with app.snapshot(Caller(7, 1)) as reader:
            await reader.run(value("SELECT pg_sleep(5)"))
    with pytest.raises(UnavailableError, match="read-only"):
        async with app.snapshot(Caller(7, 1)) as reader:
            await reader.run(value("DELETE FROM links"))
    assert await app.transaction(value("SELECT 1")) == 1
    assert sum(sample.value for sample in app.samples()) == 1


async def test_a_statement_that_takes_too_long_is_unavailable(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app", size=1, query_timeout_ms=50)
    with pytest.raises(UnavailableError, match="timeout"):
        await app.transaction(value("SELECT pg_sleep(5)"))
    assert await app.transaction(value("SELECT 1")) == 1


async def test_a_pool_that_stays_busy_is_unavailable(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app", size=1, query_timeout_ms=100)
    async with trio.open_nursery() as nursery:
        started = trio.Event()
        token = trio.lowlevel.current_trio_token()

        async def hold(connection: Connection) -> None:
            token.run_sync_soon(started.set)
            for _ in range(4):
                await connection.execute("SELECT pg_sleep(0.06)")

        nursery.start_soon(app.transaction, hold)
        await started.wait()
        with pytest.raises(UnavailableError):
            await app.transaction(value("SELECT 1"))
    assert await app.transaction(value("SELECT 1")) == 1


async def test_a_cancelled_call_releases_its_connection(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app", size=1)
    for _ in range(3):
        with trio.move_on_after(0.02) as scope:
            await app.transaction(value("SELECT pg_sleep(5)"))
        assert scope.cancelled_caught
        assert await app.transaction(value("SELECT 1")) == 1


async def test_a_deadlocked_transaction_is_repeated(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app", size=2)
    attempts: list[int] = []
    both_locked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def locks(first: int, second: int) -> Callable[[Connection], Awaitable[None]]:
        async def work(connection: Connection) -> None:
            attempts.append(first)
            await connection.execute("SELECT pg_advisory_xact_lock($1)", first)
            if len(attempts) == 2:
                token.run_sync_soon(both_locked.set)
            while not both_locked.is_set():
                await connection.execute("SELECT pg_sleep(0.001)")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", second)

        return work

    async with trio.open_nursery() as nursery:
        nursery.start_soon(app.transaction, locks(1, 2))
        nursery.start_soon(app.transaction, locks(2, 1))
    assert len(attempts) == 3


async def test_lost_connections_are_replaced(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app", size=2)
    for _ in range(3):
        assert await app.transaction(value("SELECT 1")) == 1
        await as_superuser(database_url, TERMINATE_OTHERS)
        with trio.fail_after(5):
            while True:
                try:
                    assert await app.transaction(value("SELECT 1")) == 1
                    break
                except UnavailableError:
                    await trio.sleep(0.01)


async def test_a_connection_lost_in_a_transaction_is_unavailable(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app", size=1)
    started = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def work(connection: Connection) -> None:
        token.run_sync_soon(started.set)
        await connection.execute("SELECT pg_sleep(5)")

    async def lose() -> None:
        with pytest.raises(UnavailableError):
            await app.transaction(work)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose)
        await started.wait()
        await as_superuser(database_url, TERMINATE_OTHERS)
    assert await app.transaction(value("SELECT 1")) == 1


async def test_a_server_that_comes_back_is_used_again(open_database: OpenDatabase) -> None:
    folder = Path(tempfile.mkdtemp(prefix="waypost-"))
    try:
        with EmbeddedServers(folder, durable=False) as servers:
            await migrate(servers.database_url)
            app = await open_database("waypost_app", url=servers.database_url)
            assert await app.transaction(value("SELECT 1")) == 1
            servers.stop()
            for _ in range(3):
                with trio.fail_after(2), pytest.raises(UnavailableError):
                    await app.transaction(value("SELECT 1"))
            servers.start()
            assert await app.transaction(value("SELECT 1")) == 1
            await app.close()
    finally:
        shutil.rmtree(folder)


async def test_a_server_that_is_away_is_unavailable_at_once(open_database: OpenDatabase) -> None:
    for url in (
        "postgresql://waypost@/waypost?host=/nonexistent",
        "postgresql://waypost@127.0.0.1:1/waypost",
    ):
        away = await open_database("waypost_app", url=url)
        with trio.fail_after(2), pytest.raises(UnavailableError):
            await away.transaction(value("SELECT 1"))


async def test_a_missing_database_names_the_command_to_run(
    open_database: OpenDatabase, database_url: str
) -> None:
    missing = database_url.replace("/waypost_test_", "/no_waypost_test_")
    app = await open_database("waypost_app", url=missing)
    with pytest.raises(UnavailableError, match="waypost migrate"):
        await app.transaction(value("SELECT 1"))


async def test_errors_of_a_statement_are_raised_unchanged(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await app.transaction(value("SELECT 1 / 0"))
    with pytest.raises(asyncpg.DataError):
        await app.transaction(value("SELECT $1::int", "closed"))

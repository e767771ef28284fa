"""Migrations: any number of times, from anywhere, and never a file that has changed."""

import re

import asyncpg
import pytest
import trio

from engine.clicks.click import BOT_CLASSES, CLASS_MASK, COUNTED_CLASSES, VisitorClass
from engine.clicks.dimension_values import TRIGGERS
from engine.common.errors import UnavailableError
from engine.stats.dimension_counts import KINDS
from storage.bridge import in_asyncio
from storage.migrations import Migration, MigrationError, migrate, migrations, pending
from tests.kit.hosted import hosted_run

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

NAMES = [file.name for file in migrations()]


async def fetch(url: str, query: str, *args: object) -> list[asyncpg.Record]:
    async def work() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    return await in_asyncio(work)


def migration(sql: str, number: int = 9000) -> Migration:
    return Migration(number, f"{number}_extra.sql", sql, str(hash(sql)))


async def test_files_are_numbered_from_1_and_say_when_to_apply_them() -> None:
    files = migrations()
    numbers = [file.number for file in files]
    assert numbers[0] == 1
    assert len(set(numbers)) == len(numbers)  # a gap is a number that is not used yet
    for file in files:
        first = file.sql.splitlines()[0]
        assert re.fullmatch(r"-- .+\. Goes (before|after) the code\.", first), file.name


async def test_a_second_run_does_nothing(bare_database_url: str) -> None:
    assert await migrate(bare_database_url) == NAMES
    assert await migrate(bare_database_url) == []
    assert await migrate(bare_database_url, [*migrations(), migration("SELECT 1")]) == [
        "9000_extra.sql"
    ]


async def test_concurrent_runs_apply_each_file_once(bare_database_url: str) -> None:
    applied: list[list[str]] = []

    async def run() -> None:
        applied.append(await migrate(bare_database_url))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(run)
    assert sorted(applied) == [[], [], [], NAMES]


async def test_a_file_that_changed_is_refused(database_url: str) -> None:
    first, *rest = migrations()
    changed = [first._replace(sha256="0" * 64), *rest, migration("CREATE TABLE never ()")]
    with pytest.raises(
        MigrationError, match=r"0001_roles_and_functions\.sql changed after it was applied"
    ):
        await migrate(database_url, changed)
    (row,) = await fetch(database_url, "SELECT to_regclass('waypost.never') AS never")
    assert row["never"] is None


async def test_a_database_of_an_older_baseline_is_refused_with_instructions(
    bare_database_url: str,
) -> None:
    older = [file._replace(name="0001_tenancy.sql") for file in migrations()[:1]]
    await migrate(bare_database_url, older)
    for refused in (migrate, pending):
        with pytest.raises(MigrationError) as caught:
            await refused(bare_database_url)
        message = str(caught.value)
        assert "\n" not in message
        assert "`waypost archive HANDLE FILE`" in message
        assert "`waypost import FILE`" in message


async def test_classes_of_clicks_are_those_of_the_engine(database_url: str) -> None:
    """Compare SQL's functions with the engine's, for every byte that a record can have."""
    rows = await fetch(
        database_url,
        "SELECT c, waypost.is_counted(c), waypost.is_bot(c), waypost.is_set_by_request(c), "
        "waypost.visitor_kind(c), waypost.trigger_name(c) "
        "FROM (SELECT n::smallint AS c FROM generate_series(0, 255) AS n) AS bytes",
    )
    assert len(rows) == 256
    for byte, *answers in rows:
        visitor_class = byte & CLASS_MASK
        kind = "head" if visitor_class == VisitorClass.HEAD else KINDS.get(visitor_class, "human")
        assert answers == [
            visitor_class in COUNTED_CLASSES,
            visitor_class in BOT_CLASSES,
            visitor_class in {VisitorClass.PREFETCH, VisitorClass.HEAD},
            kind,
            TRIGGERS.get(byte, "link"),
        ], byte


async def test_a_database_that_is_newer_is_refused(database_url: str) -> None:
    await migrate(database_url, [*migrations(), migration("SELECT 1")])
    with pytest.raises(MigrationError, match=r"newer than this code: it has 9000_extra\.sql"):
        await migrate(database_url)


async def test_a_file_that_fails_leaves_nothing_behind(database_url: str) -> None:
    files = [
        *migrations(),
        migration("CREATE TABLE one ()", 9000),
        migration("CREATE TABLE two (); SELECT 1 / 0", 9001),
        migration("CREATE TABLE three ()", 9002),
    ]
    with pytest.raises(MigrationError, match=r"9001_extra\.sql failed.*division by zero"):
        await migrate(database_url, files)
    rows = await fetch(database_url, "SELECT tablename FROM pg_tables WHERE schemaname='waypost'")
    assert {"one", "two", "three"} & {row["tablename"] for row in rows} == {"one"}
    assert await migrate(database_url, [*files[:-2], files[-1]]) == ["9002_extra.sql"]


async def test_a_foreign_schema_is_left_alone(bare_database_url: str) -> None:
    await fetch(bare_database_url, "CREATE SCHEMA waypost")
    with pytest.raises(MigrationError, match=r"not ours|may not act"):
        await migrate(bare_database_url)


async def test_an_encoding_that_cannot_hold_slugs_is_refused(bare_database_url: str) -> None:
    name = bare_database_url.partition("?")[0].rpartition("/")[2]
    other = f"{name}_ascii"
    await fetch(
        bare_database_url,
        f"CREATE DATABASE {other} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0",
    )
    try:
        with pytest.raises(MigrationError, match="UTF8"):
            await migrate(bare_database_url.replace(name, other))
    finally:
        await fetch(bare_database_url, f"DROP DATABASE {other} WITH (FORCE)")


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        await migrate("postgresql://waypost@/waypost?host=/nonexistent")

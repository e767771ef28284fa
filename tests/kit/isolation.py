"""A database in which two tenants have a row in each table, and statements by one on rows of the other."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from storage.bridge import in_asyncio
from storage.postgres.database import Connection
from tests.kit.isolation_cases import TABLES, Table
from tests.kit.pg_catalog import (
    OWNER,
    Relation,
)

NAMES = "tukplsijweda"
ONE = {name: 1001 + n for n, name in enumerate(NAMES)}
TWO = {name: 2001 + n for n, name in enumerate(NAMES)}
PAIRS = pytest.mark.parametrize(("mine", "theirs"), [(ONE, TWO), (TWO, ONE)], ids=["one", "two"])
VERBS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE"}
REFUSED = asyncpg.InsufficientPrivilegeError
Work = Callable[[Connection], Awaitable[None]]


async def filled(connection: Connection) -> None:
    """Insert two tenants with a row in every table, and in every partition of a few days."""
    await connection.execute("SET search_path = waypost; SELECT ensure_click_partitions(2)")
    for tenant in (ONE, TWO):
        await act_as(connection, None, tenant)
        for table in filter(lambda table: table.row, TABLES.values()):
            await connection.execute(table.row.format(**tenant))
        await act_as(connection, None, None)


async def act_as(connection: Connection, role: str | None, tenant: dict[str, int] | None) -> None:
    """Act as `role` and `tenant` as Database.transaction does; without a role, as the superuser."""
    await connection.execute(f"SET ROLE {role or 'NONE'}")
    settings = {"tenant": "", "user": ""}
    if tenant is not None:
        settings = {"tenant": str(tenant["t"]), "user": str(tenant["u"])}
    for name, value in settings.items():
        await connection.execute("SELECT set_config($1, $2, false)", f"waypost.{name}", value)


def in_filled(url: str) -> Callable[[Work], Awaitable[None]]:
    """Return a function that runs a test's work on one connection to a database of two tenants."""

    async def run(work: Work) -> None:
        async def connected() -> None:
            connection = await asyncpg.connect(url)
            try:
                await filled(connection)
                await work(connection)
            finally:
                await connection.close()

        await in_asyncio(connected)

    return run


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """Roll back all changes at the end of the context, and act as the superuser again."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
        await act_as(connection, None, None)


async def outcome(
    connection: Connection, query: str, *arguments: Any, keep: bool = False
) -> tuple[str, str]:
    """Return a statement's (SQLSTATE, constraint) or (status, ""), deferred checks included.

    With `keep` its effect stays.
    """
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        status = await connection.execute(query, *arguments)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.PostgresError as error:
        await savepoint.rollback()
        return error.sqlstate or "", error.constraint_name or ""
    await (savepoint.commit() if keep else savepoint.rollback())
    return status, ""


async def rows_of(connection: Connection, relations: list[Relation], tenant: int) -> dict[str, str]:
    """Return a checksum of each table's rows of the tenant, or of all rows of a table without tenants."""
    queries = [
        f"SELECT '{r.name}' AS name, coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') AS sum "
        f"FROM {r.name} AS x" + (f" WHERE {r.tenant_column} = {tenant}" if r.tenant_column else "")
        for r in relations
    ]
    return {row["name"]: row["sum"] for row in await connection.fetch(" UNION ALL ".join(queries))}


def case_of(relation: Relation) -> Table:
    """Return the case of a table; the daily partitions of clicks share one."""
    if relation.parent == "clicks" and re.fullmatch(r"clicks_\d{8}", relation.name):
        return TABLES["clicks_*"]
    return TABLES[relation.name]


async def nameable(connection: Connection, table: str, role: str, verb: str) -> list[str]:
    """Return the columns that the role may name in a statement; if it may name none, all columns."""
    granted = await columns(connection, table, role, verb)
    return granted or await columns(connection, table, OWNER, "SELECT")


async def columns(connection: Connection, table: str, role: str, verb: str) -> list[str]:
    """Return the columns that the role is granted."""
    if verb == "DELETE":
        return []
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 "
        "AND NOT attisdropped AND has_column_privilege($2, attrelid, attnum, $3) ORDER BY attnum",
        table,
        role,
        verb,
    )
    return [row[0] for row in rows]

"""A database in which two tenants have a row in each table, and what one may do with the other's."""

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

NAMES = "tukplsijwe"
ONE = {name: 1001 + n for n, name in enumerate(NAMES)}
TWO = {name: 2001 + n for n, name in enumerate(NAMES)}
PAIRS = pytest.mark.parametrize(("mine", "theirs"), [(ONE, TWO), (TWO, ONE)], ids=["one", "two"])
VERBS = {"S": "SELECT", "I": "INSERT", "U": "UPDATE", "D": "DELETE"}
REFUSED = asyncpg.InsufficientPrivilegeError
Work = Callable[[Connection], Awaitable[None]]


async def filled(connection: Connection) -> None:
    """Two tenants with a row in every table, and in every partition of a few days."""
    await connection.execute("SET search_path = waypost; SELECT ensure_click_partitions(2)")
    for tenant in (ONE, TWO):
        await act_as(connection, None, tenant)
        for table in filter(lambda table: table.row, TABLES.values()):
            await connection.execute(table.row.format(**tenant))
        await act_as(connection, None, None)


async def act_as(connection: Connection, role: str | None, tenant: dict[str, int] | None) -> None:
    """From here on, as Database.run does for `role`; None: as the test itself, above all policies."""
    await connection.execute(f"SET ROLE {role or 'NONE'}")
    settings = {"tenant": "", "user": ""}
    if tenant is not None:
        settings = {"tenant": str(tenant["t"]), "user": str(tenant["u"])}
    for name, value in settings.items():
        await connection.execute("SELECT set_config($1, $2, false)", f"waypost.{name}", value)


def in_filled(url: str) -> Callable[[Work], Awaitable[None]]:
    """Runs a test's work on one connection to a database of two tenants."""

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
    """Whatever happens inside is rolled back, and the connection is the test's own again."""
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
    """What an attempt tells: its SQLSTATE and constraint, or its status; deferred checks included.

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


async def rows_of(connection: Connection, found: list[Relation], tenant: int) -> dict[str, str]:
    """A sum over each table's rows of the tenant; over all rows of what belongs to no tenant."""
    queries = [
        f"SELECT '{r.name}' AS name, coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') AS sum "
        f"FROM {r.name} AS x" + (f" WHERE {r.tenant_column} = {tenant}" if r.tenant_column else "")
        for r in found
    ]
    return {row["name"]: row["sum"] for row in await connection.fetch(" UNION ALL ".join(queries))}


def case_of(relation: Relation) -> Table:
    """The entry of a table; days' partitions of clicks share one."""
    if relation.parent == "clicks" and re.fullmatch(r"clicks_\d{8}", relation.name):
        return TABLES["clicks_*"]
    return TABLES[relation.name]


async def nameable(connection: Connection, table: str, role: str, verb: str) -> list[str]:
    """The columns that the role may name in such a statement, or all to be refused for."""
    granted = await columns(connection, table, role, verb)
    return granted or await columns(connection, table, OWNER, "SELECT")


async def columns(connection: Connection, table: str, role: str, verb: str) -> list[str]:
    """Those that the role is granted."""
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

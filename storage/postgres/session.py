"""Transactions that leave no state in their session, so a pooler may give each one another server connection.

Everything that a transaction needs (role, search_path, time limits, tenant) is set for it alone, in the round
trip that begins it. Nothing else of a session is used: no LISTEN, no advisory lock beyond a transaction, no
temporary table, no cursor WITH HOLD, and behind a pooler no named prepared statement.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final, Literal, TypeAlias

import asyncpg
from asyncpg.cursor import CursorIterator

Role = Literal["waypost_app", "waypost_edge", "waypost_aggregator"]
# The argument of `work`: a pooled connection is a proxy with the methods of a connection.
Pooled: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | Pooled"
Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "REPEATABLE READ READ ONLY"]

APPLICATION: Final = {"application_name": "waypost"}
# An edge reads by keys, few of them, in a few statements, many times a second: planning takes as long as
# reading. A plan is made once, then, and kept while tables grow: it must not read one whole as that was small.
EDGE_PLANS: Final = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
_savepoints = count(1)


class Begin:
    """Statements that begin a transaction of a role."""

    def __init__(self, role: Role, query_timeout_ms: int, new_accounts: str = "") -> None:
        settings = {
            "role": role,
            "search_path": "waypost",
            "timezone": "UTC",
            "jit": "off",
            "random_page_cost": "1.1",
            "statement_timeout": str(query_timeout_ms),
            "lock_timeout": str(query_timeout_ms),
            "idle_in_transaction_session_timeout": str(2 * query_timeout_ms + 10_000),
        }
        if role == "waypost_edge":
            settings |= EDGE_PLANS
        if new_accounts:  # storage/migrations/0016_new_accounts.sql
            settings["waypost.new_accounts"] = new_accounts
        self._settings = "".join(
            f"SET LOCAL {name} = '{value}';" for name, value in settings.items()
        )

    def statement(self, isolation: Isolation) -> str:
        return f"BEGIN ISOLATION LEVEL {isolation};{self._settings}"


class Connector:
    """Connects a pool, and notices a pooler between the engine and Postgres.

    A pooler cannot pass on the process id of a server connection, as it has one for many clients. Behind it no
    prepared statement is named or cached: another client's transaction would meet it.
    """

    def __init__(self) -> None:
        self._pooled: bool | None = None

    async def connect(self, *args: Any, **kwargs: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect as asyncpg.connect() does, which a pool calls with the loop and classes of its own."""
        driver_connect: Any = asyncpg.connect
        connection: asyncpg.Connection[asyncpg.Record]
        if self._pooled is None:
            connection = await driver_connect(*args, statement_cache_size=0, **kwargs)
            try:
                self._pooled = await is_pooled(connection)
            except BaseException:
                connection.terminate()
                raise
            if self._pooled:
                return connection
            await connection.close(timeout=kwargs.get("timeout"))
        cache = {"statement_cache_size": 0} if self._pooled else {}
        connection = await driver_connect(*args, **cache, **kwargs)
        return connection


async def is_pooled(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Return whether a pooler is between this connection, made without a statement cache, and Postgres."""
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid != connection.get_server_pid()


@asynccontextmanager
async def savepoint(connection: Connection) -> AsyncIterator[None]:
    """Undo what the block has changed if it raises, and go on with the transaction."""
    name = f"waypost_{next(_savepoints)}"
    await connection.execute(f"SAVEPOINT {name}")
    try:
        yield
    except (Exception, asyncio.CancelledError):
        await connection.execute(f"ROLLBACK TO SAVEPOINT {name}")
        raise
    await connection.execute(f"RELEASE SAVEPOINT {name}")


async def open_cursor(
    connection: Connection, query: str, *values: Any, prefetch: int, timeout_s: float | None = None
) -> "CursorIterator[asyncpg.Record]":
    """Return an iterator over a query's rows, which fetches `prefetch` rows at once; for one transaction.

    Its statement has no name, because a named one would stay behind in the pooler's server connection.
    """
    statement = await connection.prepare(query, name="", timeout=timeout_s)
    return statement.cursor(*values, prefetch=prefetch, timeout=timeout_s).__aiter__()

"""Postgres: connection pool, roles, time limits, and the meaning of errors.

Guarantees of `Database.transaction`, which is the only way to Postgres at run time:
- one crossing, one connection, one transaction: all of `work` is committed, or nothing is;
- role, search_path, time limits and tenant hold for that transaction only, and never leak to the next user of
  the connection, behind a pooler in transaction mode either (session.py);
- one tenant uses half of the pool at most, so that its slow queries do not keep the others waiting;
- every wait is bounded. The server ends a statement after `query_timeout_ms`; if its answer does not arrive (a
  dead network), the client drops the connection `GRACE_S` later;
- a transaction that fails by a deadlock or a serialisation failure is repeated with jitter, so `work` may run
  more than once and must change nothing but through its connection; a connection that died idle is replaced;
- while Postgres is away, calls raise UnavailableError, at once or after `CONNECT_S`; nothing has to be reopened
  when it comes back. If a connection is lost during COMMIT, the outcome is unknown: code whose work is not
  idempotent must read the outcome before it repeats the work.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, ParamSpec, TypeVar

import asyncpg
import trio
from asyncpg.cursor import CursorIterator

from engine.accounts.access import Caller
from engine.common.errors import NewAccountError, UnavailableError
from engine.operations.metrics import Metric, Sample
from storage.bridge import in_asyncio
from storage.postgres.session import (
    APPLICATION,
    Begin,
    Connector,
    Isolation,
    Pooled,
    open_cursor,
)
from storage.postgres.session import Connection as Connection
from storage.postgres.session import Role as Role
from storage.postgres.tenant_shares import TenantShares

P = ParamSpec("P")
T = TypeVar("T")
CONNECT_S: Final = 3.0
GRACE_S: Final = 2.0
# Idle connections are closed after it, so that a process keeps as many as it uses and not its peak's.
IDLE_S: Final = 20.0
MAX_ATTEMPTS: Final = 5
# Local to the transaction. It starts in the caller's tenant; storage/accounts/access.py enters others.
_SET_CALLER: Final = """SELECT set_config('waypost.tenant', $1, true), set_config('waypost.user', $2, true),
    set_config('waypost.key', $3, true), set_config('waypost.request', $4, true)"""

CONNECTIONS: Final = Metric(
    "waypost_database_connections",
    "Open connections to Postgres, by state: idle or busy",
    ("state",),
)


class _StaleConnectionError(Exception):
    """The error of a pooled connection that was dead before its transaction began; no statement has run."""


_RETRIED: Final = (
    _StaleConnectionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
)
# A creation above the limit of a new account. The detail is the time until the next day, in seconds.
_NEW_ACCOUNT: Final = "WPNEW"
# Errors of a beginning transaction that another connection would get too: the server is silent, or the role
# does not exist or is not granted.
_NOT_STALE: Final = (
    TimeoutError,
    asyncpg.InvalidParameterValueError,
    asyncpg.InsufficientPrivilegeError,
)
# Transient errors, outside the statement itself: the network, a server that starts, stops or fails over, a time
# limit, no free connection or disk space.
_UNAVAILABLE: Final = (
    OSError,
    TimeoutError,
    asyncpg.ClientConfigurationError,  # a certificate was removed since the start
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresIOError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    *_RETRIED,
)


class Database:
    """A pool of connections of one role. Open it on the trio side; it connects when needed."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        role: Role,
        size: int,
        query_timeout_ms: int,
        new_accounts: str = "",
    ) -> None:
        self._pool = pool
        self._begin_statement = Begin(role, query_timeout_ms, new_accounts).statement
        self._shares = TenantShares(size)
        self._wait_s = query_timeout_ms / 1000

    @classmethod
    async def open(
        cls, url: str, *, role: Role, size: int, query_timeout_ms: int, new_accounts: str = ""
    ) -> "Database":
        """Open a pool of at most `size` connections. The server need not be up. `new_accounts` are their
        limits (Settings.new_accounts)."""

        async def create() -> "asyncpg.Pool[asyncpg.Record]":
            pool = asyncpg.create_pool(
                url,
                min_size=0,
                max_size=size,
                timeout=CONNECT_S,
                max_inactive_connection_lifetime=IDLE_S,
                command_timeout=query_timeout_ms / 1000 + GRACE_S,
                reset=_leave_as_is,
                connect=Connector().connect,
                server_settings=APPLICATION,
            )
            return await pool

        return cls(await in_asyncio(create), role, size, query_timeout_ms, new_accounts)

    async def close(self) -> None:
        """Close all connections; drop those that are still in use after `GRACE_S`."""

        async def close() -> None:
            try:
                async with asyncio.timeout(GRACE_S):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

        await in_asyncio(close)

    async def ping(self) -> None:
        """Run `SELECT 1`. Raises UnavailableError if Postgres does not answer."""

        async def work(connection: Connection) -> None:
            await connection.fetchval("SELECT 1")

        await self.transaction(work, read_only=True)

    def samples(self) -> list[Sample]:
        open_connections, idle = self._pool.get_size(), self._pool.get_idle_size()
        return [
            *CONNECTIONS.by_label({"idle": idle, "busy": open_connections - idle}),
            *self._shares.samples(),
        ]

    async def transaction(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        caller: Caller | None = None,
        read_only: bool = False,
        one_snapshot: bool = False,
    ) -> T:
        """Run `work(connection)` on the host loop in one transaction, and return its value.

        With `caller`, row-level security limits the statements to rows of the caller's tenant, and the audit
        log names the caller. With `read_only`, all statements see one snapshot of the database. With
        `one_snapshot`, statements that write see one too; the transaction is repeated if another one changed
        the same rows. Raises UnavailableError as described above, and TooSoonError when other transactions of
        the caller's tenant use its share of the pool; other errors of `work` are raised unchanged.
        """
        if caller is None:
            return await in_asyncio(self._run, work, caller, read_only, one_snapshot)
        return await in_asyncio(self._run_in_share, work, caller, read_only, one_snapshot)

    async def second_transaction(
        self, work: Callable[[Connection], Awaitable[T]], *, one_snapshot: bool = False
    ) -> T:
        """Run `work` in a second transaction, from code that already holds a connection on the host loop. The
        pool needs two connections, or this deadlocks."""
        return await self._run(work, None, False, one_snapshot)

    @asynccontextmanager
    async def snapshot(self, caller: Caller) -> AsyncIterator["SnapshotReader"]:
        """Yield a reader of one snapshot of the database, as `caller`, for more rows than fit in memory.

        The snapshot holds a connection of the pool until the context ends, so the calling code must bound the
        number of snapshots. Postgres ends a snapshot without a statement for
        `idle_in_transaction_session_timeout`. Raises the errors of `transaction`.
        """
        connection = await in_asyncio(_map_errors, self._begin_in_share, caller)
        try:
            yield SnapshotReader(connection)
        finally:
            with trio.CancelScope(shield=True):
                await in_asyncio(self._end, connection, caller)

    async def _begin_in_share(self, caller: Caller) -> Pooled:
        await self._shares.take(caller.tenant_id, self._wait_s)
        try:
            return await self._begin(caller)
        except BaseException:
            self._shares.give_back(caller.tenant_id)
            raise

    async def _begin(self, caller: Caller) -> Pooled:
        for _ in range(MAX_ATTEMPTS):
            connection = await self._pool.acquire(timeout=self._wait_s)
            try:
                await _start(connection, self._begin_statement("REPEATABLE READ READ ONLY"))
                await connection.fetchval(_SET_CALLER, *_settings_of(caller))
                return connection
            except _StaleConnectionError as error:
                stale = error
                await self._pool.release(connection)
            except BaseException:
                await self._pool.release(connection)
                raise
        raise stale

    async def _end(self, connection: Pooled, caller: Caller) -> None:
        try:
            async with asyncio.timeout(GRACE_S):
                await connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection.terminate()
        finally:
            self._shares.give_back(caller.tenant_id)
            await self._pool.release(connection)

    async def _run_in_share(
        self,
        work: Callable[[Connection], Awaitable[T]],
        caller: Caller,
        read_only: bool,
        one_snapshot: bool,
    ) -> T:
        await self._shares.take(caller.tenant_id, self._wait_s)
        try:
            return await self._run(work, caller, read_only, one_snapshot)
        finally:
            self._shares.give_back(caller.tenant_id)

    async def _run(
        self,
        work: Callable[[Connection], Awaitable[T]],
        caller: Caller | None,
        read_only: bool,
        one_snapshot: bool,
    ) -> T:
        isolation: Isolation = "REPEATABLE READ" if one_snapshot else "READ COMMITTED"
        begin = self._begin_statement("REPEATABLE READ READ ONLY" if read_only else isolation)
        attempt = 1
        while True:
            try:
                async with self._pool.acquire(timeout=self._wait_s) as connection:
                    return await _transaction(connection, begin, work, caller)
            except _RETRIED as error:
                if attempt == MAX_ATTEMPTS:
                    raise _unavailable(error) from error
            except Exception as error:
                if _is_unavailable(error):
                    raise _unavailable(error) from error
                if getattr(error, "sqlstate", "") == _NEW_ACCOUNT:
                    raise NewAccountError(str(error), float(error.detail)) from None  # type: ignore[attr-defined]
                raise
            await asyncio.sleep(random.uniform(0.5, 1) * 0.005 * 2**attempt)  # noqa: S311
            attempt += 1


class SnapshotReader:
    """Reader of one snapshot, for one statement at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Return the result of `work(connection)`."""
        return await in_asyncio(_map_errors, work, self._connection)

    def rows(self, statement: str, *values: Any, chunk_rows: int = 1_000) -> "Rows":
        """Return an iterator over the statement's rows, in lists of `chunk_rows`."""
        return Rows(self._connection, statement, values, chunk_rows)


class Rows:
    """An iterator over lists of rows. It is no generator, so that it can be left early without being closed."""

    def __init__(
        self, connection: Connection, statement: str, values: tuple[Any, ...], chunk_rows: int
    ) -> None:
        self._connection = connection
        self._query = (statement, *values)
        self._chunk_rows = chunk_rows
        self._cursor: CursorIterator[asyncpg.Record] | None = None

    def __aiter__(self) -> "Rows":
        return self

    async def __anext__(self) -> "list[asyncpg.Record]":
        rows = await in_asyncio(_map_errors, self._fetch)
        if not rows:
            raise StopAsyncIteration
        return rows

    async def _fetch(self) -> "list[asyncpg.Record]":
        if self._cursor is None:
            self._cursor = await open_cursor(
                self._connection, *self._query, prefetch=self._chunk_rows
            )
        return [row async for row in _first(self._cursor, self._chunk_rows)]


async def _map_errors(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `function`. Raises UnavailableError in place of transient errors."""
    try:
        return await function(*args, **kwargs)
    except Exception as error:
        if _is_unavailable(error):
            raise _unavailable(error) from error
        raise


async def _first(
    rows: "CursorIterator[asyncpg.Record]", count: int
) -> "AsyncIterator[asyncpg.Record]":
    for _ in range(count):
        try:
            yield await anext(rows)
        except StopAsyncIteration:
            return


async def _transaction(
    connection: Connection,
    begin: str,
    work: Callable[[Connection], Awaitable[T]],
    caller: Caller | None,
) -> T:
    await _start(connection, begin)
    try:
        if caller is not None:
            await connection.fetchval(_SET_CALLER, *_settings_of(caller))
        result = await work(connection)
    except TimeoutError:
        # The server would have ended the statement earlier: it is out of reach, also for a rollback.
        connection.terminate()
        raise
    except BaseException:
        # A lost connection ends the transaction too, and the first error is the one to raise.
        try:
            await connection.execute("ROLLBACK")
        except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError):
            # The driver may take it for one that still copies, and its error on release would hide the first.
            with suppress(asyncpg.InterfaceError):
                connection.terminate()
        raise
    if await connection.execute("COMMIT") != "COMMIT":
        raise asyncpg.InFailedSQLTransactionError("a failed statement was ignored")
    return result


def _settings_of(caller: Caller) -> tuple[str, str, str, str]:
    key = "" if caller.key_id is None else str(caller.key_id)
    return str(caller.tenant_id), str(caller.user_id), key, caller.request_id


async def _start(connection: Connection, begin: str) -> None:
    """Begin the transaction. Raises _StaleConnectionError if the server has dropped the idle connection."""
    try:
        await connection.execute(begin)
    except BaseException as error:
        with suppress(asyncpg.InterfaceError):
            connection.terminate()
        if isinstance(error, Exception) and not isinstance(error, _NOT_STALE):
            raise _StaleConnectionError from error
        raise


async def _leave_as_is(_: Any) -> None:
    """Skip RESET ALL and its round trip: all settings are local to their transaction."""


def _is_unavailable(error: Exception) -> bool:
    if isinstance(error, _UNAVAILABLE):
        return True
    if isinstance(error, asyncpg.InvalidParameterValueError):
        return 'role "waypost_' in str(error)
    # A connection or pool that is closed or closing. Wrong use of the driver raises these classes too, with
    # other messages.
    return type(error) in (asyncpg.InterfaceError, asyncpg.InternalClientError) and any(
        words in str(error)
        for words in ("closed", "closing", "released back to the pool", "cannot switch to state")
    )


def _unavailable(error: Exception) -> UnavailableError:
    if isinstance(error, _StaleConnectionError):
        return UnavailableError(f"Postgres does not answer: {error.__cause__}")
    # A pooler repeats only the text of the server's error about a missing database.
    missing = isinstance(error, asyncpg.ProtocolViolationError) and "does not exist" in str(error)
    if missing or isinstance(
        error, asyncpg.InvalidParameterValueError | asyncpg.InvalidCatalogNameError
    ):
        return UnavailableError(f"Postgres is not set up ({error}); run waypost migrate")
    reason = str(error) or type(error).__name__
    return UnavailableError(f"Postgres does not answer: {reason}")

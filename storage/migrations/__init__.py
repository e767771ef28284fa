"""Migrations: numbered .sql files, applied in order, each in a transaction of its own.

Guarantees:
- `migrate` may run at any time, any number of times, on many machines at once: an advisory lock
  lets runs take turns, and what is applied is skipped;
- a file that has been applied must never change: its checksum is kept, and a difference is refused
  before anything is touched. So is a database that is newer than the code;
- a file that fails leaves nothing behind, nor do those after it.

The first line of a file ends by saying whether it goes before or after the code that needs it.
Files run as waypost_owner, who owns everything, in schema `waypost`; only the first, which makes
both, starts as the login user. That user must be allowed to create roles.
"""

import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Final, NamedTuple

import asyncpg

from engine.common.errors import UnavailableError, WaypostError
from storage.bridge import in_asyncio

MIN_VERSION: Final = 15
_LOCK: Final = 0x77617970  # "wayp"
_FILE: Final = re.compile(r"(\d{4})_\w+\.sql")
_CONNECT_S: Final = 5.0
_LOCK_WAIT_MS: Final = 300_000


class MigrationError(WaypostError):
    """The database cannot be brought to what this code needs; the message says what to do."""


class Migration(NamedTuple):
    """One file. `sha256` is of its text."""

    number: int
    name: str
    sql: str
    sha256: str


def migrations() -> list[Migration]:
    """The files of this folder, in order."""
    found = []
    for file in resources.files(__name__).iterdir():
        match = _FILE.fullmatch(file.name)
        if match is not None:
            sql = file.read_text("utf-8")
            digest = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(match[1]), file.name, sql, digest))
    return sorted(found)


async def migrate(url: str, files: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing to the database at `url`; the names of the files applied.

    Raises UnavailableError when the server does not answer, MigrationError for everything that a
    person has to look at.
    """
    return await in_asyncio(_migrate, url, migrations() if files is None else files)


async def pending(url: str) -> list[str]:
    """The names of the files that `migrate` would apply. Raises as it does."""

    async def ask() -> list[str]:
        connection = await _connect(url)
        try:
            await _check_server(connection)
            return [file.name for file in _pending(migrations(), await _applied(connection))]
        finally:
            await connection.close(timeout=_CONNECT_S)

    return await in_asyncio(ask)


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    settings = {"application_name": "waypost migrate", "search_path": "waypost", "timezone": "UTC"}
    try:
        return await asyncpg.connect(url, timeout=_CONNECT_S, server_settings=settings)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise UnavailableError(f"Postgres does not answer: {error}") from error


async def _migrate(url: str, files: Sequence[Migration]) -> list[str]:
    connection = await _connect(url)
    try:
        await _check_server(connection)
        await connection.execute(f"SET lock_timeout = {_LOCK_WAIT_MS}")
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        pending = _pending(files, await _applied(connection))
        for file in pending:
            await _apply(connection, file)
        return [file.name for file in pending]
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
        raise UnavailableError(f"Postgres does not answer: {error}") from error
    except asyncpg.LockNotAvailableError as error:
        raise UnavailableError("another migration of this database has not ended") from error
    finally:
        # Also ends the advisory lock, which belongs to the session.
        await connection.close(timeout=_CONNECT_S)


async def _check_server(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    version = connection.get_server_version()
    if version.major < MIN_VERSION:
        raise MigrationError(f"Postgres {MIN_VERSION} or later is needed, this is {version.major}")
    encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise MigrationError(f"the database must have the encoding UTF8, it has {encoding}")


async def _applied(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> dict[int, tuple[str, str]]:
    """Name and checksum of each file applied, by number."""
    if not await connection.fetchval("SELECT to_regnamespace('waypost') IS NOT NULL"):
        return {}
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE waypost_owner")
            rows = await connection.fetch("SELECT number, name, sha256 FROM waypost_migrations")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidParameterValueError) as error:
        raise MigrationError("the database has a schema waypost that is not ours") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(f"the login user may not act as waypost_owner: {error}") from error
    return {row["number"]: (row["name"], row["sha256"]) for row in rows}


def _pending(files: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    known = {file.number: file for file in files}
    newer = sorted(name for number, (name, _) in applied.items() if number not in known)
    if newer:
        raise MigrationError(
            f"the database is newer than this code: it has {', '.join(newer)}; update the code"
        )
    changed = [
        known[number].name for number, (_, sha) in applied.items() if known[number].sha256 != sha
    ]
    if changed:
        raise MigrationError(
            f"{', '.join(sorted(changed))} changed after it was applied; "
            "restore the file and put the change into a new one"
        )
    return [file for file in files if file.number not in applied]


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", file: Migration) -> None:
    try:
        async with connection.transaction():
            if file.number > 1:
                await connection.execute("SET LOCAL ROLE waypost_owner")
            await connection.execute(file.sql)
            await connection.execute(
                "INSERT INTO waypost.waypost_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                file.number,
                file.name,
                file.sha256,
            )
    except asyncpg.PostgresConnectionError:
        raise
    except asyncpg.PostgresError as error:
        hint = f" ({error.hint})" if getattr(error, "hint", None) else ""
        raise MigrationError(f"{file.name} failed, nothing of it is kept: {error}{hint}") from error

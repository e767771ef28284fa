"""Inspection of Postgres and Redis for `waypost doctor` and the launcher.

Postgres is only read. On Redis the commands of the engine are tried, on a stream of a new name that is deleted
again: what an ACL refuses is not known otherwise.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

import asyncpg
from redis import exceptions

from engine.clicks.batch import Batch
from engine.common.errors import UnavailableError
from engine.operations.server_conditions import PostgresFacts, RedisFacts
from storage import migrations
from storage.bridge import in_asyncio
from storage.clicks.stream import RedisClickStream
from storage.postgres import queries
from storage.postgres.connect import CONNECT_S, connect
from storage.redis.client import RedisServer
from storage.visits.announcer import CHANNEL

_SQL: Final = queries.load("operations/inspection")
# One stream for all inspections of a process, so that a server that refuses its deletion keeps one only.
_PROBE: Final = uuid4()


async def postgres_facts(url: str) -> PostgresFacts:
    """Read the facts of the server. Raises UnavailableError, and SettingsError for a URL that is refused."""

    async def read() -> PostgresFacts:
        connection = await connect(url, "waypost doctor")
        try:
            before = time.time()
            row = await connection.fetchrow(_SQL["facts"])
            assert row is not None
            facts = dict(row)
            skew_s = (before + time.time()) / 2 - facts.pop("server_s")
            return PostgresFacts(**facts, skew_s=skew_s)
        finally:
            await connection.close(timeout=CONNECT_S)

    try:
        return await in_asyncio(read)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise UnavailableError(f"Postgres does not answer: {error}") from error


async def migrations_pending(url: str) -> list[str]:
    """Return the names of the files that `migrate` would apply. Raises the errors of `migrate`."""
    return await migrations.pending(url)


async def redis_facts(url: str) -> RedisFacts:
    """Read the facts of the server, and try the engine's commands. Raises UnavailableError."""
    server = await RedisServer.open(url, size=2)
    try:
        await server.ping()
        about = await _ask(server, server.commands.info, "server")
        policy = await _ask(server, server.commands.config_get, "maxmemory-policy")
        replication = await _ask(server, server.commands.info, "replication")
        return RedisFacts(
            name="Valkey" if "valkey_version" in about else "Redis",
            version=str(about.get("valkey_version") or about.get("redis_version", "")),
            replica=replication.get("role") == "slave",
            maxmemory_policy=str(policy.get("maxmemory-policy", "")),
            refusals=await _refusals(server),
        )
    finally:
        await server.close()


async def _ask(
    server: RedisServer, command: Callable[..., Awaitable[Any]], *args: str
) -> dict[str, Any]:
    """Return what the server tells, empty if it refuses to: managed servers often refuse CONFIG."""
    try:
        reply = await server.run(command, *args)
    except (UnavailableError, exceptions.ResponseError) as error:
        if isinstance(error, exceptions.ResponseError) or _is_refusal(error):
            return {}
        raise
    return reply if isinstance(reply, dict) else {}


async def _refusals(server: RedisServer) -> tuple[str, ...]:
    """Return a line for each use of Redis that the server refuses."""
    stream = RedisClickStream(server)
    uses: dict[str, Callable[[], Awaitable[object]]] = {
        "clicks of edges": lambda: stream.add(_PROBE, 0, Batch(1, 1, b"")),
        "reading of clicks": lambda: stream.read(_PROBE, 0, 1, 0),
        "trimming of clicks": lambda: stream.trim(_PROBE, 1),
        "announcements of changes": lambda: server.run(
            server.commands.execute_command, "PUBLISH", CHANNEL, b"[]"
        ),
        "deletion of clicks that are counted": lambda: stream.reset(_PROBE),
    }
    refusals = []
    for use, attempt in uses.items():
        try:
            await attempt()
        except exceptions.ResponseError as error:
            refusals.append(f"{use} ({error})")
        except UnavailableError as error:
            if not _is_refusal(error):
                raise
            refusals.append(f"{use} ({error.__cause__})")
    return tuple(refusals)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error.__cause__, exceptions.NoPermissionError)

"""Inspection of Postgres and Redis for `waypost doctor`, without any change."""

from typing import NamedTuple

import asyncpg
import redis.exceptions

from engine.common.errors import UnavailableError
from storage import migrations
from storage.bridge import in_asyncio
from storage.postgres.connect import CONNECT_S, connect
from storage.redis.client import RedisServer


class RedisSettings(NamedTuple):
    """The server's name, version and `maxmemory_policy`, empty if the server refuses to report it."""

    server: str
    version: str
    maxmemory_policy: str


async def server_version(url: str) -> int:
    """Return Postgres' server_version_num, such as 170010. Raises UnavailableError."""

    async def ask() -> int:
        connection = await connect(url, "waypost doctor")
        try:
            return int(await connection.fetchval("SHOW server_version_num"))
        finally:
            await connection.close(timeout=CONNECT_S)

    try:
        return await in_asyncio(ask)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise UnavailableError(f"Postgres does not answer: {error}") from error


async def migrations_pending(url: str) -> list[str]:
    """Return the names of the files that `migrate` would apply. Raises the errors of `migrate`."""
    return await migrations.pending(url)


async def redis_settings(url: str) -> RedisSettings:
    """Return the settings of Redis or Valkey. Raises UnavailableError."""
    server = await RedisServer.open(url, size=2)
    try:
        server_info = await server.run(server.commands.info, "server")
        try:
            policy = await server.run(server.commands.config_get, "maxmemory-policy")
        except redis.exceptions.ResponseError:
            policy = {}  # managed servers often refuse CONFIG
        name = "Valkey" if "valkey_version" in server_info else "Redis"
        version = server_info.get("valkey_version") or server_info.get("redis_version", "")
        return RedisSettings(name, str(version), str(policy.get("maxmemory-policy", "")))
    finally:
        await server.close()

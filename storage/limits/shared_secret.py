"""Rate limits in Redis, under the secret that all consoles on one database share."""

from collections.abc import Sequence
from typing import Final

from engine.limits.ports import Charge
from engine.limits.rate import RateDecision
from storage.limits.redis_limiter import RedisRateLimiter
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.redis.client import RedisServer

SQL: Final = queries.load("limits/shared_secret")


class SharedRateLimiter:
    """RateLimiter that asks Postgres for the secret when it is first needed: neither server has to be
    up before. `database`: opened as waypost_app."""

    def __init__(self, database: Database, redis: RedisServer) -> None:
        self._database = database
        self._redis = redis
        self._limiter: RedisRateLimiter | None = None

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        if self._limiter is None:
            self._limiter = RedisRateLimiter(self._redis, await shared_secret(self._database))
        return await self._limiter.decide(charges)


async def shared_secret(database: Database) -> bytes:
    """32 bytes, the same for every process on this database, and random."""

    async def work(connection: Connection) -> bytes:
        secret: bytes = await connection.fetchval(SQL["rate_secret"])
        return secret

    return await database.transaction(work)

"""Rate limits in Redis, with a secret that all consoles of one database share."""

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
    """RateLimiter that reads the secret from Postgres at its first decision, so that neither server must
    run before.

    `database` must be opened as waypost_app.
    """

    def __init__(self, database: Database, redis: RedisServer) -> None:
        self._database = database
        self._redis = redis
        self._limiter: RedisRateLimiter | None = None

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        if self._limiter is None:
            self._limiter = RedisRateLimiter(self._redis, await shared_secret(self._database))
        return await self._limiter.decide(charges)


async def shared_secret(database: Database) -> bytes:
    """Return 32 random bytes, equal for every process of this database."""

    async def work(connection: Connection) -> bytes:
        secret: bytes = await connection.fetchval(SQL["rate_secret"])
        return secret

    return await database.transaction(work)

"""Rate limits that all consoles of one database share, under a secret that is read on first use."""

import pytest

from api.accounts.login_throttle import RateLimitedLogins
from engine.common.errors import TooSoonError, UnavailableError
from storage.limits.shared_secret import SharedRateLimiter, shared_secret
from storage.postgres.database import Database
from storage.redis.client import RedisServer
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

ADA = "ada@example.com"


async def test_the_secret_is_made_once(open_database: OpenDatabase) -> None:
    app = await open_database("waypost_app")
    secret = await shared_secret(app)
    assert len(secret) == 32
    assert await shared_secret(app) == secret
    for role in ("waypost_edge", "waypost_aggregator"):
        other = await open_database(role)
        with pytest.raises(Exception, match="permission denied"):
            await shared_secret(other)


async def test_two_consoles_share_their_limits(open_database: OpenDatabase, redis_url: str) -> None:
    app = await open_database("waypost_app")
    redis = await RedisServer.open(redis_url, size=2)
    try:
        one, two = (RateLimitedLogins(SharedRateLimiter(app, redis)) for _ in range(2))
        for console in (one, two, one, two, one):
            await console.admit(ADA, "198.51.100.7")
        with pytest.raises(TooSoonError) as caught:
            await two.admit(ADA.upper(), "198.51.100.8")
        assert 0 < caught.value.retry_after_s <= 12
        await two.admit("ben@example.com", "198.51.100.7")
    finally:
        await redis.close()


async def test_no_login_is_admitted_without_redis_or_postgres(
    open_database: OpenDatabase, redis_url: str
) -> None:
    app = await open_database("waypost_app")
    nowhere = await Database.open(
        "postgresql://127.0.0.1:1/none", role="waypost_app", size=1, query_timeout_ms=1000
    )
    redis = await RedisServer.open(redis_url, size=2)
    away = await RedisServer.open("redis://127.0.0.1:1", size=2)
    try:
        for database, server in ((app, away), (nowhere, redis)):
            with pytest.raises(UnavailableError):
                await RateLimitedLogins(SharedRateLimiter(database, server)).admit(
                    ADA, "198.51.100.7"
                )
    finally:
        await redis.close()
        await away.close()
        await nowhere.close()

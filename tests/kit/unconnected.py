"""The workers of an engine without servers, for tests of their jobs and metrics."""

from api.processes.process import ProcessSpec
from api.processes.workers import Workers
from engine.operations.settings import Settings
from storage.postgres.database import Database
from storage.redis.client import RedisServer


def unconnected_workers() -> Workers:
    """Return workers that must not send a request to their servers."""
    database = Database(None, "waypost_aggregator", 1, 1000)  # type: ignore[arg-type]
    redis = RedisServer(None, None)  # type: ignore[arg-type]
    spec = ProcessSpec(role="workers", index=0, data="unused", parent=0, settings={})
    return Workers(spec, Settings(), database, database, redis)

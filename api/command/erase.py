"""`waypost erase`: erase a profile for good, as its owner could."""

from pathlib import Path

import trio

from api.command.servers import prepared_servers
from engine.common.errors import NotFoundError
from engine.operations.settings import Settings
from engine.privacy.erasure import FIRST_SWEEP_AFTER_S
from storage.postgres.database import Database
from storage.privacy.erasure import Eraser, PostgresErasureStore, owner_of
from storage.redis.client import RedisServer
from storage.visits.announcer import RedisAnnouncer


async def erase(settings: Settings, folder: Path, handle: str) -> int:
    """Delete the profile as its owner would, and erase its data. Returns the number of erased rows.

    Raises NotFoundError for an unknown handle, WaypostError when no server runs. If it is stopped, the workers
    erase the deleted profile.
    """
    settings = await prepared_servers(settings, folder, "waypost_app", "waypost_aggregator")
    url, limit_ms = settings.database_url, settings.query_timeout_ms
    app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=limit_ms)
    worker = await Database.open(url, role="waypost_aggregator", size=1, query_timeout_ms=limit_ms)
    redis = await RedisServer.open(settings.redis_url, size=2)
    try:
        eraser = Eraser(worker, redis)
        owner = await owner_of(worker, handle)
        if owner is None:
            raise NotFoundError(f"there is no profile with the handle {handle!r}")
        change = await PostgresErasureStore(app).erase(owner.caller, owner.profile_id)
        await RedisAnnouncer(redis).announce([change])
        await trio.sleep(FIRST_SWEEP_AFTER_S)
        return await eraser.sweep(owner.tenant_id, owner.profile_id, everything=False)
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await worker.close()
            await app.close()

"""`waypost archive`: export of all data of a profile into a file."""

import os
from contextlib import aclosing
from pathlib import Path

import trio

from api.command.servers import prepared_servers
from engine.common.errors import NotFoundError, WaypostError
from engine.operations.settings import Settings
from storage.postgres.database import Database
from storage.privacy.archive import PostgresArchiveSource
from storage.privacy.erasure import owner_of


async def archive(settings: Settings, folder: Path, handle: str, file: Path) -> int:
    """Write the archive. Returns its size in bytes. The file gets its name once it is complete.

    Raises WaypostError.
    """
    settings = await prepared_servers(settings, folder, "waypost_app", "waypost_aggregator")
    url, limit_ms = settings.database_url, settings.query_timeout_ms
    app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=limit_ms)
    worker = await Database.open(url, role="waypost_aggregator", size=1, query_timeout_ms=limit_ms)
    unfinished = file.with_name(file.name + ".unfinished")
    size = 0
    try:
        owner = await owner_of(worker, handle)
        if owner is None:
            raise NotFoundError(f"there is no profile with the handle {handle!r}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            async with aclosing(
                PostgresArchiveSource(app).archive(owner.caller, owner.profile_id)
            ) as lines:
                async for line in lines:
                    size += out.write(line)
        unfinished.replace(file)
    except OSError as error:
        raise WaypostError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
        with trio.CancelScope(shield=True):
            await worker.close()
            await app.close()
    return size

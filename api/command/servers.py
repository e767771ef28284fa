"""Where a command of the operator's finds the servers: the given ones, or those of a running `up`."""

from dataclasses import replace
from pathlib import Path

from engine.common.errors import WaypostError
from engine.operations.settings import Settings
from storage.embedded import EmbeddedServers, FolderInUse, lock_folder


def with_servers(settings: Settings, folder: Path) -> Settings:
    """The settings with the URLs of servers that can be expected to answer. Raises WaypostError."""
    if settings.database_url:
        return settings
    if folder.is_dir():
        try:
            lock_folder(folder).close()
        except FolderInUse:
            servers = EmbeddedServers(folder)
            return replace(settings, database_url=servers.database_url, redis_url=servers.redis_url)
    raise WaypostError(
        f"nothing runs on {folder}: start `waypost up`, name its folder with --data, or set DATABASE_URL"
    )

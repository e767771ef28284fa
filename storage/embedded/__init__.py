"""Real Postgres 17 and real Valkey in a data folder, from wheels: no server on the machine needed.

    with lock_folder(folder), EmbeddedServers(folder) as servers:
        connect(servers.database_url, servers.redis_url)

The calls block and are for the main thread: the servers end with the thread that starts them.
"""

from storage.embedded.errors import EmbeddedError, FolderInUseError
from storage.embedded.folder import FolderLock, lock_folder
from storage.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedError", "EmbeddedServers", "FolderInUseError", "FolderLock", "lock_folder"]

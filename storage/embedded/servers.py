"""The two servers of a data folder: started, watched and stopped together."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.embedded.errors import EmbeddedError
from storage.embedded.folder import (
    FolderLock,
    layout,
    lock_folder,
    locked_here,
    make_folder,
    make_run_folder,
)
from storage.embedded.postgres import Postgres
from storage.embedded.process import RootWay, Server
from storage.embedded.valkey import Valkey


class EmbeddedServers:
    """Postgres and Valkey in `folder`. All calls block, and are for the main thread only.

    - `start` locks the folder unless this process has locked it already, and recovers from a kill -9 of any
      process at any moment.
    - If `start` raises, no server is left running.
    - The URLs are known before the start, and stay the same for the folder.
    - The servers end with this process, also by kill -9.

    `durable=False` never syncs to the disk: for tests. `root_way` is how root runs Postgres; see
    `launcher.py`.
    """

    def __init__(self, folder: Path, *, durable: bool = True, root_way: RootWay = "auto") -> None:
        self._layout = layout(folder)
        self._lock: FolderLock | None = None
        self._should_run: set[str] = set()
        self._postgres = Postgres(self._layout, durable, root_way)
        self._valkey = Valkey(self._layout, durable)
        # Valkey first: it starts while the Postgres cluster is made.
        self._servers: dict[str, Server] = {
            server.name: server for server in (self._valkey, self._postgres)
        }

    @property
    def database_url(self) -> str:
        """The URL for asyncpg and libpq, over the unix socket."""
        return self._postgres.url

    @property
    def redis_url(self) -> str:
        """The URL for redis-py, over the unix socket."""
        return self._valkey.url

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the servers that were started and not stopped, by name."""
        return {name: server.pid for name, server in self._servers.items() if server.pid}

    def start(self) -> None:
        """Start the servers that do not run, and wait until both answer.

        Raises FolderInUseError, or EmbeddedError with a one-line reason.
        """
        if sys.platform != "linux":
            raise EmbeddedError("the embedded servers need Linux: set DATABASE_URL and REDIS_URL")
        if all(server.running for server in self._servers.values()):
            return
        if self._lock is None and not locked_here(self._layout.folder):
            self._lock = lock_folder(self._layout.folder)
        try:
            make_folder(self._layout.logs)
            self._start([server for server in self._servers.values() if not server.running])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both servers, by force if they take more than 20 s. Postgres disconnects its clients. A second
        call does nothing."""
        self._should_run.clear()
        try:
            self._stop(list(self._servers.values()))
            self._layout.drop_temporary_run()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def poll(self) -> list[str]:
        """Return the names of servers that died or whose restart failed.

        Quick; it also keeps the logs within their bound: call it about once a second.
        """
        for server in self._servers.values():
            server.log.bound()
        return [name for name in sorted(self._should_run) if not self._servers[name].running]

    def restart(self, name: str) -> None:
        """Restart the server `name`, dead or alive.

        Raises EmbeddedError; then the other server keeps running, the folder stays locked, and poll() keeps
        returning this name.
        """
        server = self._servers[name]
        self._stop([server])
        self._start([server])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, servers: Sequence[Server]) -> None:
        alone = not any(server.running for server in self._servers.values())
        try:
            # A folder with a socket of the other server stays as it is.
            if alone or not self._layout.run.exists():
                make_run_folder(self._layout.run)
            for server in servers:
                self._should_run.add(server.name)
                server.begin_start()
            for server in servers:
                server.await_ready()
        except BaseException:
            self._stop(servers)
            raise

    def _stop(self, servers: Sequence[Server]) -> None:
        for server in servers:
            server.begin_stop()
        for server in servers:
            server.finish_stop()

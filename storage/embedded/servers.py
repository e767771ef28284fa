"""Both servers of a data folder, as one thing to start, watch and stop."""

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
    """Postgres and Valkey in `folder`. Plain blocking calls, for the main thread only.

    - `start` takes the folder's lock unless this process has it already, and recovers from a kill
      -9 of anything at any moment.
    - When `start` raises, nothing of it is left running.
    - The URLs are known before the start, and stay the same for the folder.
    - The servers end with this process, also by kill -9.

    `durable=False` never syncs to the disk: for tests. `root_way` says how Postgres is run when we
    are root; see `launcher.py`.
    """

    def __init__(self, folder: Path, *, durable: bool = True, root_way: RootWay = "auto") -> None:
        self._place = layout(folder)
        self._lock: FolderLock | None = None
        self._wanted: set[str] = set()
        self._postgres = Postgres(self._place, durable, root_way)
        self._valkey = Valkey(self._place, durable)
        # Valkey first: it starts while Postgres' cluster is made.
        self._servers: dict[str, Server] = {
            server.name: server for server in (self._valkey, self._postgres)
        }

    @property
    def database_url(self) -> str:
        """For asyncpg and libpq, over the unix socket."""
        return self._postgres.url

    @property
    def redis_url(self) -> str:
        """For redis-py, over the unix socket."""
        return self._valkey.url

    @property
    def pids(self) -> dict[str, int]:
        """The process of each server that was started, and was not stopped."""
        return {name: server.pid for name, server in self._servers.items() if server.pid}

    def start(self) -> None:
        """Both answer when this returns. Those that run already are left alone.

        Raises FolderInUseError, or EmbeddedError with one line that says why.
        """
        if sys.platform != "linux":
            raise EmbeddedError("the embedded servers need Linux: set DATABASE_URL and REDIS_URL")
        if all(server.running for server in self._servers.values()):
            return
        if self._lock is None and not locked_here(self._place.folder):
            self._lock = lock_folder(self._place.folder)
        try:
            make_folder(self._place.logs)
            self._start([server for server in self._servers.values() if not server.running])
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Both have ended when this returns, by force if they take more than 20 s. Postgres
        disconnects its clients. A second call does nothing."""
        self._wanted.clear()
        try:
            self._stop(list(self._servers.values()))
            self._place.drop_temporary_run()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def poll(self) -> list[str]:
        """The names of servers that should run and don't: they died, or their restart failed.
        Quick, and keeps the logs within their bound: call it about once a second."""
        for server in self._servers.values():
            server.log.bound()
        return [name for name in sorted(self._wanted) if not self._servers[name].running]

    def restart(self, name: str) -> None:
        """Start the server `name` again, dead or alive. Raises EmbeddedError; the other server runs
        on then, the folder stays locked, and `poll` goes on to name this one."""
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
            # With a socket of the other server in it, the folder stays as it is.
            if alone or not self._place.run.exists():
                make_run_folder(self._place.run)
            for server in servers:
                self._wanted.add(server.name)
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

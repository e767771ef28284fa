"""An asynchronous standby of an engine's embedded Postgres, which is promoted and takes its place."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import asyncpg
import uvloop

from bench.kit.errors import BenchError
from storage.embedded.folder import FolderLayout, layout, make_folder, make_run_folder
from storage.embedded.postgres import USER, Postgres, cluster_major
from storage.embedded.wheel import postgres_wheel

LIMIT_S: Final = 60.0
POLL_S: Final = 0.02


class Standby:
    """A standby in `folder` that follows the running Postgres of `primary`. Entering its context makes it
    and waits until it follows; call it from the main thread.

    From promote() on it goes its own way, while the primary does not notice: what that one commits later
    is lost when the standby takes over. Raises BenchError.
    """

    def __init__(self, primary: FolderLayout, folder: Path) -> None:
        self._primary = primary
        self._layout = layout(folder)
        self._server = Postgres(self._layout, durable=False, way="auto")
        self._primary_url = Postgres(primary, durable=False, way="auto").url

    def __enter__(self) -> Self:
        try:
            shutil.rmtree(self._layout.folder, ignore_errors=True)
            for folder in (self._layout.folder, self._layout.logs):
                make_folder(folder)
            make_run_folder(self._layout.run)
            self._wait(self._primary_url, "SELECT true")  # it may just be restarting
            self._copy()
            self._server.begin_start()
            self._wait(self._server.url, "SELECT pg_last_wal_receive_lsn() IS NOT NULL")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._layout.drop_temporary_run()
        shutil.rmtree(self._layout.folder, ignore_errors=True)

    def _copy(self) -> None:
        home = self._primary.postgres
        programs = postgres_wheel(cluster_major(home), home)
        host = parse_qs(urlsplit(self._primary_url).query)["host"][0]
        result = subprocess.run(
            [
                programs.program("pg_basebackup"), f"--host={host}", "--port=5432", f"--username={USER}",
                f"--pgdata={self._layout.postgres}", "--checkpoint=fast", "--wal-method=stream",
                "--write-recovery-conf", "--no-sync",
            ],
            env=programs.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )  # fmt: skip
        if result.returncode != 0:
            raise BenchError(f"pg_basebackup failed: {result.stderr.strip()[-300:]}")

    def promote(self) -> None:
        """Make the standby a primary of its own, on a new timeline, and stop it."""
        self._wait(self._server.url, "SELECT pg_promote(true, 30)")
        self._stop()

    def _stop(self) -> None:
        self._server.begin_stop()
        self._server.finish_stop()

    def take_over(self) -> None:
        """Put the promoted standby's data into the place of the primary's. Kill that one after this."""
        self._primary.postgres.rename(self._layout.folder / "old")
        self._layout.postgres.rename(self._primary.postgres)

    def _wait(self, url: str, query: str) -> None:
        """Wait until the server answers the query with true."""
        until = time.monotonic() + LIMIT_S
        while not uvloop.run(_answer(url, query)):
            if time.monotonic() > until or not (url == self._primary_url or self._server.running):
                raise self._server.failure(f"no answer to {query}")
            time.sleep(POLL_S)


async def _answer(url: str, query: str) -> Any:
    try:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError):  # it starts, or replay has ended the query
        return None

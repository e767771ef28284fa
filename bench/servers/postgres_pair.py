"""A primary Postgres on loopback and its synchronous standby, which can take over.

The standby confirms each commit, so a failover loses nothing. The programs are those of the engine's wheel.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, Self

import asyncpg
import uvloop

from bench.kit.errors import BenchError
from bench.load.processes import free_ports
from storage.embedded import wheel
from storage.embedded.process import launch

USER: Final = "waypost"
START_LIMIT_S: Final = 30.0
_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    # The machine does not lose power; the processes are killed.
    "fsync": "off",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1",
    "jit": "off",
}


class PostgresNode:
    """Postgres with its data folder and port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"postgresql://{USER}@127.0.0.1:{port}/{USER}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        """Start it, and wait until it answers. Raises BenchError."""
        words = [f"{name}={value}" for name, value in {**_SETTINGS, **settings}.items()]
        options = [word for setting in (f"port={self.port}", *words) for word in ("-c", setting)]
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = _launch(
                "postgres", "-D", str(self.folder), *options, owned=self.folder, output=log
            )
        until = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise BenchError(f"Postgres does not start in {self.folder}")
            time.sleep(0.05)

    def query(self, statement: str) -> Any:
        """Return the statement's value, as the superuser. Raises BenchError."""

        async def run() -> Any:
            connection = await asyncpg.connect(self.url, database="postgres", timeout=5)
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        try:
            return uvloop.run(run())
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise BenchError(f"Postgres does not answer: {error}") from None

    def kill(self) -> None:
        """End all of its processes with SIGKILL."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(BenchError):
            return bool(self.query("SELECT true"))
        return False


class PostgresPair:
    """A primary and its standby as a context manager; `primary` is the one that takes writes."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="waypost-postgres-"))
        self._folder.chmod(0o755)
        ports = free_ports(2)
        self.primary = PostgresNode(self._folder / "a", ports[0])
        self.standby: PostgresNode | None = PostgresNode(self._folder / "b", ports[1])

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for node in (self.primary, self.standby):
            if node is not None:
                node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fail_over(self) -> bool:
        """Kill the primary and promote the standby. Returns whether there was one."""
        standby = self.standby
        if standby is None:
            return False
        self.primary.kill()
        standby.query("SELECT pg_promote()")
        self.primary, self.standby = standby, None
        return True

    def _make(self) -> None:
        primary, standby = self.primary, self.standby
        assert standby is not None
        primary.folder.mkdir(mode=0o700)
        standby.folder.mkdir(mode=0o700)
        self._do("initdb", "-D", str(primary.folder), "-U", USER, "--auth=trust", "--encoding=UTF8",
                 "--locale=C", "--no-sync", "--no-instructions", owned=primary.folder)  # fmt: skip
        primary.start()
        primary.query(f"CREATE DATABASE {USER}")
        self._do("pg_basebackup", "-D", str(standby.folder), "-d", primary.url, "-R", "-X", "stream",
                 "--checkpoint=fast", "--no-sync", owned=standby.folder)  # fmt: skip
        standby.start()
        self._wait("SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
        primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.query("SELECT pg_reload_conf()")
        self._wait("SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    def _wait(self, condition: str) -> None:
        until = time.monotonic() + START_LIMIT_S
        while not self.primary.query(condition):
            if time.monotonic() > until:
                raise BenchError(f"the standby is not ready: {condition}")
            time.sleep(0.05)

    def _do(self, *command: str, owned: Path) -> None:
        """Run a program to its end. Raises BenchError."""
        log_file = self._folder / "setup.log"
        with log_file.open("ab") as log:
            process = _launch(*command, owned=owned, output=log)
            if process.wait(START_LIMIT_S):
                raise BenchError(f"{command[0]} failed: {log_file.read_text()[-500:]}")


def _launch(program: str, *words: str, owned: Path, output: IO[bytes]) -> "subprocess.Popen[bytes]":
    programs = wheel.postgres_wheel(None, Path())
    return launch(
        [programs.program(program), *words],
        death_signal=signal.SIGKILL,
        way="auto",
        owned=(owned,),
        environment=programs.environment,
        output=output.fileno(),
    )

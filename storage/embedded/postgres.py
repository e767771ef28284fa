"""Postgres in a data folder: a private cluster on a unix socket, superuser and database `waypost`.

The socket's folder has mode 0700, so only processes of this user can connect, and they are trusted. A new
cluster is made in postgres.new and renamed when complete: a kill -9 at any moment leaves a whole cluster or
none.

When the engine dies, Postgres gets SIGINT, the fast shutdown: with 128 MB of buffers its checkpoint is short,
and the next start has nothing to replay. A start during that shutdown waits for its end.

Settings and hba are written at each start; settings of ALTER SYSTEM override them.
"""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from storage.embedded import wheel
from storage.embedded.errors import EmbeddedError
from storage.embedded.folder import FolderLayout, make_folder
from storage.embedded.log import ServerLog
from storage.embedded.process import (
    RootWay,
    Server,
    Steps,
    clear_residents,
    launch,
    residents,
    wait_until,
)

USER = DATABASE = "waypost"
_PORT = 5432  # names the socket; nothing listens on a network
_MAKE_TIMEOUT_S = 120.0
_READY_LINE = 7  # of postmaster.pid: the line with the postmaster's state
_KILL = ((signal.SIGKILL, 5.0),)
# Children of a killed postmaster end by themselves, unless they hang; their changes are in the WAL.
_KILL_ORPHANS = ((signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0))


class Postgres(Server):
    """See `Server`. `durable=False` is for tests: a power cut would leave the cluster broken."""

    name = "postgres"
    program = "postgres"
    steps = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

    def __init__(self, layout: FolderLayout, durable: bool, way: RootWay) -> None:
        super().__init__(layout.postgres, ServerLog(layout.logs / "postgres.log"))
        self._new = layout.postgres_new
        self._run = layout.run
        self._durable = durable
        self._way = way
        self._wheel: wheel.PostgresWheel | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@/{DATABASE}?host={self._run}&port={_PORT}"

    @property
    def _pid_file(self) -> Path:
        return self.home / "postmaster.pid"

    @property
    def socket(self) -> Path:
        return self._run / f".s.PGSQL.{_PORT}"

    def leftover_steps(self) -> Steps:
        pids = residents(self.home, self.program)
        return self.steps if _written_pid(self._pid_file) in pids else _KILL_ORPHANS

    def prepare(self) -> None:
        self._wheel = wheel.postgres_wheel(cluster_major(self.home), self.home)
        if not self.home.exists():
            self._make_cluster(self._wheel)
        # Nothing runs in the folder: a pid in the file belongs to a dead postmaster or another program.
        self._pid_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        self.socket.with_name(self.socket.name + ".lock").unlink(missing_ok=True)
        _write(self.home / "postgresql.conf", self._configuration())
        # The second line is for pg_basebackup and a standby.
        _write(self.home / "pg_hba.conf", "local all all trust\nlocal replication all trust\n")

    def spawn(self, output: int) -> "subprocess.Popen[bytes]":
        assert self._wheel is not None
        return launch(
            [self._wheel.program("postgres"), "-D", str(self.home)],
            death_signal=signal.SIGINT,
            way=self._way,
            owned=(self.home, self._run),
            environment=self._wheel.environment,
            output=output,
        )

    def answers(self, pid: int) -> bool:
        try:
            lines = self._pid_file.read_text().splitlines()
            if lines[0] != str(pid) or lines[_READY_LINE].strip() != "ready":
                return False
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
                wire.connect(os.fsencode(self.socket))
            return True
        except (OSError, IndexError):
            return False

    def _make_cluster(self, programs: wheel.PostgresWheel) -> None:
        clear_residents(self._new, self.program, _KILL)
        if self._new.exists():
            shutil.rmtree(self._new)
        make_folder(self._new)
        self._run_once(
            programs,
            [
                programs.program("initdb"),
                f"--pgdata={self._new}",
                f"--username={USER}",
                "--auth=trust",
                "--encoding=UTF8",
                # The machine's own locales may be missing, and change with its C library.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--data-checksums",
                "--no-instructions",
                *([] if self._durable else ["--no-sync"]),
            ],
        )
        self._run_once(
            programs,
            [
                programs.program("postgres"),
                "--single",
                # Otherwise it would report a failure, continue and exit 0.
                "-c",
                "exit_on_error=on",
                "-c",
                f"fsync={_switch(self._durable)}",
                "-D",
                str(self._new),
                "template1",
            ],
            f"CREATE DATABASE {DATABASE}\n",
        )
        self._new.rename(self.home)
        if self._durable:
            _sync_folder(self.home.parent)

    def _run_once(self, programs: wheel.PostgresWheel, command: list[str], text: str = "") -> None:
        output = self.log.open()
        try:
            process = launch(
                command,
                death_signal=signal.SIGKILL,
                way=self._way,
                owned=(self._new,),
                environment=programs.environment,
                output=output,
                text=text,
            )
        finally:
            os.close(output)
        try:
            in_time = wait_until(lambda: process.poll() is not None, _MAKE_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
        if not in_time:
            raise self.failure("making the Postgres cluster takes too long")
        if process.returncode != 0:
            raise self.failure("cannot make the Postgres cluster")

    def _configuration(self) -> str:
        settings = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self._run),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "fsync": _switch(self._durable),
            "synchronous_commit": _switch(self._durable),
            "full_page_writes": _switch(self._durable),
            # Pages come whole after each checkpoint; pglz compresses 13 MB of them a second.
            "wal_compression": "lz4" if self._wheel is not None and self._wheel.has_lz4 else "on",
            "max_wal_size": "1GB",
            "TimeZone": "UTC",
            "log_timezone": "UTC",
            "DateStyle": "ISO",
            # Compiling a plan takes longer than the engine's queries.
            "jit": "off",
            # Parallel workers share memory in /dev/shm, of which a container has 64 MB.
            "max_parallel_workers_per_gather": "0",
            "max_parallel_maintenance_workers": "0",
            # Standard error is the log. Clients log their own errors, without the statements' data.
            "logging_collector": "off",
            "log_min_messages": "log",
            "log_min_error_statement": "panic",
            "log_checkpoints": "off",
            "log_line_prefix": "%m [%p] ",
        }
        lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
        return "# Written by waypost at each start; ALTER SYSTEM is kept.\n" + "".join(lines)


def cluster_major(cluster: Path) -> int | None:
    """Return the major version that made `cluster`; None if the folder does not exist.

    Raises EmbeddedError if the folder is not a cluster.
    """
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        if not cluster.exists():
            return None
    except (OSError, ValueError):
        pass
    raise EmbeddedError(
        f"{cluster} is not a Postgres cluster, or cannot be read: restore it or move it away"
    )


def _written_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split(maxsplit=1)[0])
    except (OSError, ValueError, IndexError):
        return None


def _write(path: Path, text: str) -> None:
    """Write a file as a whole, readable to the server's account; its folder keeps all others out."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _switch(on: bool) -> str:
    return "on" if on else "off"

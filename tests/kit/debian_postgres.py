"""Postgres 15 of the machine, for what must work with servers older than the wheel's."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from storage.embedded.process import launch
from tests.conftest import on_connection

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def debian_postgres() -> Iterator[str]:
    """Yield the URL of a new cluster's database `postgres`, on a unix socket."""
    with tempfile.TemporaryDirectory(prefix="waypost-15-") as name:
        folder = Path(name)
        data, run = folder / "data", folder / "run"
        for made in (data, run):
            made.mkdir(mode=0o700)
        url = f"postgresql://waypost@/postgres?host={run}"
        command = ["initdb", f"--pgdata={data}", "--username=waypost", "--auth=trust", "--no-sync"]
        assert start(folder, (data,), *command, "--encoding=UTF8", "--locale=C").wait(60) == 0
        options = ["listen_addresses=", f"unix_socket_directories={run}", "fsync=off"]
        server = start(
            folder, (data, run), "postgres", "-D", str(data), *(f"-c{o}" for o in options)
        )
        try:
            wait_ready(url)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def start(
    folder: Path, owned: tuple[Path, ...], program: str, *words: str
) -> "subprocess.Popen[bytes]":
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return launch(
            [str(PROGRAMS / program), *words],
            death_signal=signal.SIGKILL, way="auto", owned=owned, output=log,
        )  # fmt: skip
    finally:
        os.close(log)


def wait_ready(url: str) -> None:
    async def ping(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await connection.execute("SELECT 1")

    until = time.monotonic() + 20
    while True:
        try:
            return on_connection(url, ping)
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < until, "Postgres 15 does not start"
            time.sleep(0.05)

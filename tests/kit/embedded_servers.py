"""Embedded servers in other processes, and a note to write to and read from them."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
import redis

from storage.embedded import EmbeddedServers

ROOT = Path(__file__).parents[3]
AS_ROOT = os.geteuid() == 0
slow = pytest.mark.slow
HOLD = """
    import json, sys
    from pathlib import Path
    from storage.embedded import EmbeddedServers
    servers = EmbeddedServers(Path(sys.argv[1]))
    servers.start()
    print(json.dumps([servers.pids, servers.database_url, servers.redis_url]), flush=True)
    sys.stdin.read()
"""


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def gone(pid: int) -> bool:
    """Return whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def query(url: str, *statements: str) -> object:
    """Run all statements. Returns the value of the last one."""

    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            value = None
            for statement in statements:
                value = await connection.fetchval(statement)
            return value
        finally:
            await connection.close()

    return asyncio.run(run())


def write(database_url: str, redis_url: str, text: str = "kept") -> None:
    query(
        database_url,
        "CREATE TABLE IF NOT EXISTS note (word text)",
        "DELETE FROM note",
        f"INSERT INTO note VALUES ('{text}')",
    )
    with redis.Redis.from_url(redis_url) as client:
        client.set("note", text)


def read(servers: EmbeddedServers) -> tuple[object, object]:
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        return query(servers.database_url, "SELECT word FROM note"), client.get("note")


def run_python(script: str, *arguments: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@contextmanager
def holder(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", dict[str, int], str, str]]:
    """Yield (process, pids, database URL, Redis URL) of another process that runs the servers of `folder`."""
    with run_python(HOLD, folder) as process:
        assert process.stdout is not None
        try:
            pids, database_url, redis_url = json.loads(process.stdout.readline())
            yield process, pids, database_url, redis_url
        finally:
            process.kill()

"""The dump of a backup: pg_dump and psql of the Postgres wheel, as pipes.

The dump is whole: tables with their owners, grants and row-level security, and then the rows' indexes, foreign
keys, policies and triggers, in the order that lets a plain user load them. Only roles belong to the cluster and
not to the database; the migrations make them, so restore migrates first and loads the dump in place of the
empty schema, in one transaction: a restore that ends early, however it ends, leaves an empty database.
"""

import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from subprocess import PIPE
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import trio

from engine.operations.backup import BackupError
from storage.embedded.wheel import PostgresWheel
from storage.operations.backup_snapshot import LOCK_WAIT_S, counting_query

_PIPE_BYTES: Final = 256 * 1024
_SINK_BYTES: Final = 2 * 1024 * 1024
_TAIL_BYTES: Final = 64 * 1024
_MARK: Final = b"all rows are counted\n"
# What the dump's statements return is of no use; psql shows the counts only.
_BEGINNING: Final = (
    b"\\o /dev/null\nSET client_min_messages = warning;\nBEGIN;\nDROP SCHEMA waypost CASCADE;\n"
)
# pg_dump 17 writes it for servers of every version; those before 17 refuse it.
_ONLY_FROM_17: Final = b"SET transaction_timeout = 0;\n"


async def dump(
    wheel: PostgresWheel, url: str, snapshot: str, sink: Callable[[bytes], Awaitable[object]]
) -> None:
    """Send the gzipped SQL of the schema at an exported snapshot to `sink`. Raises BackupError."""
    plain_url, environment = libpq_url(url)
    command = [
        wheel.program("pg_dump"), "--format=plain", "--compress=gzip:1", "--schema=waypost",
        f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_WAIT_S}s", "--no-tablespaces",
        f"--dbname={plain_url}",
    ]  # fmt: skip
    async with _Tool(command, wheel.environment | environment) as tool:
        buffer = bytearray()
        while chunk := await tool.receive():
            buffer += chunk
            if len(buffer) >= _SINK_BYTES:
                await sink(bytes(buffer))
                buffer.clear()
        await sink(bytes(buffer))
        await tool.finish()


class SchemaDump(NamedTuple):
    """A dump to load: its SQL, the rows that each table must have then, and a comment without quotes for the
    schema, by which the load is recognised later."""

    sql: Iterator[bytes]
    rows: Mapping[str, int]
    comment: str


async def load(wheel: PostgresWheel, url: str, server_version: int, schema: SchemaDump) -> None:
    """Replace the schema by that of the dump, and commit if each table has its rows.

    Raises BackupError, and the errors of the SQL's iterator; nothing is loaded then.
    """
    plain_url, environment = libpq_url(url)
    command = [
        wheel.program("psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only",
        "--set=ON_ERROR_STOP=1", "--file=-", f"--dbname={plain_url}",
    ]  # fmt: skip
    sql = schema.sql if server_version >= 170_000 else _for_older_servers(schema.sql)
    async with _Tool(command, wheel.environment | environment) as tool:
        await tool.send(_BEGINNING)
        while chunk := await trio.to_thread.run_sync(next, sql, b""):
            await tool.send(chunk)
        await tool.send(_ending(sorted(schema.rows), schema.comment))
        _require_rows(await _loaded_rows(tool), schema.rows)
        await tool.send(b"COMMIT;\n")
        await tool.finish()


async def _loaded_rows(tool: "_Tool") -> dict[str, int]:
    output = bytearray()
    while not output.endswith(_MARK):
        chunk = await tool.receive()
        if not chunk:
            await tool.finish()
            raise BackupError("psql ended before the rows were counted")
        output += chunk
    lines = (line.rpartition("|") for line in output.removesuffix(_MARK).decode().splitlines())
    return {name: int(rows) for name, _, rows in lines}


def _require_rows(loaded: Mapping[str, int], rows: Mapping[str, int]) -> None:
    for name, expected in sorted(rows.items()):
        if loaded.get(name) != expected:
            raise BackupError(
                f"the table {name} has {loaded.get(name, 0):,} rows after loading, and not {expected:,}"
            )


def _ending(tables: list[str], comment: str) -> bytes:
    """Return what follows the dump. Transaction ids of the old cluster mean nothing in this one: edges would
    take these profiles for changed, poll after poll."""
    lines = [
        "UPDATE waypost.profile_changes SET xid = DEFAULT;",
        f"COMMENT ON SCHEMA waypost IS '{comment}';",
        "\\o",
        f"{counting_query(tables)};",
        f"\\echo {_MARK.decode().strip()}\n",
    ]
    return "\n".join(lines).encode()


def _for_older_servers(sql: Iterator[bytes]) -> Iterator[bytes]:
    """Drop the one setting that servers before 17 do not know; it stands at the front."""
    front = b""
    for chunk in sql:
        front += chunk
        if len(front) >= _TAIL_BYTES:
            break
    yield front.replace(_ONLY_FROM_17, b"", 1)
    yield from sql


class _Tool:
    """A program of Postgres as an async context. Leaving it ends the program.

    send(), receive() and finish() raise BackupError with its last line when it has failed.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._name = os.path.basename(command[0])
        self._command = command
        self._environment = {**_inherited(), **environment}

    async def __aenter__(self) -> "_Tool":
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        try:
            self._process = await trio.lowlevel.open_process(
                self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=self._errors,
                env=self._environment,
                # Ctrl-C is for this process, which then ends the program.
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._errors)
            raise BackupError(f"{self._name} cannot be started: {error.strerror}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        with trio.CancelScope(shield=True):
            # Without the end of its transaction psql rolls back, and pg_dump has nothing to undo.
            process.kill()
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()
        os.close(self._errors)

    async def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(data)
        except trio.BrokenResourceError:
            await self._process.wait()
            raise self._failure() from None

    async def receive(self) -> bytes:
        """Return the next bytes of its output; b"" at the end."""
        assert self._process.stdout is not None
        return bytes(await self._process.stdout.receive_some(_PIPE_BYTES))

    async def finish(self) -> None:
        """Close its input and wait for its end."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        if await self._process.wait() != 0:
            raise self._failure()

    def _failure(self) -> BackupError:
        size = os.fstat(self._errors).st_size
        text = os.pread(self._errors, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(
            errors="replace"
        )
        lines = [line for line in text.splitlines() if "error:" in line or "ERROR:" in line]
        return BackupError(
            f"{self._name} failed: {(lines or text.splitlines() or ['no reason'])[-1]}"
        )


def libpq_url(url: str) -> tuple[str, dict[str, str]]:
    """Return `url` without its password, and the environment that has it: every user of a machine can read the
    arguments of a process."""
    parts = urlsplit(url)
    userinfo, at, hosts = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    pairs = parts.query.split("&") if parts.query else []
    plain = [pair for pair in pairs if not pair.startswith("password=")]
    # asyncpg's name for what libpq calls dbname.
    plain = [re.sub("^database=", "dbname=", pair) for pair in plain]
    passwords = [password, *(pair[9:] for pair in pairs if pair.startswith("password="))]
    stripped = parts._replace(netloc=f"{user}{at}{hosts}", query="&".join(plain))
    given_password = unquote(next((text for text in reversed(passwords) if text), ""))
    # urlunsplit() would drop the slashes of a URL without a host.
    text = f"{stripped.scheme}://{stripped.netloc}{stripped.path}"
    text += f"?{stripped.query}" if stripped.query else ""
    return text, {"PGPASSWORD": given_password} if given_password else {}


def _inherited() -> dict[str, str]:
    """Return this process's environment without the settings; messages are in English."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WAYPOST_") and name not in ("DATABASE_URL", "REDIS_URL")
    }
    return kept | {"LC_ALL": "C"}

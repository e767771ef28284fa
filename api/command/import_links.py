"""`waypost import`: import of links from a file, in batches, with or without a running engine."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import click
import trio
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from actors.operations.runtime import Stop
from api.command.step_display import LINE_INTERVAL_S
from api.processes import owner
from engine.accounts.access import Caller
from engine.common.errors import StoppedError, WaypostError
from engine.common.export import csv_lines
from engine.links.import_rows import (
    MAX_LINE_BYTES,
    ArchiveParser,
    Parse,
    RowError,
    parser_for,
    validate_row,
)
from engine.links.ports import ImportRow
from engine.links.profile import ProfileDraft, validate_draft
from engine.operations.settings import Settings
from storage.accounts.keys import first_owner
from storage.embedded import EmbeddedServers, FolderInUseError, lock_folder
from storage.links.import_rows import PostgresLinkImporter
from storage.migrations import migrate
from storage.postgres.database import Database
from storage.redis.client import RedisServer
from storage.visits.announcer import RedisAnnouncer

BATCH_ROWS: Final = 5000


@dataclass(slots=True)
class ImportProgress:
    """Counts of the rows read so far, by result."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    bytes_read: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        return self.created + self.updated + self.unchanged + self.rejected

    @property
    def rows_per_s(self) -> float:
        return self.rows / max(1e-6, time.monotonic() - self.started)

    def line(self) -> str:
        return (
            f"{self.rows} rows: {self.created} created, {self.updated} updated, "
            f"{self.unchanged} unchanged, {self.rejected} rejected ({self.rows_per_s:,.0f} rows/s)"
        )


class Rejects:
    """Rejected rows in FILE.rejects.csv, created with the first one. An earlier run's file is deleted."""

    def __init__(self, source: Path) -> None:
        self.path = source.with_name(source.name + ".rejects.csv")
        self._file: BinaryIO | None = None
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise WaypostError(f"{self.path} cannot be replaced: {error.strerror}") from None

    def add(self, line: int, reason: str) -> None:
        if self._file is None:
            try:
                self._file = self.path.open("wb")
            except OSError as error:
                raise WaypostError(f"{self.path} cannot be written: {error.strerror}") from None
            self._file.write(csv_lines([("line", "reason")]))
        self._file.write(csv_lines([(line, reason)]))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def lines(file: BinaryIO, progress: ImportProgress) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number, line without its end); the line is None if too long. Blank lines are skipped."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 2):
        number += 1
        progress.bytes_read += len(line)
        if not line.endswith(b"\n") and len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
                progress.bytes_read += len(line)
            yield number, None
        elif line.strip():
            yield number, line.rstrip(b"\r\n")


def valid_handle(handle: str) -> str:
    """Return the handle in lower case. Raises WaypostError for one that no profile can have."""
    draft, errors = validate_draft(ProfileDraft(handle=handle))
    if draft is None:
        raise WaypostError(f"--profile {'; '.join(error.reason for error in errors)}")
    return draft.handle


def rows(
    file: BinaryIO,
    progress: ImportProgress,
    rejects: Rejects,
    *,
    private_hosts: bool,
    handle: str = "",
) -> Iterator[ImportRow]:
    """Yield the valid rows of a file. Add the invalid ones to `rejects`. `handle`: see `parser_for`.

    Raises InvalidError for an archive of another format.
    """

    def reject(number: int, reason: str) -> None:
        progress.rejected += 1
        rejects.add(number, reason)

    parse: Parse | None = None
    number = 0
    for number, line in lines(file, progress):
        try:
            if line is None and isinstance(parse, ArchiveParser):
                continue  # no link is that long
            if line is None:
                raise RowError(f"must not be longer than {MAX_LINE_BYTES} bytes")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
            if parse is None:
                parse, is_header = parser_for(text, handle)
                if is_header:
                    continue
            if (row := parse(text)) is not None:
                yield validate_row(number, row, private_hosts=private_hosts)
        except RowError as error:
            reject(number, str(error))
    if isinstance(parse, ArchiveParser) and not parse.ended:
        reject(number, "is the last line, and the archive has no end: it was not written whole")


class Importer:
    """Import of one file into the first tenant."""

    def __init__(self, settings: Settings, folder: Path, path: Path, handle: str = "") -> None:
        """`handle` is the profile of rows without one, and of an archive. Raises WaypostError for a bad one."""
        self.handle = valid_handle(handle) if handle else ""
        self.settings = settings
        self.folder = folder
        self.path = path
        self._embedded = not settings.database_url
        self._stack = ExitStack()

    def __enter__(self) -> "Importer":
        """Open the file. Use the servers of the settings, or of a running `up`; else start embedded ones."""
        try:
            self.file: BinaryIO = self._stack.enter_context(self.path.open("rb"))
            self.size = self.path.stat().st_size
            self.rejects = self._stack.enter_context(closing(Rejects(self.path)))
            if not self.settings.database_url:
                self._use_embedded()
        except OSError as error:
            self._stack.close()
            raise WaypostError(f"{self.path} cannot be read: {error.strerror}") from None
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _use_embedded(self) -> None:
        servers = EmbeddedServers(self.folder)
        try:
            self._stack.enter_context(lock_folder(self.folder))
            self._stack.enter_context(servers)
        except FolderInUseError:
            pass  # `up` runs there, and so do its servers
        self.settings = replace(
            self.settings, database_url=servers.database_url, redis_url=servers.redis_url
        )

    async def run(self, stop: Stop) -> ImportProgress:
        """Import the file batch by batch. Returns the counts.

        Raises StoppedError after a stop; committed batches stay.
        """
        settings = self.settings
        await migrate(settings.sessions_url)
        database = await Database.open(
            settings.database_url,
            role="waypost_app",
            size=2,
            query_timeout_ms=max(60_000, settings.query_timeout_ms),
        )
        redis = await RedisServer.open(settings.redis_url, size=2)
        try:
            if self._embedded:
                await owner.create(database, settings, self.folder)
            caller = await first_owner(database)
            if caller is None:
                raise WaypostError(
                    "there is no account to import into: run `waypost migrate --data DIR` first"
                )
            return await self._import(
                caller, PostgresLinkImporter(database), RedisAnnouncer(redis), stop
            )
        finally:
            with trio.CancelScope(shield=True):
                await redis.close()
                await database.close()

    async def _import(
        self, caller: Caller, bulk: PostgresLinkImporter, announcer: RedisAnnouncer, stop: Stop
    ) -> ImportProgress:
        progress = ImportProgress()
        private = self.settings.private_targets
        valid_rows = rows(
            self.file, progress, self.rejects, private_hosts=private, handle=self.handle
        )
        with Display(self.size) as display:
            while batch := list(islice(valid_rows, BATCH_ROWS)):
                if stop.is_set():
                    raise StoppedError(
                        f"stopped after {progress.line()}; run it again for the rest"
                    )
                result = await bulk.import_rows(caller, batch)
                progress.created += result.created
                progress.updated += result.updated
                progress.unchanged += result.unchanged
                progress.rejected += len(result.rejected)
                for line, reason in result.rejected:
                    self.rejects.add(line, reason)
                await announcer.announce(result.changes)
                display.show(progress)
        return progress


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("rate", "")))


class Display:
    """Progress of an import on standard error: a bar on a terminal, elsewhere a line every LINE_INTERVAL_S."""

    def __init__(self, size: int) -> None:
        self._progress = Progress(
            TextColumn("importing"),
            BarColumn(),
            DownloadColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._terminal = self._progress.console.is_terminal
        self._task = self._progress.add_task("import", total=size, rate="")
        self._shown_at = time.monotonic()

    def __enter__(self) -> "Display":
        if self._terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._progress.stop()

    def show(self, progress: ImportProgress) -> None:
        if self._terminal:
            rate = f"{progress.rows_per_s:,.0f} rows/s"
            self._progress.update(self._task, completed=progress.bytes_read, rate=rate)
        elif time.monotonic() - self._shown_at >= LINE_INTERVAL_S:
            self._shown_at = time.monotonic()
            click.echo(progress.line(), err=True)

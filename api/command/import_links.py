"""`waypost import`: import of links from a file, in batches, with or without a running engine."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

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

from actors.links.import_run import ImportProgress, ImportRun
from actors.operations.runtime import Stop
from api.command.step_display import LINE_INTERVAL_S
from api.processes import owner
from engine.accounts.access import Caller
from engine.common.errors import StoppedError, WaypostError
from engine.common.export import csv_lines
from engine.links.imports.columns import COLUMNS
from engine.links.imports.importable_rows import ImportableRows
from engine.links.imports.link_file import LinkFile
from engine.links.imports.plan import IfExists
from engine.links.imports.row_error import RowReject
from engine.links.imports.rows import RowReader
from engine.links.profile import ProfileDraft, validate_draft
from engine.links.targets.target_policy import TargetPolicy
from engine.operations.settings import Settings
from storage.accounts.keys import first_owner
from storage.embedded import EmbeddedServers, FolderInUseError, lock_folder
from storage.links.abuse.blocklists import PostgresBlocklists
from storage.links.abuse.policy_source import PolicySource
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.migrations import migrate
from storage.postgres.database import Database
from storage.redis.client import RedisServer
from storage.visits.announcer import RedisAnnouncer


class Rejects:
    """Rejected rows in FILE.rejects.csv, created with the first one. An earlier run's file is deleted."""

    def __init__(self, source: Path) -> None:
        self.path = source.with_name(source.name + ".rejects.csv")
        self._file: BinaryIO | None = None
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise WaypostError(f"{self.path} cannot be replaced: {error.strerror}") from None

    def add(self, reject: RowReject) -> None:
        if self._file is None:
            try:
                self._file = self.path.open("wb")
            except OSError as error:
                raise WaypostError(f"{self.path} cannot be written: {error.strerror}") from None
            self._file.write(csv_lines([("line", "reason")]))
        self._file.write(csv_lines([(reject.line, reject.reason)]))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def valid_handle(handle: str) -> str:
    """Return the handle in lower case. Raises WaypostError for one that no profile can have."""
    draft, errors = validate_draft(ProfileDraft(handle=handle))
    if draft is None:
        raise WaypostError(f"--profile {'; '.join(error.reason for error in errors)}")
    return draft.handle


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """Wishes of an operator for an import. `handle` is the profile of rows without one, and of an archive.
    `columns` has names of the file's columns by ours."""

    handle: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    if_exists: IfExists = "update"
    dry_run: bool = False


def valid_columns(texts: Sequence[str]) -> dict[str, str]:
    """Return names of a file's columns by ours, from texts such as `target=Long URL`. Raises WaypostError."""
    columns = {}
    for text in texts:
        column, equals, name = text.partition("=")
        if not equals or not name or column not in COLUMNS:
            raise WaypostError(
                f"--column {text[:100]!r} must be one of {', '.join(COLUMNS)}, then = and the "
                "file's name for it"
            )
        columns[column] = name
    return columns


class Importer:
    """Import of one file into the first tenant. `unread` are, after run(), columns that mean nothing."""

    def __init__(
        self, settings: Settings, folder: Path, path: Path, options: ImportOptions
    ) -> None:
        self.options = options
        self.unread: list[str] = []
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
            policy = await PolicySource(settings, PostgresBlocklists(database)).read()
            return await self._import(
                caller, PostgresLinkImporter(database), RedisAnnouncer(redis), policy, stop
            )
        finally:
            with trio.CancelScope(shield=True):
                await redis.close()
                await database.close()

    async def _import(
        self,
        caller: Caller,
        bulk: PostgresLinkImporter,
        announcer: RedisAnnouncer,
        policy: TargetPolicy,
        stop: Stop,
    ) -> ImportProgress:
        source = LinkFile(self.file, self.options.columns, self.options.handle)
        reader = RowReader(
            self.options.handle,
            policy=policy,
            private_hosts=self.settings.private_targets,
            tag_separators=source.tag_separators,
            visitors_url=self.settings.visitors_url,
            case_sensitive=await bulk.case_sensitive_handles(caller),
        )
        run = ImportRun(
            bulk,
            announcer.announce,
            self.rejects.add,
            if_exists=self.options.if_exists,
            dry_run=self.options.dry_run,
        )
        with Display(self.size) as display:

            def before_batch(progress: ImportProgress) -> None:
                if stop.is_set():
                    raise StoppedError(
                        f"stopped after {progress.text()}; run it again for the rest"
                    )
                display.show(progress, self.file.tell())

            progress = await run.run(caller, ImportableRows(source, reader), before_batch)
        self.unread = source.unread
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

    def show(self, progress: ImportProgress, bytes_read: int) -> None:
        if self._terminal:
            rate = f"{progress.rows_per_s:,.0f} rows/s"
            self._progress.update(self._task, completed=bytes_read, rate=rate)
        elif time.monotonic() - self._shown_at >= LINE_INTERVAL_S:
            self._shown_at = time.monotonic()
            click.echo(progress.text(), err=True)

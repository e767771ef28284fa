"""Imports of files that members sent: the handler of the kind of job `links.import`.

The file is read from the spool into a temporary one, and imported in batches. Each batch commits its links,
their counts and its rejected rows in one transaction, so an import whose worker died goes on behind it.
A file that cannot be read ends its import with the reason; it is no failure of the job.
"""

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, BinaryIO, Final

import trio

from actors.links.import_run import ImportProgress, ImportRun
from engine.common.errors import ForbiddenError, InvalidError, NewAccountError
from engine.jobs.handler import Handler, JobContext
from engine.links.import_ports import ImportSpool
from engine.links.imports.importable_rows import ImportableRows
from engine.links.imports.link_file import LinkFile
from engine.links.imports.link_import import (
    IMPORT_KIND,
    MAX_UNREAD,
    ImportEnd,
    ImportStep,
    ImportTask,
    RowCounts,
)
from engine.links.imports.rows import RowReader
from engine.links.ports import LinkImporter
from engine.links.profile import ProfileChange
from engine.links.targets.target_policy import TargetPolicy
from engine.operations.metrics import Metric, Sample

BATCH_ROWS: Final = 1_000
LIMIT_S: Final = 3_600.0
MAX_ROWS: Final = 500_000
MAX_DOCUMENT_CHARS: Final = 8 * 1024 * 1024

IMPORTED_ROWS: Final = Metric(
    "waypost_import_rows_total",
    "Rows of files sent to the API, by result: created, updated, unchanged or rejected",
    ("result",),
)
UNREADABLE_FILES: Final = Metric(
    "waypost_import_files_unreadable_total", "Files sent to the API that could not be read"
)


class FileImports:
    """The job handler. `policy()` reads the operator's lists."""

    def __init__(
        self,
        spool: ImportSpool,
        importer: LinkImporter,
        announce: Callable[[Sequence[ProfileChange]], Awaitable[None]],
        policy: Callable[[], Awaitable[TargetPolicy]],
        *,
        private_hosts: bool,
        visitors_url: str,
    ) -> None:
        self._spool = spool
        self._importer = importer
        self._announce = announce
        self._policy = policy
        self._private_hosts = private_hosts
        self._visitors_url = visitors_url
        self.rows = dict.fromkeys(RowCounts._fields, 0)
        self.unreadable = 0

    def samples(self) -> list[Sample]:
        return [UNREADABLE_FILES.sample(self.unreadable), *IMPORTED_ROWS.by_label(self.rows)]

    def handlers(self) -> dict[str, Handler]:
        """Return the handler by its kind."""
        return {IMPORT_KIND: Handler(run=self.run, time_limit_s=LIMIT_S)}

    async def run(self, context: JobContext) -> None:
        """Carry out the import of a job. Raises SnoozeError, and StaleLeaseError."""
        try:
            task = await self._spool.open(context.job)
            end = ImportEnd() if task is None else await self._import(context, task)
        except (ForbiddenError, NewAccountError) as error:
            end = ImportEnd(error=str(error))
        await context.finish_with(self._spool.end_writer(context.job, end))

    async def _import(self, context: JobContext, task: ImportTask) -> ImportEnd:
        with tempfile.TemporaryFile() as file:
            if not await self._copy(task, file):
                return ImportEnd(error="the file was deleted with the import; send it again")
            try:
                return await self._import_file(context, task, file)
            except InvalidError as error:
                self.unreadable += 1
                return ImportEnd(error=str(error))

    async def _copy(self, task: ImportTask, file: BinaryIO) -> bool:
        """Copy the spooled file. Returns False if it is not whole."""
        for number in range(task.link_import.chunks):
            data = await self._spool.chunk(task, number)
            if data is None:
                return False
            await trio.to_thread.run_sync(file.write, data)
        return file.tell() == task.link_import.size

    async def _import_file(
        self, context: JobContext, task: ImportTask, file: BinaryIO
    ) -> ImportEnd:
        wishes = task.link_import.wishes
        source = await trio.to_thread.run_sync(
            LinkFile, file, wishes.columns, task.handle, MAX_DOCUMENT_CHARS
        )
        reader = RowReader(
            task.handle,
            private_hosts=self._private_hosts,
            tag_separators=source.tag_separators,
            visitors_url=self._visitors_url,
            policy=await self._policy(),
            case_sensitive=await self._importer.case_sensitive_handles(task.caller),
        )
        run = ImportRun(
            self._importer,
            self._announce,
            if_exists=wishes.if_exists,
            dry_run=wishes.dry_run,
            batch_rows=BATCH_ROWS,
            log=_StepLog(self._spool, task, partial(self._stepped, context)),
            done=ImportProgress(task.link_import.counts, task.link_import.line),
            rejected_lines=task.rejected_lines,
        )
        await run.run(task.caller, ImportableRows(source, reader, MAX_ROWS))
        return ImportEnd(tuple(source.unread[:MAX_UNREAD]))

    def _stepped(self, context: JobContext, before: RowCounts, step: ImportStep) -> None:
        context.report_progress(step.counts.rows, step.total)
        for name, old, new in zip(RowCounts._fields, before, step.counts, strict=True):
            self.rows[name] += new - old


class _StepLog:
    """The spool as the log of one run."""

    def __init__(
        self,
        spool: ImportSpool,
        task: ImportTask,
        stepped: Callable[[RowCounts, ImportStep], None],
    ) -> None:
        self._spool = spool
        self._task = task
        self._stepped = stepped
        self._counts = task.link_import.counts

    async def write(self, connection: Any, step: ImportStep) -> None:
        await self._spool.write_step(connection, self._task, step)

    async def save(self, step: ImportStep) -> None:
        await self._spool.save_step(self._task, step)

    def committed(self, step: ImportStep) -> None:
        self._stepped(self._counts, step)
        self._counts = step.counts

"""The import of one file, batch by batch: what has been committed stays when it is stopped."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import trio

from engine.accounts.access import Caller
from engine.links.imports.importable_rows import ImportableRows
from engine.links.imports.link_import import ImportStep, RowCounts
from engine.links.imports.plan import IfExists, repeated_row
from engine.links.imports.row_error import RowReject
from engine.links.link_size import parts_of
from engine.links.ports import ImportResult, ImportRow, LinkImporter
from engine.links.profile import ProfileChange

BATCH_ROWS: Final = 5_000


@dataclass(slots=True)
class ImportProgress:
    """Counts of the rows read so far, by result. `line` is the last one that is done."""

    counts: RowCounts = field(default_factory=RowCounts)
    line: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def rows_per_s(self) -> float:
        return self.counts.rows / max(1e-6, time.monotonic() - self.started)

    def text(self) -> str:
        created, updated, unchanged, rejected = self.counts
        return (
            f"{self.counts.rows} rows: {created} created, {updated} updated, "
            f"{unchanged} unchanged, {rejected} rejected ({self.rows_per_s:,.0f} rows/s)"
        )


class ImportLog(Protocol):
    """Log of the steps of a run."""

    async def write(self, connection: Any, step: ImportStep) -> None:
        """Write a step in the transaction of its rows."""

    async def save(self, step: ImportStep) -> None:
        """Write a step whose rows change nothing."""

    def committed(self, step: ImportStep) -> None:
        """Note that a step is done."""


class NoLog:
    """Log of a run that keeps its progress to itself."""

    async def write(self, connection: Any, step: ImportStep) -> None:
        pass

    async def save(self, step: ImportStep) -> None:
        pass

    def committed(self, step: ImportStep) -> None:
        pass


class _Batch(NamedTuple):
    rows: list[ImportRow]
    rejects: list[RowReject]
    line: int


class ImportRun:
    """Import of a file's rows for one caller. `reject` gets each rejected row.

    With `done`, the run goes on behind that line, where `rejected_lines` were rejected.
    """

    def __init__(
        self,
        importer: LinkImporter,
        announce: Callable[[Sequence[ProfileChange]], Awaitable[None]],
        reject: Callable[[RowReject], None] = lambda _: None,
        *,
        if_exists: IfExists = "update",
        dry_run: bool = False,
        batch_rows: int = BATCH_ROWS,
        log: ImportLog | None = None,
        done: ImportProgress | None = None,
        rejected_lines: frozenset[int] = frozenset(),
    ) -> None:
        self.progress = done or ImportProgress()
        self._importer = importer
        self._announce = announce
        self._reject = reject
        self._if_exists: IfExists = if_exists
        self._dry_run = dry_run
        self._batch_rows = batch_rows
        self._log = log or NoLog()
        self._done_line = self.progress.line
        self._rejected_lines = rejected_lines
        # Lines of addresses that the file has more than once, once a row of them was taken.
        self._taken: dict[tuple[str, str], int] = {}

    async def run(
        self,
        caller: Caller,
        rows: ImportableRows,
        before_batch: Callable[[ImportProgress], None] = lambda _: None,
    ) -> ImportProgress:
        """Import the file. `before_batch` may raise to stop between two batches."""
        batches = parts_of(self._behind_done(rows), _chars_of, self._batch_rows)
        while batch := await trio.to_thread.run_sync(next, batches, None):
            before_batch(self.progress)
            await self._import(caller, self._without_repeated(batch), rows.total)
        return self.progress

    def _behind_done(self, rows: ImportableRows) -> Iterator[ImportRow | RowReject]:
        for row in rows:
            if row.line > self._done_line:
                yield row
            elif isinstance(row, ImportRow):
                self._note_taken(row, self._rejected_lines)

    def _without_repeated(self, batch: list[ImportRow | RowReject]) -> _Batch:
        rows: list[ImportRow] = []
        rejects: list[RowReject] = []
        for row in batch:
            if isinstance(row, RowReject):
                rejects.append(row)
                continue
            line = self._taken.get((row.handle, row.slug)) if row.other_line else None
            if line is None:
                rows.append(row)
            else:
                rejects.append(repeated_row(row, line))
        return _Batch(rows, rejects, batch[-1].line)

    async def _import(self, caller: Caller, batch: _Batch, total: int) -> None:
        async def note(connection: Any, result: ImportResult) -> None:
            await self._log.write(connection, self._step(batch, result, total))

        if batch.rows:
            result = await self._importer.import_rows(
                caller, batch.rows, self._if_exists, dry_run=self._dry_run, note=note
            )
        else:
            result = ImportResult(0, 0, 0, [], [])
        step = self._step(batch, result, total)
        if self._dry_run or not batch.rows:
            await self._log.save(step)
        self.progress.counts, self.progress.line = step.counts, step.line
        self._log.committed(step)
        for reject in step.rejects:
            self._reject(reject)
        rejected = {reject.line for reject in result.rejected}
        for row in batch.rows:
            self._note_taken(row, rejected)
        await self._announce(result.changes)

    def _step(self, batch: _Batch, result: ImportResult, total: int) -> ImportStep:
        rejects = sorted([*batch.rejects, *result.rejected])
        numbers = result.created, result.updated, result.unchanged, len(rejects)
        sums = (
            before + number for before, number in zip(self.progress.counts, numbers, strict=True)
        )
        return ImportStep(RowCounts(*sums), batch.line, total, rejects)

    def _note_taken(self, row: ImportRow, rejected: set[int] | frozenset[int]) -> None:
        if row.other_line and row.line not in rejected:
            self._taken[row.handle, row.slug] = row.line


def _chars_of(row: ImportRow | RowReject) -> int:
    return len(row.reason) if isinstance(row, RowReject) else row.chars

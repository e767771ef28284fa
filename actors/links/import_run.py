"""The import of one file, batch by batch: what has been committed stays when it is stopped."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from engine.accounts.access import Caller
from engine.links.imports.importable_rows import importable_rows
from engine.links.imports.link_file import LinkFile
from engine.links.imports.plan import IfExists, repeated_reason
from engine.links.imports.rows import RowReader
from engine.links.ports import ImportRow, LinkImporter
from engine.links.profile import ProfileChange

BATCH_ROWS: Final = 5_000


@dataclass(slots=True)
class ImportProgress:
    """Counts of the rows read so far, by result."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
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


class ImportRun:
    """Import of a file's rows for one caller. `reject` gets the line and reason of each bad row."""

    def __init__(
        self,
        importer: LinkImporter,
        announce: Callable[[Sequence[ProfileChange]], Awaitable[None]],
        reject: Callable[[int, str], None],
        *,
        if_exists: IfExists = "update",
        dry_run: bool = False,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.progress = ImportProgress()
        self._importer = importer
        self._announce = announce
        self._add_reject = reject
        self._if_exists: IfExists = if_exists
        self._dry_run = dry_run
        self._batch_rows = batch_rows
        # Lines of addresses that the file has more than once, once a row of them was taken.
        self._taken: dict[tuple[str, str], int] = {}

    async def run(
        self,
        caller: Caller,
        source: LinkFile,
        reader: RowReader,
        before_batch: Callable[[ImportProgress], None] = lambda _: None,
    ) -> ImportProgress:
        """Import the file. `before_batch` may raise to stop between two batches."""
        rows = importable_rows(source, reader, self._reject)

        def read() -> list[ImportRow]:
            return list(islice(rows, self._batch_rows))

        while batch := await trio.to_thread.run_sync(read):
            before_batch(self.progress)
            await self._import(caller, batch)
        return self.progress

    async def _import(self, caller: Caller, batch: list[ImportRow]) -> None:
        rows = []
        for row in batch:
            line = self._taken.get((row.handle, row.slug)) if row.other_line else None
            if line is None:
                rows.append(row)
            else:
                self._reject(row.line, repeated_reason(row, line))
        result = await self._importer.import_rows(
            caller, rows, self._if_exists, dry_run=self._dry_run
        )
        self.progress.created += result.created
        self.progress.updated += result.updated
        self.progress.unchanged += result.unchanged
        for line, reason in result.rejected:
            self._reject(line, reason)
        rejected = {line for line, _ in result.rejected}
        for row in rows:
            if row.other_line and row.line not in rejected:
                self._taken[row.handle, row.slug] = row.line
        await self._announce(result.changes)

    def _reject(self, line: int, reason: str) -> None:
        self.progress.rejected += 1
        self._add_reject(line, reason)

"""Ports of imports of files: for members, who send and follow them, and for the workers that carry them out."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.jobs.job import Job
from engine.links.imports.link_import import (
    ImportEnd,
    ImportStep,
    ImportTask,
    ImportWishes,
    LinkImport,
)


class ImportStore(Protocol):
    """Imports, for members; errors as in ProfileStore. To send one takes the role editor.

    A file arrives in chunks between begin() and start(). One that never starts is deleted within two hours.
    """

    async def begin(self, caller: Caller, profile_id: int, wishes: ImportWishes) -> LinkImport:
        """Begin an import. Raises TooSoonError if MAX_OPEN_IMPORTS of the tenant's have not ended."""

    async def add_chunk(
        self, caller: Caller, link_import: LinkImport, number: int, data: bytes
    ) -> None:
        """Add a chunk of the file, of at most CHUNK_BYTES. They are numbered from 0."""

    async def start(
        self, caller: Caller, link_import: LinkImport, *, size: int, chunks: int
    ) -> LinkImport:
        """Enqueue the import, whose file has arrived whole."""

    async def discard(self, caller: Caller, link_import: LinkImport) -> None:
        """Delete an import that has not started, with its chunks."""

    async def link_import(self, caller: Caller, profile_id: int, import_id: int) -> LinkImport: ...

    async def list_imports(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        """List a profile's imports, newest first, of ids below `before` (0: from the newest)."""

    async def list_rejects(
        self, caller: Caller, profile_id: int, import_id: int, after: int, limit: int
    ) -> ListPage:
        """List an import's rejected rows by line, of those behind the line `after`."""

    async def cancel(self, caller: Caller, profile_id: int, import_id: int) -> LinkImport:
        """Cancel an import: what it has written stays. Raises ConflictError("state", …) if it has ended."""


class ImportSpool(Protocol):
    """Files and progress of imports, for workers.

    A step is written in the transaction of its rows, so that an import that is carried on after a crash counts
    each row once. Only the newest attempt writes steps; another one raises StaleLeaseError.
    """

    async def open(self, job: Job) -> ImportTask | None:
        """Return the task of an import's job; None if the profile or the import is gone.

        Raises ForbiddenError if the user may no longer change the profile, and SnoozeError while an earlier
        import of the tenant runs.
        """

    async def chunk(self, task: ImportTask, number: int) -> bytes | None:
        """Return a chunk of the file, None for one that was deleted."""

    async def write_step(self, connection: Any, task: ImportTask, step: ImportStep) -> None:
        """Write a step in the transaction of `connection`, which is in the profile's tenant."""

    async def save_step(self, task: ImportTask, step: ImportStep) -> None:
        """Write a step in a transaction of its own."""

    def end_writer(self, job: Job, end: ImportEnd) -> Callable[[Any], Awaitable[None]]:
        """Return the work that ends an import and deletes its file, for JobContext.finish_with()."""

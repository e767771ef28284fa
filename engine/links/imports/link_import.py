"""An import of a file through the API: its wishes, its state, and its rejected rows."""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from engine.accounts.access import Caller
from engine.jobs.job import JobState
from engine.links.imports.plan import IfExists
from engine.links.imports.row_error import RowReject

IMPORT_KIND: Final = "links.import"
IMPORT_QUEUE: Final = "imports"
CHUNK_BYTES: Final = 1024 * 1024
# Imports of a tenant that have not ended, those that still arrive included.
MAX_OPEN_IMPORTS: Final = 3
# Rejected rows that are kept of an import; of the others, the number.
MAX_KEPT_REJECTS: Final = 10_000
MAX_UNREAD: Final = 100
# Of a workers process; the others wait.
MAX_RUNNING_IMPORTS: Final = 2
# To Postgres, of a workers process: a tenant has half of them.
IMPORT_CONNECTIONS: Final = 4

ImportState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class ImportWishes(msgspec.Struct, frozen=True, kw_only=True):
    """Wishes of a request: names of the file's columns by ours, and what becomes of rows."""

    columns: dict[str, str] = {}
    if_exists: IfExists = "update"
    dry_run: bool = False


class RowCounts(NamedTuple):
    """Numbers of rows by what became of them."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0

    @property
    def rows(self) -> int:
        return sum(self)


class ImportStep(NamedTuple):
    """The state after a batch: counts of all rows up to `line`, and the batch's own rejects. `total` is the
    file's number of rows."""

    counts: RowCounts
    line: int
    total: int
    rejects: list[RowReject]


class LinkImport(msgspec.Struct, frozen=True, kw_only=True):
    """An import. `line` is the last one that is done, `total` the file's rows once they are counted, `unread`
    the columns that mean nothing, `error` why the file could not be read or imported, `size` its bytes."""

    tenant_id: int
    id: int
    profile_id: int
    wishes: ImportWishes
    size: int = 0
    chunks: int = 0
    state: ImportState = "queued"
    counts: RowCounts = RowCounts()
    line: int = 0
    total: int | None = None
    unread: tuple[str, ...] = ()
    error: str = ""
    created_at: datetime
    finished_at: datetime | None = None


class ImportTask(NamedTuple):
    """An import that a worker carries out for `caller`, in the profile with this handle. `attempt` is its
    fencing token, `rejected_lines` are those of earlier attempts."""

    link_import: LinkImport
    caller: Caller
    handle: str
    attempt: int
    rejected_lines: frozenset[int] = frozenset()


class ImportEnd(NamedTuple):
    """The end of an import: columns that mean nothing, and why the file could not be read."""

    unread: tuple[str, ...] = ()
    error: str = ""


def import_state(job_state: JobState, error: str) -> ImportState:
    """Return the state of an import by that of its job."""
    if job_state == "dead":
        return "failed"
    return "failed" if error and job_state == "succeeded" else job_state


def import_error(job_state: JobState, error: str, last_error: str) -> str:
    """Return why an import failed: its own error, or that of a job that was given up."""
    return error or (last_error if job_state == "dead" else "")


def import_payload(link_import: LinkImport, caller: Caller) -> dict[str, Any]:
    """Return the payload of an import's job: the import, and whom the log names for its changes."""
    return {
        "import_id": link_import.id,
        "user_id": caller.user_id,
        "key_id": caller.key_id,
        "request": caller.request_id,
    }


def caller_of(tenant_id: int, payload: dict[str, Any]) -> Caller:
    """Return the caller of an import in its profile's tenant, from the job's payload."""
    key_id = payload["key_id"]
    return Caller(
        tenant_id,
        int(payload["user_id"]),
        None if key_id is None else int(key_id),
        ("read", "write"),
        payload["request"],
    )

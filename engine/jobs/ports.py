"""Ports of jobs, as in engine/links/ports.py: what workers and people ask of the place where jobs are kept."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.jobs.job import AttemptEnd, EnqueueResult, Heartbeat, Job, JobDraft, JobFilter, Lease

T = TypeVar("T")


class QueueMetrics(NamedTuple):
    """One queue: jobs that could run now and wait, all that wait, those that run, and how long the first
    of those that could run has waited."""

    queue: str
    ready: int
    queued: int
    running: int
    oldest_s: float


class JobQueue(Protocol):
    """Jobs as workers see them, of all tenants. All times are by the clock of the database.

    Storage enqueues in a caller's own transaction with `storage.jobs.jobs.enqueue`; this port has its own.
    """

    async def enqueue(self, drafts: Sequence[JobDraft]) -> list[EnqueueResult]: ...

    async def claim(
        self, worker: str, slots: Mapping[str, int], kinds: Sequence[str], lease_s: float
    ) -> list[Job]:
        """Lease jobs of these kinds whose time has come, of each queue `slots` at most."""

    async def heartbeat(self, beats: Sequence[Heartbeat], lease_s: float) -> dict[Lease, bool]:
        """Those that are still held, now for `lease_s` more, and whether their job shall be cancelled."""

    async def end(self, endings: Sequence[AttemptEnd]) -> set[Lease]:
        """Write down how attempts ended. Those that were still held; of others nothing is written."""

    async def finish_with(self, lease: Lease, work: Callable[[Any], Awaitable[T]]) -> T:
        """The job has succeeded, and its effect `work(connection)`, in one transaction.

        Raises StaleLeaseError, with no effect, when the job is not held any more. `work` may run more
        than once and must touch nothing but its connection. After UnavailableError it may have happened.
        """

    async def rescue(self) -> int:
        """Put jobs whose heartbeat has ended back into the queue, as a failure; how many."""

    async def release(self, worker: str, *, died: bool) -> int:
        """The same at once with all that `worker` holds; no failure unless it died."""

    async def schedule(
        self, plan: Callable[[datetime], Sequence[tuple[datetime, JobDraft]]]
    ) -> int:
        """Enqueue what is due of `plan(now)`, which pairs each periodic job with when it was due last.

        Each time due is enqueued once, whoever else schedules; how many were.
        """

    async def queue_metrics(self) -> tuple[list[QueueMetrics], int]:
        """Of each queue that has jobs, and how many jobs are dead."""

    async def purge(self, days: int) -> None:
        """Forget jobs that ended so many days ago, dead ones four times as many."""


class JobStore(Protocol):
    """Jobs as people see them: a caller those of their tenant and of profiles that they are a member of,
    the operator (None) all, the system's too.

    An id that is not theirs raises NotFoundError. Reading takes the scope read, a change write; where the
    profile is another tenant's, the role too that reading or changing it takes.
    """

    async def list_jobs(
        self, caller: Caller | None, asked: JobFilter, before: int, limit: int
    ) -> ListPage:
        """Newest first, of ids below `before` (0: from the newest): the tenant's, or a profile's."""

    async def job(self, caller: Caller | None, job_id: int) -> Job: ...

    async def cancel(self, caller: Caller | None, job_id: int) -> Job:
        """Cancelled if it was queued; a running one is asked to stop. Raises ConflictError("state", …)
        when it has ended."""

    async def retry(self, caller: Caller | None, job_id: int) -> Job:
        """Let a dead or cancelled job start afresh, or one that waits after a failure run now.

        Raises ConflictError("state", …) for others, and ConflictError("unique_key", …) when another one
        has taken its place.
        """

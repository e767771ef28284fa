"""Ports of jobs: one for workers, one for members and the operator."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.jobs.job import AttemptEnd, EnqueueResult, Heartbeat, Job, JobDraft, JobFilter, Lease

T = TypeVar("T")


class QueueMetrics(NamedTuple):
    """Numbers of one queue's jobs: `ready` to run now, all `queued`, and `running`. `oldest_s` is how long the
    first ready job has waited."""

    queue: str
    ready: int
    queued: int
    running: int
    oldest_s: float


class JobQueue(Protocol):
    """Jobs of all tenants, for workers. All times are by the database's clock.

    Storage enqueues inside a caller's transaction with `storage.jobs.jobs.enqueue`; each method of this port
    has a transaction of its own.
    """

    async def enqueue(self, drafts: Sequence[JobDraft]) -> list[EnqueueResult]:
        """Enqueue jobs. Returns a result for each draft, in their order."""

    async def claim(
        self, worker: str, capacity: Mapping[str, int], kinds: Sequence[str], lease_s: float
    ) -> list[Job]:
        """Lease due jobs of these kinds for `lease_s` seconds, at most `capacity[queue]` of each queue."""

    async def heartbeat(self, beats: Sequence[Heartbeat], lease_s: float) -> dict[Lease, bool]:
        """Extend the leases by `lease_s`. Returns, for each lease still held, whether its job was asked to
        stop."""

    async def end(self, endings: Sequence[AttemptEnd]) -> set[Lease]:
        """Record how attempts ended. Returns the leases that were still held; for the others nothing is
        written."""

    async def finish_with(self, lease: Lease, work: Callable[[Any], Awaitable[T]]) -> T:
        """Record the job's success and commit its effect `work(connection)` in one transaction. Returns the
        result of `work`.

        Raises StaleLeaseError, with no effect, if the lease is lost. `work` may run more than once, so it must
        change nothing but through its connection. After UnavailableError the transaction may be committed.
        """

    async def rescue(self) -> int:
        """Put jobs with an expired lease back into the queue, counted as failures. Returns their number."""

    async def release(self, worker: str, *, died: bool) -> int:
        """Put all jobs that `worker` leases back into the queue at once, as failures only if it `died`.
        Returns their number."""

    async def schedule(
        self, plan: Callable[[datetime], Sequence[tuple[datetime, JobDraft]]]
    ) -> int:
        """Enqueue the periodic jobs that are due. Returns their number.

        `plan(now)` pairs each periodic job with its last due time. Each due time is enqueued once, however
        many workers schedule.
        """

    async def queue_metrics(self) -> tuple[list[QueueMetrics], int]:
        """Return the metrics of each queue that has jobs, and the number of dead jobs."""

    async def purge(self, days: int) -> None:
        """Delete jobs that ended more than `days` days ago; dead ones after four times as long."""


class JobStore(Protocol):
    """Jobs for callers and the operator. A caller sees those of their tenant and of profiles that they are a
    member of; the operator (caller None) sees all, the engine's own included.

    The id of any other job raises NotFoundError. Reading takes the scope read, a change takes write. For a
    profile of another tenant, they also take the member role for reading or changing that profile.
    """

    async def list_jobs(
        self, caller: Caller | None, conditions: JobFilter, before: int, limit: int
    ) -> ListPage:
        """Return the tenant's or a profile's jobs, newest first, of ids below `before` (0: from the newest)."""

    async def job(self, caller: Caller | None, job_id: int) -> Job: ...

    async def cancel(self, caller: Caller | None, job_id: int) -> Job:
        """Cancel a queued job, or ask a running one to stop. Raises ConflictError("state", …) if it has
        ended."""

    async def retry(self, caller: Caller | None, job_id: int) -> Job:
        """Start a dead or cancelled job afresh, or run a job that waits after a failure now.

        Raises ConflictError("state", …) for any other job, and ConflictError("unique_key", …) if another job
        has its unique key by now.
        """

"""Jobs in memory: the twin of storage.jobs.jobs, for workers and for callers."""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import trio

from engine.accounts.access import Caller, Scope, require_scope
from engine.common.errors import ConflictError, NotFoundError, StaleLeaseError
from engine.common.list_page import ListPage
from engine.jobs.job import (
    AttemptEnd,
    AttemptOutcome,
    EnqueueResult,
    Heartbeat,
    Job,
    JobDraft,
    JobFilter,
    Lease,
    state_after,
)
from engine.jobs.ports import QueueMetrics
from storage.jobs.jobs import LOST, unique_key_conflict

T = TypeVar("T")
ENDED = ("succeeded", "dead", "cancelled")


def trio_now() -> datetime:
    """Return the time of a clock that advances with trio's, virtual or real."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=trio.current_time())


class MemoryJobs:
    """JobQueue and JobStore without a server.

    finish_with() gives its work no connection. Callers see the jobs of their own tenant only, because
    another twin has the members of profiles.
    """

    def __init__(self, now: Callable[[], datetime] = trio_now) -> None:
        self._now = now
        self.jobs: dict[int, Job] = {}
        self._leases: dict[int, datetime] = {}
        self._dues: dict[str, datetime] = {}
        self._ids = itertools.count(1)

    async def enqueue(self, drafts: Sequence[JobDraft]) -> list[EnqueueResult]:
        await trio.lowlevel.checkpoint()
        return [self._enqueue(draft) for draft in drafts]

    def _enqueue(self, draft: JobDraft) -> EnqueueResult:
        for job in self._active_twins(draft):
            return EnqueueResult(job.id, False)
        id_, now = next(self._ids), self._now()
        self.jobs[id_] = Job(
            tenant_id=draft.tenant_id,
            id=id_,
            profile_id=draft.profile_id,
            queue=draft.queue,
            kind=draft.kind,
            payload=orjson.loads(draft.payload_json()),
            priority=draft.priority,
            unique_key=draft.unique_key,
            state="queued",
            attempt=0,
            failures=0,
            max_attempts=draft.max_attempts,
            run_at=draft.run_at or now + timedelta(seconds=draft.delay_s),
            created_at=now,
            started_at=None,
            finished_at=None,
            cancel_requested=False,
            progress=None,
            last_error="",
            worker="",
        )
        return EnqueueResult(id_, True)

    async def claim(
        self, worker: str, capacity: Mapping[str, int], kinds: Sequence[str], lease_s: float
    ) -> list[Job]:
        await trio.lowlevel.checkpoint()
        now, free = self._now(), dict(capacity)
        ready = [j for j in self._active() if j.state == "queued" and j.run_at <= now]
        claimed = []
        for job in sorted(ready, key=lambda j: (-j.priority, j.run_at, j.id)):
            if job.kind in kinds and free.get(job.queue, 0):
                free[job.queue] -= 1
                self._leases[job.id] = now + timedelta(seconds=lease_s)
                claimed.append(
                    self._change(
                        job,
                        state="running",
                        attempt=job.attempt + 1,
                        worker=worker,
                        started_at=now,
                        progress=None,
                    )
                )
        return claimed

    async def heartbeat(self, beats: Sequence[Heartbeat], lease_s: float) -> dict[Lease, bool]:
        await trio.lowlevel.checkpoint()
        cancel_requests = {}
        for beat in beats:
            job = self._leased(beat.lease)
            if job is not None:
                self._leases[job.id] = self._now() + timedelta(seconds=lease_s)
                self._change(job, progress=beat.progress)
                cancel_requests[beat.lease] = job.cancel_requested
        return cancel_requests

    async def end(self, endings: Sequence[AttemptEnd]) -> set[Lease]:
        await trio.lowlevel.checkpoint()
        written = set()
        for lease, outcome, delay_s, error in endings:
            job = self._leased(lease)
            if job is not None:
                written.add(lease)
                self._end(job, outcome, delay_s, error)
        return written

    def _end(self, job: Job, outcome: AttemptOutcome, delay_s: float, error: str) -> None:
        state, failures = state_after(job, outcome)
        waits = state == "queued" and outcome != "returned"
        self._change(
            job,
            state=state,
            failures=failures,
            last_error=error or job.last_error,
            run_at=self._now() + timedelta(seconds=delay_s) if waits else job.run_at,
            finished_at=None if state == "queued" else self._now(),
        )

    async def finish_with(self, lease: Lease, work: Callable[[Any], Awaitable[T]]) -> T:
        await trio.lowlevel.checkpoint()
        job = self._leased(lease)
        if job is None:
            raise StaleLeaseError(f"job {lease.job_id} is not leased to attempt {lease.attempt}")
        result = await work(None)
        self._end(job, "succeeded", 0, "")
        return result

    async def rescue(self) -> int:
        await trio.lowlevel.checkpoint()
        now = self._now()
        return self._lose([j for j in self._running() if self._leases[j.id] < now], died=True)

    async def release(self, worker: str, *, died: bool) -> int:
        await trio.lowlevel.checkpoint()
        return self._lose([j for j in self._running() if j.worker == worker], died=died)

    def _lose(self, lost: list[Job], *, died: bool) -> int:
        for job in lost:
            self._end(job, "failed" if died else "returned", 0, LOST if died else "")
        return len(lost)

    async def schedule(
        self, plan: Callable[[datetime], Sequence[tuple[datetime, JobDraft]]]
    ) -> int:
        await trio.lowlevel.checkpoint()
        created = 0
        for due, draft in plan(self._now()):
            if draft.kind not in self._dues or self._dues[draft.kind] < due:
                self._dues[draft.kind] = due
                created += self._enqueue(draft).created
        return created

    async def queue_metrics(self) -> tuple[list[QueueMetrics], int]:
        await trio.lowlevel.checkpoint()
        metrics = []
        for queue in sorted({job.queue for job in self._active()}):
            queue_jobs = [job for job in self._active() if job.queue == queue]
            waiting = [job for job in queue_jobs if job.state == "queued"]
            waited = [(self._now() - j.run_at).total_seconds() for j in waiting]
            ready = [seconds for seconds in waited if seconds >= 0]
            running = len(queue_jobs) - len(waiting)
            metrics.append(
                QueueMetrics(queue, len(ready), len(waiting), running, max(ready, default=0.0))
            )
        return metrics, sum(job.state == "dead" for job in self.jobs.values())

    async def purge(self, days: int) -> None:
        await trio.lowlevel.checkpoint()
        for job in list(self.jobs.values()):
            kept = timedelta(days=days * (4 if job.state == "dead" else 1))
            if job.finished_at is not None and job.finished_at < self._now() - kept:
                del self.jobs[job.id]

    # ---- for callers ------------------------------------------------------------------------------

    async def list_jobs(
        self, caller: Caller | None, conditions: JobFilter, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        jobs = [
            job
            for job in sorted(self._visible_jobs(caller, "read"), key=lambda j: -j.id)
            if (not before or job.id < before)
            and conditions.state in (None, job.state)
            and conditions.kind in (None, job.kind)
            and conditions.profile_id in (None, job.profile_id)
        ]
        return ListPage.of(jobs, limit)

    async def job(self, caller: Caller | None, job_id: int) -> Job:
        await trio.lowlevel.checkpoint()
        return self._visible(caller, "read", job_id)

    async def cancel(self, caller: Caller | None, job_id: int) -> Job:
        await trio.lowlevel.checkpoint()
        job = self._visible(caller, "write", job_id)
        if job.state == "running":
            return self._change(job, cancel_requested=True)
        if job.state == "queued":
            return self._change(job, state="cancelled", finished_at=self._now())
        raise ConflictError("state", f"a job that is {job.state} has ended and cannot be cancelled")

    async def retry(self, caller: Caller | None, job_id: int) -> Job:
        await trio.lowlevel.checkpoint()
        job = self._visible(caller, "write", job_id)
        if job.state not in ("dead", "cancelled") and not (job.state == "queued" and job.failures):
            raise ConflictError(
                "state", f"a job that is {job.state} is not one that can be retried"
            )
        if any(job.id != other.id for other in self._active_twins(job)):
            raise unique_key_conflict()
        return self._change(
            job,
            state="queued",
            failures=0,
            run_at=self._now(),
            finished_at=None,
            cancel_requested=False,
            progress=None,
        )

    def _visible_jobs(self, caller: Caller | None, scope: Scope) -> list[Job]:
        if caller is None:
            return list(self.jobs.values())
        require_scope(caller, scope)
        return [job for job in self.jobs.values() if job.tenant_id == caller.tenant_id]

    def _visible(self, caller: Caller | None, scope: Scope, job_id: int) -> Job:
        for job in self._visible_jobs(caller, scope):
            if job.id == job_id:
                return job
        raise NotFoundError.of("job")

    def _active_twins(self, job: Job | JobDraft) -> list[Job]:
        """Return the queued or running jobs with the unique key of `job`."""
        key = job.tenant_id, job.kind, job.unique_key
        return [
            other
            for other in self._active()
            if job.unique_key and key == (other.tenant_id, other.kind, other.unique_key)
        ]

    def _active(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state not in ENDED]

    def _running(self) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == "running"]

    def _leased(self, lease: Lease) -> Job | None:
        job = self.jobs.get(lease.job_id)
        return job if job and job.state == "running" and job.lease == lease else None

    def _change(self, job: Job, **changes: Any) -> Job:
        self.jobs[job.id] = changed = replace(job, **changes)
        return changed

"""A worker: claims jobs, runs each under a lease with a time limit, and records how it ended.

Bounds: at most `concurrency[queue]` jobs of a queue at once; a job counts until its end is recorded. Ends and
heartbeats are written in batches. An idle worker polls the queue every `IDLE_S` to `LONGEST_IDLE_S`, because a
NOTIFY with each job would make all commits that enqueue wait for each other.

A handler commits its effect together with the job's end by `context.finish_with`. Other effects can happen
twice, if the worker dies before the end is recorded. A handler is cancelled when a heartbeat finds its lease
lost, or when no heartbeat succeeds for as long as a lease lasts.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from engine.common.errors import StaleLeaseError, UnavailableError, WaypostError
from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import (
    AttemptEnd,
    AttemptOutcome,
    GiveUpError,
    Heartbeat,
    Job,
    Lease,
    SnoozeError,
    retry_delay_s,
    storable_error,
)
from engine.jobs.ports import JobQueue, QueueMetrics
from engine.operations.actor_tree import ActorStatus
from engine.operations.metrics import Metric, Sample
from engine.operations.progress import STALL_S, Progress

logger = logging.getLogger("waypost.jobs")

LEASE_S: Final = 15.0
RESCUE_S: Final = (
    5.0  # with LEASE_S, a dead worker's job is rescued 20 s after its death at the latest
)
IDLE_S: Final = 0.05
LONGEST_IDLE_S: Final = 0.5
RETRY_S: Final = 1.0
MAX_ENDINGS: Final = 500
SHUTDOWN_S: Final = 3.0

RUNNING_JOBS: Final = Metric("waypost_jobs_running", "Jobs that workers run at the moment")
ENDED_ATTEMPTS: Final = Metric(
    "waypost_jobs_ended_total", "Attempts at jobs that ended, by outcome", ("outcome",)
)
STALE_ATTEMPTS: Final = Metric(
    "waypost_jobs_stale_total",
    "Attempts at jobs whose result was discarded, as another worker held the lease",
)


@dataclass(slots=True)
class _Attempt:
    context: JobContext
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    # The outcome to record when `scope` was cancelled; None: none, because the lease is lost.
    outcome: AttemptOutcome | None = "returned"


class Worker:
    """Actor that runs jobs. `concurrency` has the queues to serve, and how many of their jobs at once.

    `name` must be the same after a restart: the worker releases the leases of its earlier run at the start.
    `dice()` is uniform in [0, 1) and spreads polls and retries.
    """

    def __init__(
        self,
        name: str,
        queue: JobQueue,
        handlers: Mapping[str, Handler],
        concurrency: Mapping[str, int],
        *,
        lease_s: float = LEASE_S,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._queue = queue
        self._handlers = dict(handlers)
        self._concurrency = dict(concurrency)
        self._lease_s = lease_s
        self._dice = dice
        self.attempts: dict[Lease, _Attempt] = {}
        self._endings: list[AttemptEnd] = []
        self._endings_added = trio.Event()  # set when an ending waits to be written
        self._wake = trio.Event()  # set when jobs may be claimed at once
        self._draining = False
        self._last_heartbeat_s = 0.0
        self._claiming, self._recording, self._renewing = Progress(), Progress(), Progress()
        self._claimed_at = dict.fromkeys(concurrency, 0.0)
        self.outcomes: dict[str, int] = {}
        self.stale = 0
        self.last_error = ""

    async def run(self) -> None:
        """Run jobs until cancelled; then record the ends and release the jobs that still run."""
        self.attempts.clear()
        self._endings.clear()
        self._claimed_at = dict.fromkeys(self._claimed_at, trio.current_time())
        for progress in (self._claiming, self._recording, self._renewing):
            progress.idle()
        await self._release(died=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_heartbeats)
                nursery.start_soon(self._write_endings)
                await self._claim_and_run(nursery)
        finally:
            with trio.move_on_after(SHUTDOWN_S, shield=True):
                await self._write_batch()
                await self._release(died=False)

    async def drain(self, limit_s: float) -> None:
        """Claim no more, let running jobs finish within `limit_s`, and release the rest at once."""
        self._draining = True
        self.wake()
        for attempt in self.attempts.values():
            attempt.context.stopping = True
        with trio.move_on_after(limit_s):
            await self._until_idle()
        for attempt in self.attempts.values():
            attempt.scope.cancel()
        with trio.move_on_after(SHUTDOWN_S):
            await self._until_idle()

    async def _until_idle(self) -> None:
        while self.attempts:  # noqa: ASYNC110  # at the end only, bounded by the caller
            await trio.sleep(0.02)

    def wake(self) -> None:
        """Claim jobs at once, because the process has just enqueued some."""
        self._wake.set()

    def status(self) -> ActorStatus:
        """Return the worker's status; its mailbox is the jobs whose end is not recorded yet."""
        return ActorStatus(
            len(self._endings), {"running_jobs": len(self.attempts)}, self.last_error
        )

    def stalls(self, queues: Sequence[QueueMetrics]) -> list[str]:
        """Return a line for what has stood still: claims, ends, leases, and jobs that no worker claims."""
        now = trio.current_time()
        return [
            self._claiming.stall(now, "claims of jobs", self.last_error),
            self._recording.stall(now, "ends of jobs to record", self.last_error),
            self._renewing.stall(now, "leases of running jobs", self.last_error),
            *(self._unclaimed(queue, now) for queue in queues),
        ]

    def _unclaimed(self, queue: QueueMetrics, now: float) -> str:
        """Return a line if this worker has capacity for a queue, and its oldest job is not claimed."""
        if self._draining or not queue.ready or queue.oldest_s <= STALL_S:
            return ""
        free = self._free_capacity().get(queue.queue, 0)
        if not free or now - self._claimed_at[queue.queue] <= STALL_S:
            return ""
        return (
            f"{queue.ready:,} jobs of the queue {queue.queue} are due, the oldest for "
            f"{queue.oldest_s:.0f} s, and no worker claims them"
        )

    def samples(self) -> list[Sample]:
        return [
            RUNNING_JOBS.sample(len(self.attempts)),
            STALE_ATTEMPTS.sample(self.stale),
            *ENDED_ATTEMPTS.by_label(self.outcomes),
        ]

    # ---- claiming ---------------------------------------------------------------------------------

    async def _claim_and_run(self, nursery: trio.Nursery) -> None:
        idle_s = IDLE_S
        while True:
            self._wake = trio.Event()
            free = self._free_capacity()
            jobs: list[Job] = []
            if free and not self._draining:
                try:
                    self._claiming.begin(trio.current_time())
                    jobs = await self._queue.claim(
                        self.name, free, list(self._handlers), self._lease_s
                    )
                    self._claiming.idle()
                except UnavailableError as error:
                    self.last_error = str(error)
            for job in jobs:
                attempt = self.attempts[job.lease] = _Attempt(JobContext(job, self._queue))
                self._claimed_at[job.queue] = trio.current_time()
                nursery.start_soon(self._run, job, attempt, name=f"{job.kind}-{job.id}")
            idle_s = IDLE_S if jobs else min(LONGEST_IDLE_S, idle_s * 2)
            if not free or self._draining:
                await self._wake.wait()
            elif len(jobs) < sum(free.values()):
                with trio.move_on_after(idle_s * (0.75 + self._dice() / 2)):
                    await self._wake.wait()

    def _free_capacity(self) -> dict[str, int]:
        free = dict(self._concurrency)
        for attempt in self.attempts.values():
            free[attempt.context.job.queue] -= 1
        return {queue: count for queue, count in free.items() if count > 0}

    # ---- running ----------------------------------------------------------------------------------

    async def _run(self, job: Job, attempt: _Attempt) -> None:
        ending: AttemptEnd | None = AttemptEnd(job.lease, "succeeded")
        limit_s = self._handlers[job.kind].time_limit_s
        try:
            with attempt.scope, trio.move_on_after(limit_s) as limit:
                await self._handlers[job.kind].run(attempt.context)
            if attempt.scope.cancelled_caught:
                ending = attempt.outcome and AttemptEnd(job.lease, attempt.outcome)
            elif limit.cancelled_caught:
                ending = self._failed(job, TimeoutError(f"took longer than {limit_s:g} s"))
        except Exception as error:
            ending = self._failed(job, single_error(error))
        if attempt.context.finished:
            self._count("succeeded")
            ending = None
        if ending is None:
            self._forget(job.lease)
        else:
            self._endings.append(ending)
            self._endings_added.set()

    def _failed(self, job: Job, error: Exception) -> AttemptEnd | None:
        text = storable_error(str(error) or type(error).__name__)
        if isinstance(error, StaleLeaseError):
            self._count_stale(job.lease, text)
            return None
        if isinstance(error, SnoozeError):
            return AttemptEnd(job.lease, "snoozed", error.delay_s)
        if isinstance(error, GiveUpError):
            return AttemptEnd(job.lease, "dead", 0.0, text)
        if not isinstance(error, WaypostError | TimeoutError):
            text = storable_error(f"{type(error).__name__}: {error}")
        self.last_error = f"{job.kind}: {text}"
        logger.warning(
            "job %d (%s) failed: %s", job.id, job.kind, text,
            exc_info=None if isinstance(error, WaypostError | TimeoutError) else error,
            extra={"event": "job_failed", "job": job.id, "kind": job.kind},
        )  # fmt: skip
        return AttemptEnd(job.lease, "failed", retry_delay_s(job.failures + 1, self._dice()), text)

    def _count_stale(self, lease: Lease, text: str) -> None:
        self.stale += 1
        self.last_error = text
        logger.warning(
            "job %d: lease lost to another worker; the result of this attempt was discarded", lease.job_id,
            extra={"event": "job_stale", "job": lease.job_id},
        )  # fmt: skip

    def _forget(self, lease: Lease) -> None:
        self.attempts.pop(lease, None)
        self.wake()

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    # ---- writing ----------------------------------------------------------------------------------

    async def _write_endings(self) -> None:
        while True:
            await self._endings_added.wait()
            self._endings_added = trio.Event()
            while self._endings:
                self._recording.begin(trio.current_time())
                if await self._write_batch():
                    self._recording.idle()
                else:
                    await trio.sleep(RETRY_S)

    async def _write_batch(self) -> bool:
        """Record a batch of endings. Returns False if the database is unavailable; the endings then wait."""
        endings = self._endings[:MAX_ENDINGS]
        try:
            written = await self._queue.end(endings)
        except UnavailableError as error:
            self.last_error = str(error)
            return False
        del self._endings[: len(endings)]
        for ending in endings:
            if ending.lease in written:
                self._count(ending.outcome)
            else:
                self._count_stale(ending.lease, f"job {ending.lease.job_id}: lease lost")
            self._forget(ending.lease)
        return True

    async def _send_heartbeats(self) -> None:
        self._last_heartbeat_s = trio.current_time()
        self._renewing.idle()
        while True:
            await trio.sleep(self._lease_s / 3)
            self._renewing.begin(trio.current_time())
            attempts = dict(self.attempts)
            try:
                stop_requests = await self._queue.heartbeat(
                    [Heartbeat(lease, a.context.progress) for lease, a in attempts.items()],
                    self._lease_s,
                )
            except UnavailableError as error:
                self.last_error = str(error)
                if trio.current_time() - self._last_heartbeat_s > self._lease_s:
                    for attempt in attempts.values():
                        attempt.scope.cancel()  # another worker may have leased the job
                continue
            self._last_heartbeat_s = trio.current_time()
            self._renewing.idle()
            for lease, attempt in attempts.items():
                if lease not in self.attempts or attempt.context.finished:
                    continue  # it ended meanwhile
                if stop_requests.get(lease, True):
                    attempt.outcome = "cancelled" if lease in stop_requests else None
                    attempt.scope.cancel()

    async def _release(self, *, died: bool) -> None:
        try:
            await self._queue.release(self.name, died=died)
        except UnavailableError as error:
            self.last_error = str(error)  # otherwise the leases expire


def single_error(error: Exception) -> Exception:
    """Return the error, or the only error of a group, as nurseries raise it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

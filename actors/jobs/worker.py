"""A worker: takes jobs, runs each under a lease with a time limit, and writes down how it ended.

Bounds: `slots` jobs of each queue at once, a slot being free again when the ending is written. Endings are
written many at once, and so are heartbeats. When there is nothing to do, the queue is asked every `IDLE_S` to
`LONGEST_IDLE_S`: a NOTIFY with each job would have all commits that enqueue take turns.

A handler commits its effect together with the job's end by `context.finish_with`; what it does elsewhere can
happen twice, if the worker dies before the end is written. A handler whose lease is lost is cancelled as soon
as a heartbeat tells, or when none has got through for as long as a lease lasts.
"""

import logging
import random
from collections.abc import Callable, Mapping
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
from engine.jobs.ports import JobQueue
from engine.operations.actor_tree import ActorStatus
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.jobs")

LEASE_S: Final = 15.0
RESCUE_S: Final = (
    5.0  # with LEASE_S, a dead worker's job is rescued 20 s after its death at the latest
)
IDLE_S: Final = 0.05
LONGEST_IDLE_S: Final = 0.5
RETRY_S: Final = 1.0
MAX_ENDINGS: Final = 500
LAST_S: Final = 3.0

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
    # What to write down when `scope` was cancelled; None: nothing, as the lease is lost.
    outcome: AttemptOutcome | None = "returned"


class Worker:
    def __init__(
        self,
        name: str,
        queue: JobQueue,
        handlers: Mapping[str, Handler],
        slots: Mapping[str, int],
        *,
        lease_s: float = LEASE_S,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`name` is of this place, not of this process: what an earlier life of it held is put back at
        the start. `slots` are the queues it serves, and how many of their jobs run at once."""
        self.name = name
        self._queue = queue
        self._handlers = dict(handlers)
        self._slots = dict(slots)
        self._lease_s = lease_s
        self._dice = dice
        self.attempts: dict[Lease, _Attempt] = {}
        self._endings: list[AttemptEnd] = []
        self._news = trio.Event()  # an ending to be written
        self._wake = trio.Event()  # a reason to ask for jobs
        self._draining = False
        self._told_at = 0.0
        self.outcomes: dict[str, int] = {}
        self.stale = 0
        self.last_error = ""

    async def run(self) -> None:
        """Until cancelled; jobs that still run then are given back."""
        self.attempts.clear()
        self._endings.clear()
        await self._release(died=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._beat)
                nursery.start_soon(self._write)
                await self._take(nursery)
        finally:
            with trio.move_on_after(LAST_S, shield=True):
                await self._write_some()
                await self._release(died=False)

    async def drain(self, limit_s: float) -> None:
        """Take no more, let those that run finish within the limit, and give the rest back at once."""
        self._draining = True
        self.wake()
        for attempt in self.attempts.values():
            attempt.context.stopping = True
        with trio.move_on_after(limit_s):
            await self._until_idle()
        for attempt in self.attempts.values():
            attempt.scope.cancel()
        with trio.move_on_after(LAST_S):
            await self._until_idle()

    async def _until_idle(self) -> None:
        while self.attempts:  # noqa: ASYNC110  # at the end only, bounded by the caller
            await trio.sleep(0.02)

    def wake(self) -> None:
        """Ask for jobs now: somebody has just enqueued one."""
        self._wake.set()

    def status(self) -> ActorStatus:
        """Its mailbox: jobs whose end is not written yet."""
        return ActorStatus(
            len(self._endings), {"running_jobs": len(self.attempts)}, self.last_error
        )

    def samples(self) -> list[Sample]:
        return [
            RUNNING_JOBS.sample(len(self.attempts)),
            STALE_ATTEMPTS.sample(self.stale),
            *ENDED_ATTEMPTS.by_label(self.outcomes),
        ]

    # ---- taking -----------------------------------------------------------------------------------

    async def _take(self, nursery: trio.Nursery) -> None:
        idle_s = IDLE_S
        while True:
            self._wake = trio.Event()
            free = self._free()
            jobs: list[Job] = []
            if free and not self._draining:
                try:
                    jobs = await self._queue.claim(
                        self.name, free, list(self._handlers), self._lease_s
                    )
                except UnavailableError as error:
                    self.last_error = str(error)
            for job in jobs:
                attempt = self.attempts[job.lease] = _Attempt(JobContext(job, self._queue))
                nursery.start_soon(self._run, job, attempt, name=f"{job.kind}-{job.id}")
            idle_s = IDLE_S if jobs else min(LONGEST_IDLE_S, idle_s * 2)
            if not free or self._draining:
                await self._wake.wait()
            elif len(jobs) < sum(free.values()):
                with trio.move_on_after(idle_s * (0.75 + self._dice() / 2)):
                    await self._wake.wait()

    def _free(self) -> dict[str, int]:
        free = dict(self._slots)
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
            self._done(job.lease)
        else:
            self._endings.append(ending)
            self._news.set()

    def _failed(self, job: Job, error: Exception) -> AttemptEnd | None:
        text = storable_error(str(error) or type(error).__name__)
        if isinstance(error, StaleLeaseError):
            self._stale(job.lease, text)
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

    def _stale(self, lease: Lease, text: str) -> None:
        self.stale += 1
        self.last_error = text
        logger.warning(
            "job %d was another worker's by then, and nothing of it was written", lease.job_id,
            extra={"event": "job_stale", "job": lease.job_id},
        )  # fmt: skip

    def _done(self, lease: Lease) -> None:
        self.attempts.pop(lease, None)
        self.wake()

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    # ---- writing ----------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while self._endings:
                if not await self._write_some():
                    await trio.sleep(RETRY_S)

    async def _write_some(self) -> bool:
        """Whether the database took them; else they wait for the next try, and their slots with them."""
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
                self._stale(ending.lease, f"job {ending.lease.job_id} was not held any more")
            self._done(ending.lease)
        return True

    async def _beat(self) -> None:
        self._told_at = trio.current_time()
        while True:
            await trio.sleep(self._lease_s / 3)
            attempts = dict(self.attempts)
            try:
                held = await self._queue.heartbeat(
                    [Heartbeat(lease, a.context.progress) for lease, a in attempts.items()],
                    self._lease_s,
                )
            except UnavailableError as error:
                self.last_error = str(error)
                if trio.current_time() - self._told_at > self._lease_s:
                    for attempt in attempts.values():
                        attempt.scope.cancel()  # others may have it by now
                continue
            self._told_at = trio.current_time()
            for lease, attempt in attempts.items():
                if lease not in self.attempts or attempt.context.finished:
                    continue  # it ended meanwhile
                if held.get(lease, True):
                    attempt.outcome = "cancelled" if lease in held else None
                    attempt.scope.cancel()

    async def _release(self, *, died: bool) -> None:
        try:
            await self._queue.release(self.name, died=died)
        except UnavailableError as error:
            self.last_error = str(error)  # then their leases end


def single_error(error: Exception) -> Exception:
    """The error itself, also out of nurseries that hold no other."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

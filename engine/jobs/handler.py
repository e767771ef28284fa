"""The handler of a kind of job, and the context in which a worker runs it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from engine.jobs.job import Job
from engine.jobs.ports import JobQueue

REPEATABLE_LIMIT_S: Final = 600.0
T = TypeVar("T")


class JobContext:
    """The job of one attempt, its progress, and its end. `stopping` is set when the worker wants to stop."""

    def __init__(self, job: Job, queue: JobQueue) -> None:
        self.job = job
        self._queue = queue
        self.progress: tuple[int, int] | None = None
        self.finished = False
        self.stopping = False

    def report_progress(self, done: int, total: int) -> None:
        """Set the progress that GET /v1/jobs/{id} reports from the next heartbeat on."""
        self.progress = (done, total)

    async def finish_with(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Commit `work(connection)` and the job's success in one transaction. Call it last.

        Raises StaleLeaseError, with no effect, if the lease was lost to another worker: do not catch it.
        """
        result = await self._queue.finish_with(self.job.lease, work)
        self.finished = True
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A function that does the jobs of one kind. It may raise SnoozeError and GiveUpError; any other error is a
    failure. A run that exceeds `time_limit_s` is cancelled, which is a failure too."""

    run: Callable[[JobContext], Awaitable[None]]
    time_limit_s: float = 60.0


def repeatable(work: Callable[[], Awaitable[object]]) -> Handler:
    """Return a handler of idempotent work that needs no payload."""

    async def run(_: JobContext) -> None:
        await work()

    return Handler(run=run, time_limit_s=REPEATABLE_LIMIT_S)

"""The scheduler: enqueues the periodic jobs that are due.

Any number of schedulers may run: storage enqueues a job once for each due time (engine/jobs/ports.py,
JobQueue.schedule). A job that became due several times while no scheduler ran is enqueued once. A kind
with a queued or running job is not enqueued again. The first job of a new kind is due at once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.jobs.periodic import PeriodicJob, plan
from engine.jobs.ports import JobQueue
from engine.operations.actor_tree import ActorStatus
from engine.operations.progress import Progress

POLL_S: Final = 5.0


class Scheduler:
    """Actor that enqueues due jobs every `poll_s`, and calls `on_enqueued` if it enqueued any."""

    def __init__(
        self,
        queue: JobQueue,
        on_enqueued: Callable[[], None],
        jobs: Sequence[PeriodicJob],
        poll_s: float = POLL_S,
    ) -> None:
        self._queue = queue
        self._on_enqueued = on_enqueued
        self._plan = partial(plan, jobs=jobs)
        self._poll_s = poll_s
        self._progress = Progress()
        self.enqueued = 0
        self.last_error = ""

    def status(self) -> ActorStatus:
        return ActorStatus(last_error=self.last_error)

    def stall(self) -> str:
        """Return a line if due jobs could not be enqueued for long, else an empty text."""
        return self._progress.stall(trio.current_time(), "jobs to schedule", self.last_error)

    async def run(self) -> None:
        while True:
            self._progress.begin(trio.current_time())
            try:
                if enqueued := await self._queue.schedule(self._plan):
                    self.enqueued += enqueued
                    self._on_enqueued()
                self._progress.idle()
            except UnavailableError as error:
                self.last_error = str(error)
            await trio.sleep(self._poll_s)

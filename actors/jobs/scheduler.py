"""The scheduler: enqueues the periodic jobs that are due.

Any number of schedulers may run: storage enqueues each time due once (engine/jobs/ports.py,
JobQueue.schedule). A job that became due several times while nothing ran is enqueued once. A kind
whose job is still queued or running is not enqueued again beside it. A new kind runs at once when a
scheduler first knows it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.jobs.periodic import PeriodicJob, plan
from engine.jobs.ports import JobQueue
from engine.operations.actor_tree import ActorStatus

POLL_S: Final = 5.0


class Scheduler:
    """Enqueues what is due every `poll_s`. `on_enqueued` is called after each round that enqueued a
    job."""

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
        self.enqueued = 0
        self.last_error = ""

    def status(self) -> ActorStatus:
        return ActorStatus(last_error=self.last_error)

    async def run(self) -> None:
        while True:
            try:
                if enqueued := await self._queue.schedule(self._plan):
                    self.enqueued += enqueued
                    self._on_enqueued()
            except UnavailableError as error:
                self.last_error = str(error)
            await trio.sleep(self._poll_s)

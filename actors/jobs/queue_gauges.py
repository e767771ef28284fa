"""Gauges of each queue's waiting jobs, read every few seconds for the operator."""

from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.jobs.ports import JobQueue, QueueMetrics
from engine.operations.actor_tree import ActorStatus
from engine.operations.metrics import Metric, Sample

POLL_S: Final = 5.0

QUEUED_JOBS: Final = Metric(
    "waypost_jobs_queued", "Jobs that wait, those with a later start included, by queue", ("queue",)
)
OLDEST_JOB: Final = Metric(
    "waypost_jobs_oldest_seconds",
    "Seconds that the first job that could run has waited, by queue",
    ("queue",),
)
DEAD_JOBS: Final = Metric(
    "waypost_jobs_dead", "Jobs that failed at every attempt and are kept for the operator"
)


class QueueGauges:
    """Actor that reads the queues' numbers every POLL_S."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self.queues: list[QueueMetrics] = []
        self.dead = 0
        self.last_error = ""

    async def run(self) -> None:
        while True:
            try:
                self.queues, self.dead = await self._queue.queue_metrics()
                self.last_error = ""
            except UnavailableError as error:
                self.last_error = str(error)
            await trio.sleep(POLL_S)

    def status(self) -> ActorStatus:
        """Return the status; its mailbox is the jobs that are due."""
        lag = {"oldest_s": max((q.oldest_s for q in self.queues), default=0.0)}
        waiting = sum(q.ready for q in self.queues)
        return ActorStatus(waiting, lag | {"dead_jobs": float(self.dead)}, self.last_error)

    def samples(self) -> list[Sample]:
        return [
            DEAD_JOBS.sample(self.dead),
            *(QUEUED_JOBS.sample(queue.queued, queue.queue) for queue in self.queues),
            *(OLDEST_JOB.sample(queue.oldest_s, queue.queue) for queue in self.queues),
        ]

"""How much there is to do in each queue, looked at every few seconds for the operator."""

from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.jobs.ports import JobQueue, QueueMetrics
from engine.operations.actor_tree import ActorStatus
from engine.operations.metrics import Sample

LOOK_S: Final = 5.0


class QueueGauges:
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
            await trio.sleep(LOOK_S)

    def status(self) -> ActorStatus:
        """As the worker's own: what waits for it."""
        lag = {"oldest_s": max((q.oldest_s for q in self.queues), default=0.0)}
        waiting = sum(q.ready for q in self.queues)
        return ActorStatus(waiting, lag | {"dead_jobs": float(self.dead)}, self.last_error)

    def samples(self) -> list[Sample]:
        found = [Sample("waypost_jobs_dead", self.dead)]
        for q in self.queues:
            label = (("queue", q.queue),)
            found.append(Sample("waypost_jobs_queued", q.queued, label))
            found.append(Sample("waypost_jobs_oldest_seconds", q.oldest_s, label))
        return found

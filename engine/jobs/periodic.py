"""Periodic jobs: each domain declares its own, one row per job (kind, when, why, handler).

The scheduler enqueues a row's job when it is due, and the worker runs its handler. As a row has both, there is
no kind without a handler.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from engine.common.json_forms import time_text
from engine.jobs.handler import Handler
from engine.jobs.job import JobDraft
from engine.jobs.schedule import Schedule

PERIODIC_QUEUE: Final = "periodic"
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE


class PeriodicJob(NamedTuple):
    """A kind of job that a schedule enqueues. `why` is one phrase for the operator."""

    kind: str
    when: Schedule
    why: str
    handler: Handler
    queue: str = PERIODIC_QUEUE
    max_attempts: int = 5


def plan(now: datetime, jobs: Sequence[PeriodicJob]) -> list[tuple[datetime, JobDraft]]:
    """Return (last due time, job to enqueue) for each periodic job. The job's payload has that time too."""
    dues = [(job, job.when.last_due(now)) for job in jobs]
    return [
        (
            due,
            JobDraft(
                kind=job.kind,
                payload={"due": time_text(due)},
                queue=job.queue,
                unique_key="periodic",
                max_attempts=job.max_attempts,
            ),
        )
        for job, due in dues
    ]

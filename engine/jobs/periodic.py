"""Periodic jobs: each is one row (kind, when, why, handler) that its domain gives.

The scheduler enqueues a row's job when it is due and the worker runs its handler, so a kind without
a handler cannot be written down.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from engine.jobs.handler import Handler
from engine.jobs.job import JobDraft
from engine.jobs.schedule import Schedule

PERIODIC_QUEUE: Final = "periodic"
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE


class PeriodicJob(NamedTuple):
    """A kind of jobs that a schedule enqueues. `why` is one phrase for the operator."""

    kind: str
    when: Schedule
    why: str
    handler: Handler
    queue: str = PERIODIC_QUEUE
    max_attempts: int = 5


def plan(now: datetime, jobs: Sequence[PeriodicJob]) -> list[tuple[datetime, JobDraft]]:
    """Return for each periodic job when it was due last, and the job to enqueue, whose payload says
    so too."""
    dues = [(job, job.when.last_due(now)) for job in jobs]
    return [
        (
            due,
            JobDraft(
                kind=job.kind,
                payload={"due": due.isoformat()},
                queue=job.queue,
                unique_key="periodic",
                max_attempts=job.max_attempts,
            ),
        )
        for job, due in dues
    ]

"""Everything periodic: one table of what, when and why, and the scheduler that enqueues what is due.

Any number of schedulers may run: storage enqueues each time due once (engine/jobs/ports.py, JobQueue.schedule).
What became due several times while nothing ran is made up for once. A kind whose job is still queued or
running is not enqueued again beside it. A new row runs once at its first sight.

Whoever adds a row gives its kind a handler in api/processes/workers.py, or tests/actors/jobs/test_timetable.py
fails.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import trio

from engine.common.errors import UnavailableError
from engine.jobs.job import JobDraft
from engine.jobs.ports import JobQueue
from engine.jobs.schedule import Cron, Every, Schedule
from engine.operations.actor_tree import ActorStatus

LOOK_S: Final = 5.0
QUEUE: Final = "chores"
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE


class PeriodicJob(NamedTuple):
    kind: str
    when: Schedule
    why: str
    queue: str = QUEUE
    max_attempts: int = 5


TIMETABLE: Final = (
    PeriodicJob("links.check", Every(MINUTE), "each link's target is asked once a day whether it is there"),
    PeriodicJob("github.schedule", Every(MINUTE), "links to repositories are due at moments spread over 6 hours"),
    PeriodicJob("analytics.daily", Cron("30 0 * * *"), "days that are over are compacted, and old raw clicks deleted"),
    PeriodicJob("clicks.partitions", Every(HOUR), "partitions of clicks are there before their day begins"),
    PeriodicJob("journals.purge", Every(HOUR), "rows of journals that are long gone are of no use"),
    PeriodicJob("idempotency.purge", Every(HOUR), "answers to creates are promised for 24 hours only"),
    PeriodicJob("sessions.purge", Every(HOUR, 10 * MINUTE), "sessions that ended open nothing, and say who used what"),
    PeriodicJob("keys.purge", Cron("10 3 * * *"), "keys that ended 30 days ago only make lists longer"),
    PeriodicJob("invitations.purge", Cron("20 3 * * *"), "invitations that nobody can accept hold addresses of people"),
    PeriodicJob("webhooks.purge", Every(HOUR, 20 * MINUTE), "events and deliveries are kept for 30 days"),
    PeriodicJob("profiles.erase", Every(MINUTE), "who asks to be forgotten is, at once and what arrives late, too"),
    PeriodicJob("experiments.automate", Every(MINUTE), "rules decide, alarms rise and bandits move while nobody looks"),
    PeriodicJob("experiments.purge", Every(10 * MINUTE), "nobody is told apart longer than keys last"),
    PeriodicJob("jobs.purge", Cron("40 3 * * *"), "history of jobs is kept for WAYPOST_JOBS_KEPT_DAYS"),
)  # fmt: skip


def plan(
    now: datetime, table: Sequence[PeriodicJob] = TIMETABLE
) -> list[tuple[datetime, JobDraft]]:
    """When each row was due last, and its job, whose payload says so too."""
    dues = [(row, row.when.last_due(now)) for row in table]
    return [
        (
            due,
            JobDraft(
                kind=row.kind,
                payload={"due": due.isoformat()},
                queue=row.queue,
                unique_key="periodic",
                max_attempts=row.max_attempts,
            ),
        )
        for row, due in dues
    ]


class Scheduler:
    """Looks every `look_s` at what is due. `made` is told after each time that something was."""

    def __init__(
        self,
        queue: JobQueue,
        made: Callable[[], None],
        table: Sequence[PeriodicJob] = TIMETABLE,
        look_s: float = LOOK_S,
    ) -> None:
        self._queue = queue
        self._made = made
        self._plan = partial(plan, table=table)
        self._look_s = look_s
        self.enqueued = 0
        self.last_error = ""

    def status(self) -> ActorStatus:
        return ActorStatus(last_error=self.last_error)

    async def run(self) -> None:
        while True:
            try:
                if made := await self._queue.schedule(self._plan):
                    self.enqueued += made
                    self._made()
            except UnavailableError as error:
                self.last_error = str(error)
            await trio.sleep(self._look_s)

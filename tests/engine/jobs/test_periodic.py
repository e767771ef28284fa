"""Periodic jobs: rows of kind, when, why and handler."""

from datetime import UTC, datetime

import trio

from engine.jobs.handler import Handler, JobContext, repeatable
from engine.jobs.periodic import PERIODIC_QUEUE, PeriodicJob, plan
from engine.jobs.schedule import Every

NOW = datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)


async def run(_: JobContext) -> None:
    """Do nothing."""


def test_a_plan_pairs_each_job_with_its_last_due_time() -> None:
    row = PeriodicJob("things.purge", Every(3600), "delete old things", Handler(run=run))
    ((due, job),) = plan(NOW, [row])
    assert due == datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert (job.kind, job.queue, job.max_attempts) == ("things.purge", PERIODIC_QUEUE, 5)
    assert (job.payload, job.unique_key) == ({"due": "2026-05-01T12:00:00Z"}, "periodic")


async def test_repeatable_work_needs_no_job() -> None:
    rounds = []

    async def work() -> int:
        await trio.lowlevel.checkpoint()
        rounds.append(1)
        return 7

    await repeatable(work).run(None)  # type: ignore[arg-type]  # the handler ignores it
    assert rounds == [1]

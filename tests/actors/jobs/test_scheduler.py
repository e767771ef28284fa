"""The scheduler, the periodic jobs of all domains, and several schedulers at once."""

from datetime import UTC, datetime, timedelta

import trio
from trio.testing import MockClock

from actors.jobs.scheduler import POLL_S, Scheduler
from api.processes.workers import CONCURRENCY
from engine.common.errors import UnavailableError
from engine.jobs.handler import repeatable
from engine.jobs.job import AttemptEnd
from engine.jobs.periodic import HOUR, MINUTE, PERIODIC_QUEUE, PeriodicJob, plan
from engine.jobs.schedule import Cron, Every
from storage.jobs.memory_jobs import MemoryJobs
from tests.kit.unconnected import unconnected_workers

NOW = datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)


async def nothing() -> None:
    """Do no work."""


JOBS = [
    PeriodicJob("hourly", Every(HOUR), "do it each hour", repeatable(nothing)),
    PeriodicJob("often", Every(MINUTE), "do it each minute", repeatable(nothing)),
    PeriodicJob("nightly", Cron("40 3 * * *"), "do it each night", repeatable(nothing)),
]
_KINDS = [job.kind for job in JOBS]
_FREE = {PERIODIC_QUEUE: 100}


def test_the_periodic_jobs_of_all_domains_can_be_scheduled_and_are_served() -> None:
    jobs = unconnected_workers().periodic_jobs
    assert len({job.kind for job in jobs}) == len(jobs) >= 14
    for job in jobs:
        assert job.queue in CONCURRENCY
        assert len(job.why) > 20
        assert NOW - timedelta(days=32) <= job.when.last_due(NOW) <= NOW


def test_each_periodic_job_runs_as_often_as_the_documents_say() -> None:
    timetable = {job.kind: str(job.when) for job in unconnected_workers().periodic_jobs}
    promised = {
        "analytics.daily": "30 0 * * * UTC",
        "clicks.partitions": "every 1:00:00",
        "experiments.automate": "every 0:01:00",
        "experiments.purge": "every 0:10:00",
        "github.schedule": "every 0:01:00",
        "idempotency.purge": "every 1:00:00",
        "journals.purge": "every 1:00:00",
        "links.check": "every 0:01:00",
        "profiles.erase": "every 0:01:00",
        "sessions.purge": "every 1:00:00",
        "webhooks.purge": "every 1:00:00",
    }
    assert {kind: timetable.get(kind) for kind in promised} == promised


async def test_several_schedulers_enqueue_each_job_once(autojump_clock: MockClock) -> None:
    queue, rounds = MemoryJobs(), []
    schedulers = [Scheduler(queue, lambda: rounds.append(1), JOBS, poll_s=30) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for scheduler in schedulers:
            nursery.start_soon(scheduler.run)
        for _ in range(130):
            await trio.sleep(60)
            for job in await queue.claim("w", _FREE, _KINDS, 60):
                await queue.end([AttemptEnd(job.lease, "succeeded")])
        nursery.cancel_scope.cancel()
    runs = [job.kind for job in queue.jobs.values()]
    assert runs.count("hourly") == 3  # at the start, and each full hour
    assert runs.count("nightly") == 1
    assert sum(scheduler.enqueued for scheduler in schedulers) == len(runs)
    assert rounds


async def test_missed_times_are_enqueued_once(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()
    for away_h in (0, 100):
        await trio.sleep(away_h * 3600)
        with trio.move_on_after(60):
            await Scheduler(queue, lambda: None, JOBS).run()
        for job in await queue.claim("w", _FREE, _KINDS, 60):
            await queue.end([AttemptEnd(job.lease, "succeeded")])
    runs = [job.kind for job in queue.jobs.values()]
    assert {runs.count(kind) for kind in _KINDS} == {2}


async def test_a_scheduler_continues_after_the_database_was_away(autojump_clock: MockClock) -> None:
    class Away(MemoryJobs):
        async def schedule(self, plan: object) -> int:
            if trio.current_time() < 3 * POLL_S:
                raise UnavailableError("away")
            return await super().schedule(plan)  # type: ignore[arg-type]

    queue = Away()
    scheduler = Scheduler(queue, lambda: None, JOBS)
    with trio.move_on_after(4 * POLL_S):
        await scheduler.run()
    assert len(queue.jobs) == len(plan(NOW, JOBS))
    assert scheduler.last_error == "away"
    assert scheduler.stall() == ""


async def test_a_scheduler_that_cannot_schedule_for_long_says_so(autojump_clock: MockClock) -> None:
    class Away(MemoryJobs):
        async def schedule(self, plan: object) -> int:
            raise UnavailableError("away")

    scheduler = Scheduler(Away(), lambda: None, JOBS)
    with trio.move_on_after(9):
        await scheduler.run()
    assert scheduler.stall() == ""
    with trio.move_on_after(3):
        await scheduler.run()
    assert scheduler.stall() == "jobs to schedule: no progress for 12 s; last error: away"

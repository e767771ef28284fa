"""The timetable: each row can be read and has somebody who does it; schedulers side by side."""

from datetime import UTC, datetime, timedelta

import trio
from trio.testing import MockClock

from actors.experiments.automation import ExperimentAutomation
from actors.jobs.timetable import LOOK_S, TIMETABLE, Scheduler, plan
from actors.links.health_checks import LinkChecks
from api.processes.workers import SLOTS, handlers
from engine.common.errors import UnavailableError
from engine.jobs.job import AttemptEnd
from engine.operations.settings import Settings
from storage.clicks.ledger import PostgresClickLedger
from storage.experiments.automation import PostgresRunningExperiments
from storage.jobs.jobs import PostgresJobQueue
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.health import PostgresLinkHealthStore
from storage.links.memory_health import MemoryProber
from storage.postgres.database import Database
from storage.redis.client import RedisServer
from tests.kit.github_world import World

NOW = datetime(2026, 5, 1, 12, 34, 56, tzinfo=UTC)


def test_every_row_has_a_handler_a_queue_and_a_reason() -> None:
    database = Database(None, 1000)  # type: ignore[arg-type]  # nobody asks it anything
    redis = RedisServer(None, None, None)  # type: ignore[arg-type]  # nor it
    known = handlers(
        Settings(),
        database,
        redis,
        PostgresClickLedger(database),
        PostgresJobQueue(database),
        World().worker,
        LinkChecks(PostgresLinkHealthStore(database), MemoryProber()),
        ExperimentAutomation(PostgresRunningExperiments(database)),
    )
    assert len({row.kind for row in TIMETABLE}) == len(TIMETABLE)
    for row in TIMETABLE:
        assert row.kind in known, row.kind
        assert row.queue in SLOTS
        assert len(row.why) > 20
        assert NOW - timedelta(days=32) <= row.when.last_due(NOW) <= NOW


async def test_schedulers_side_by_side_enqueue_each_once(autojump_clock: MockClock) -> None:
    queue, told = MemoryJobs(), []
    schedulers = [Scheduler(queue, lambda: told.append(1), look_s=30) for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for scheduler in schedulers:
            nursery.start_soon(scheduler.run)
        for _ in range(130):
            await trio.sleep(60)
            for job in await queue.claim("w", dict.fromkeys(SLOTS, 100), _KINDS, 60):
                await queue.end([AttemptEnd(job.lease, "succeeded")])
        nursery.cancel_scope.cancel()
    runs = [job.kind for job in queue.jobs.values()]
    assert runs.count("clicks.partitions") == 3  # at the first sight, and each full hour
    assert runs.count("jobs.purge") == 1
    assert sum(scheduler.enqueued for scheduler in schedulers) == len(runs)
    assert told


async def test_what_was_missed_is_made_up_for_once(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()
    for away_h in (0, 100):
        await trio.sleep(away_h * 3600)
        with trio.move_on_after(60):
            await Scheduler(queue, lambda: None).run()
        for job in await queue.claim("w", dict.fromkeys(SLOTS, 100), _KINDS, 60):
            await queue.end([AttemptEnd(job.lease, "succeeded")])
    runs = [job.kind for job in queue.jobs.values()]
    assert {runs.count(row.kind) for row in TIMETABLE} == {2}


async def test_a_scheduler_goes_on_when_the_database_was_away(autojump_clock: MockClock) -> None:
    class Away(MemoryJobs):
        async def schedule(self, plan: object) -> int:
            if trio.current_time() < 3 * LOOK_S:
                raise UnavailableError("away")
            return await super().schedule(plan)  # type: ignore[arg-type]

    queue = Away()
    scheduler = Scheduler(queue, lambda: None)
    with trio.move_on_after(4 * LOOK_S):
        await scheduler.run()
    assert len(queue.jobs) == len(plan(NOW))
    assert scheduler.last_error == "away"


_KINDS = [row.kind for row in TIMETABLE]

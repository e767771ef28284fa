"""The worker over the twin, in virtual time: limits, retries, cancellation, lost leases, drains."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.jobs.worker import Worker
from engine.common.errors import UnavailableError
from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import AttemptEnd, GiveUpError, Heartbeat, Job, JobDraft, Lease, SnoozeError
from storage.jobs.memory_jobs import MemoryJobs

Run = Callable[[JobContext], Awaitable[None]]


class Flaky(MemoryJobs):
    """A queue that is unavailable while `away` is true."""

    away = False

    async def _ask(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise UnavailableError("away")

    async def claim(
        self, worker: str, concurrency: Mapping[str, int], kinds: Sequence[str], lease_s: float
    ) -> list[Job]:
        await self._ask()
        return await super().claim(worker, concurrency, kinds, lease_s)

    async def end(self, endings: Sequence[AttemptEnd]) -> set[Lease]:
        await self._ask()
        return await super().end(endings)

    async def heartbeat(self, beats: Sequence[Heartbeat], lease_s: float) -> dict[Lease, bool]:
        await self._ask()
        return await super().heartbeat(beats, lease_s)


@asynccontextmanager
async def working(
    queue: MemoryJobs, run: Run, name: str = "w", *, concurrency: int = 4, time_limit_s: float = 60
) -> AsyncIterator[Worker]:
    handlers = {"a": Handler(run=run, time_limit_s=time_limit_s)}
    worker = Worker(name, queue, handlers, {"default": concurrency}, dice=lambda: 0.5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        yield worker
        nursery.cancel_scope.cancel()


async def add(queue: MemoryJobs, **fields: Any) -> int:
    return (await queue.enqueue([JobDraft(kind="a", **fields)]))[0].job_id


async def nothing(_: JobContext) -> None:
    pass


async def for_ever(_: JobContext) -> None:
    await trio.sleep_forever()


async def test_no_more_jobs_than_the_concurrency_run_at_once(autojump_clock: MockClock) -> None:
    queue, now, most = MemoryJobs(), 0, 0

    async def run(_: JobContext) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await trio.sleep(1)
        now -= 1

    for _ in range(20):
        await add(queue)
    async with working(queue, run) as worker:
        await trio.sleep(10)
    assert most == 4
    assert {job.state for job in queue.jobs.values()} == {"succeeded"}
    assert worker.outcomes == {"succeeded": 20}


async def test_a_failed_job_is_retried_until_it_is_dead(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    queue, starts = MemoryJobs(), []

    async def run(_: JobContext) -> None:
        starts.append(trio.current_time())
        raise ValueError("no \0 good")

    job_id = await add(queue, max_attempts=4)
    async with working(queue, run) as worker:
        await trio.sleep(60)
    waits = [b - a for a, b in itertools.pairwise(starts)]
    assert waits == pytest.approx([1, 2, 4], abs=0.7)
    job = queue.jobs[job_id]
    assert (job.state, job.failures) == ("dead", 4)
    assert job.last_error == "ValueError: no  good"
    assert worker.outcomes == {"failed": 4}
    assert {record.event for record in caplog.records} == {"job_failed"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "state", "failures"),
    [
        (SnoozeError(3600), "queued", 0),
        (GiveUpError("never"), "dead", 1),
        (ExceptionGroup("of a nursery", [GiveUpError("never")]), "dead", 1),
    ],
)
async def test_a_handler_may_snooze_or_give_up(
    autojump_clock: MockClock, error: Exception, state: str, failures: int
) -> None:
    queue = MemoryJobs()

    async def run(_: JobContext) -> None:
        raise error

    job_id = await add(queue)
    async with working(queue, run):
        await trio.sleep(5)
    assert (queue.jobs[job_id].state, queue.jobs[job_id].failures) == (state, failures)


async def test_a_job_over_its_time_limit_fails(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()
    job_id = await add(queue, max_attempts=1)
    async with working(queue, for_ever, time_limit_s=20):
        await trio.sleep(22)
    assert queue.jobs[job_id].state == "dead"
    assert queue.jobs[job_id].last_error == "took longer than 20 s"


async def test_a_running_job_is_cancelled_at_the_next_heartbeat(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()
    job_id = await add(queue)

    async def run(context: JobContext) -> None:
        context.report_progress(1, 2)
        await trio.sleep_forever()

    async with working(queue, run):
        await trio.sleep(1)
        await queue.cancel(None, job_id)
        await trio.sleep(6)
        assert queue.jobs[job_id].state == "cancelled"
    assert queue.jobs[job_id].progress == (1, 2)


async def test_a_long_job_keeps_its_lease(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()
    job_id = await add(queue)

    async def run(_: JobContext) -> None:
        await trio.sleep(50)

    async with working(queue, run):
        for _ in range(40):
            await trio.sleep(1)
            assert await queue.rescue() == 0
        await trio.sleep(20)
    assert (queue.jobs[job_id].state, queue.jobs[job_id].attempt) == ("succeeded", 1)


async def test_a_job_whose_lease_is_lost_is_cancelled_and_records_nothing(
    autojump_clock: MockClock,
) -> None:
    queue, ends = MemoryJobs(), []
    job_id = await add(queue)

    async def run(_: JobContext) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ends.append(trio.current_time())

    async with working(queue, run) as worker:
        await trio.sleep(1)
        await queue.release("w", died=True)
        (stolen,) = await queue.claim("thief", {"default": 1}, ["a"], 3600)
        await trio.sleep(10)
        assert len(ends) == 1
        assert not worker.attempts
    assert queue.jobs[job_id] == stolen


async def test_an_end_under_a_lost_lease_is_only_counted(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    queue = MemoryJobs()
    job_id = await add(queue)

    async def run(_: JobContext) -> None:
        await queue.release("w", died=True)
        await queue.claim("thief", {"default": 1}, ["a"], 3600)

    async with working(queue, run) as worker:
        await trio.sleep(1)
        assert worker.stale == 1
        assert worker.outcomes == {}
    assert (queue.jobs[job_id].state, queue.jobs[job_id].worker) == ("running", "thief")


async def test_an_effect_under_a_lost_lease_is_refused(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    queue, effects = MemoryJobs(), []
    await add(queue)

    async def effect(_: Any) -> None:
        effects.append(1)

    async def run(context: JobContext) -> None:
        await queue.release("w", died=True)
        async with trio.open_nursery():  # its errors come in groups
            await context.finish_with(effect)

    async with working(queue, run, concurrency=1) as worker:
        while worker.stale < 3:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
    assert effects == []


async def test_an_effect_ends_the_job(autojump_clock: MockClock) -> None:
    queue, effects = MemoryJobs(), []
    job_id = await add(queue)

    async def effect(_: Any) -> None:
        effects.append(1)

    async def run(context: JobContext) -> None:
        await context.finish_with(effect)

    async with working(queue, run) as worker:
        await trio.sleep(5)
        assert not worker.attempts
    assert (queue.jobs[job_id].state, effects) == ("succeeded", [1])
    assert worker.outcomes == {"succeeded": 1}


async def test_ends_wait_while_the_database_is_away(autojump_clock: MockClock) -> None:
    queue = Flaky()

    async def run(_: JobContext) -> None:
        await trio.sleep(1)

    for _ in range(6):
        await add(queue)
    async with working(queue, run) as worker:
        await trio.sleep(0.5)
        queue.away = True
        await trio.sleep(10)
        assert len(worker.attempts) == 4, "a job counts until its end is recorded"
        queue.away = False
        await trio.sleep(4)
    assert {job.state for job in queue.jobs.values()} == {"succeeded"}
    assert {job.attempt for job in queue.jobs.values()} == {1}


async def test_a_worker_without_heartbeats_cancels_its_jobs_when_their_leases_end(
    autojump_clock: MockClock,
) -> None:
    """Effects outside of the database are not fenced, so a handler must end about when its lease does."""
    queue, ended = Flaky(), []

    async def run(_: JobContext) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    job_id = await add(queue)
    async with working(queue, run):
        await trio.sleep(7)
        queue.away, away_at = True, trio.current_time()
        await trio.sleep(25)
        assert len(ended) == 1
        assert ended[0] - away_at <= 20
        queue.away = False
        await trio.sleep(2)
        assert queue.jobs[job_id].failures == 0
        assert queue.jobs[job_id].attempt == 2


async def test_a_drain_lets_jobs_finish_and_claims_no_more(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()

    async def run(context: JobContext) -> None:
        await trio.sleep(3)
        assert context.stopping

    for _ in range(6):
        await add(queue)
    async with working(queue, run) as worker:
        await trio.sleep(1)
        await worker.drain(10)
        assert trio.current_time() < 4
    assert [job.state for job in queue.jobs.values()] == ["succeeded"] * 4 + ["queued"] * 2


async def test_a_job_that_does_not_finish_within_the_drain_is_released(
    autojump_clock: MockClock,
) -> None:
    queue = MemoryJobs()
    job_id = await add(queue)
    async with working(queue, for_ever) as worker:
        await trio.sleep(1)
        await worker.drain(5)
        assert (queue.jobs[job_id].state, queue.jobs[job_id].failures) == ("queued", 0)
        assert trio.current_time() < 7


async def test_a_stop_without_a_drain_releases_jobs_too(autojump_clock: MockClock) -> None:
    queue = MemoryJobs()
    job_id = await add(queue)
    async with working(queue, for_ever):
        await trio.sleep(1)
    assert (queue.jobs[job_id].state, queue.jobs[job_id].failures) == ("queued", 0)


async def test_jobs_of_the_workers_earlier_run_are_released_at_the_start(
    autojump_clock: MockClock,
) -> None:
    queue = MemoryJobs()
    job_id = await add(queue)
    await queue.claim("w", {"default": 1}, ["a"], 3600)
    async with working(queue, nothing):
        await trio.sleep(1)
    assert (queue.jobs[job_id].state, queue.jobs[job_id].failures) == ("succeeded", 1)


async def test_an_idle_worker_polls_slowly_and_claims_at_once_when_woken(
    autojump_clock: MockClock,
) -> None:
    claim_times: list[float] = []

    class Counted(MemoryJobs):
        async def claim(self, *arguments: Any) -> list[Job]:
            claim_times.append(trio.current_time())
            return await super().claim(*arguments)

    queue = Counted()
    async with working(queue, nothing) as worker:
        await trio.sleep(100)
        assert 150 < len(claim_times) < 250
        worker.wake()
        await trio.sleep(0.001)
        assert claim_times[-1] > trio.current_time() - 0.01

"""Jobs that stand still are named after ten seconds, in virtual time."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from actors.jobs.worker import Worker
from engine.common.errors import UnavailableError
from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import AttemptEnd, Heartbeat, Job, JobDraft, Lease
from storage.jobs.memory_jobs import MemoryJobs


class Failing(MemoryJobs):
    """A queue with one method that is unavailable."""

    method = ""

    def _require(self, method: str) -> None:
        if self.method == method:
            raise UnavailableError("away")

    async def claim(
        self, worker: str, concurrency: Mapping[str, int], kinds: Sequence[str], lease_s: float
    ) -> list[Job]:
        self._require("claim")
        return await super().claim(worker, concurrency, kinds, lease_s)

    async def end(self, endings: Sequence[AttemptEnd]) -> set[Lease]:
        self._require("end")
        return await super().end(endings)

    async def heartbeat(self, beats: Sequence[Heartbeat], lease_s: float) -> dict[Lease, bool]:
        self._require("heartbeat")
        return await super().heartbeat(beats, lease_s)


class Jobs:
    """A worker that runs jobs of the kind `a`, each for `takes_s`."""

    def __init__(self) -> None:
        self.queue = Failing()
        self.takes_s = 0.1
        handler = Handler(run=self._run, time_limit_s=600)
        self.worker = Worker("w", self.queue, {"a": handler}, {"default": 1}, dice=lambda: 0.5)

    async def _run(self, _: JobContext) -> None:
        await trio.sleep(self.takes_s)

    async def add(self, kind: str = "a") -> None:
        await self.queue.enqueue([JobDraft(kind=kind)])

    async def reasons(self) -> list[str]:
        queues, _ = await self.queue.queue_metrics()
        return [stall for stall in self.worker.stalls(queues) if stall]

    async def reasons_after(self, seconds: float) -> list[str]:
        await trio.sleep(seconds)
        return await self.reasons()


@asynccontextmanager
async def working() -> AsyncIterator[Jobs]:
    jobs = Jobs()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(jobs.worker.run)
        await trio.sleep(1)
        yield jobs
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("method", "work"),
    [("claim", "claims of jobs"), ("end", "ends of jobs"), ("heartbeat", "leases of running jobs")],
)
async def test_a_call_that_fails_for_long_is_named(
    autojump_clock: MockClock, method: str, work: str
) -> None:
    async with working() as jobs:
        jobs.takes_s = 0.5 if method == "end" else 60
        if method != "claim":
            await jobs.add()
            await trio.sleep(0.2)
        jobs.queue.method = method
        assert await jobs.reasons_after(8) == []
        (reason,) = await jobs.reasons_after(9)
        assert reason.startswith(work)
        assert reason.endswith("last error: away")
        jobs.queue.method = ""
        assert await jobs.reasons_after(6) == []


async def test_long_jobs_and_those_that_wait_for_them_have_not_stalled(
    autojump_clock: MockClock,
) -> None:
    async with working() as jobs:
        jobs.takes_s = 300
        for _ in range(3):
            await jobs.add()
        assert await jobs.reasons_after(60) == []


async def test_due_jobs_that_no_worker_claims_are_named(autojump_clock: MockClock) -> None:
    async with working() as jobs:
        await jobs.add(kind="unknown")
        assert await jobs.reasons_after(9) == []
        (reason,) = await jobs.reasons_after(3)
        assert reason.startswith("1 jobs of the queue default are due, the oldest for 1")

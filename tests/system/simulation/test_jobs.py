"""Jobs under a storm, simulated by a seed: calls that fail before or after they took effect, workers that die
without a word, and ones that stand still past their lease. Each job takes effect once, and none is stuck.

The workers and schedulers are the real ones, the queue is the twin, time is virtual.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.jobs.scheduler import Scheduler
from actors.jobs.worker import RESCUE_S, Worker
from actors.operations.periodic import run_every
from engine.common.errors import UnavailableError
from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import JobDraft
from engine.jobs.periodic import PeriodicJob
from engine.jobs.schedule import Every
from storage.jobs.memory_jobs import MemoryJobs

SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.large) for seed in range(6, 200))]
STORM_S = 120.0
CALM_LIMIT_S = 3600.0


class Line:
    """One process's connection to the queue: a call may be late, or lost before or after its effect."""

    def __init__(self, queue: MemoryJobs, dice: random.Random) -> None:
        self._queue = queue
        self._dice = dice
        self.calm = False
        self.cut = False
        self.stopped_until = 0.0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            await self._on_its_way()
            result = await getattr(self._queue, name)(*arguments, **named)
            await self._on_its_way()
            return result

        return call

    async def _on_its_way(self) -> None:
        await self._end_if_cut()
        await trio.sleep(self._dice.expovariate(1 / 0.02))
        # A process that stands still hears of what it had asked when it goes on.
        await trio.sleep_until(max(self.stopped_until, trio.current_time()))
        await self._end_if_cut()
        if not self.calm and self._dice.random() < 0.05:
            raise UnavailableError("lost")

    async def _end_if_cut(self) -> None:
        if self.cut:
            await trio.sleep_forever()  # nothing more is heard of a process that is dead


class Storm:
    """Three processes on one queue."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.queue = MemoryJobs()
        self.effects: list[tuple[int, int]] = []  # job and attempt
        self.lines: dict[str, Line] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for n in range(3):
                nursery.start_soon(self._keep, f"w{n}")
            nursery.start_soon(self._enqueue)
            await trio.sleep(0.1)
            with trio.move_on_after(STORM_S):
                while True:
                    await trio.sleep(self.dice.expovariate(1 / 4))
                    self._strike(self.dice.choice(list(self.lines)))
            for line in self.lines.values():
                line.calm, line.stopped_until = True, 0.0
            with trio.fail_after(CALM_LIMIT_S):
                while not self.done():  # noqa: ASYNC110  # virtual time
                    await trio.sleep(1)
            nursery.cancel_scope.cancel()

    def done(self) -> bool:
        return all(job.state == "succeeded" for job in self.queue.jobs.values())

    def _strike(self, name: str) -> None:
        if self.dice.random() < 0.4:
            self.lines[name].cut = True
            self.scopes[name].cancel()
        else:
            self.lines[name].stopped_until = trio.current_time() + self.dice.uniform(1, 40)

    async def _keep(self, name: str) -> None:
        """Run a process, and start it again when it dies: under its own name, or under another one."""
        lives = 0
        while True:
            line = self.lines[name] = Line(self.queue, self.dice)
            scope = self.scopes[name] = trio.CancelScope()
            with scope:
                await self._process(name if lives % 2 else f"{name}-{lives}", line)
            lives += 1
            line = self.lines[name] = Line(self.queue, self.dice)
            await trio.sleep(self.dice.uniform(0, 3))

    async def _process(self, name: str, line: Any) -> None:
        handler = Handler(run=self._work, time_limit_s=300)
        tick = PeriodicJob("tick", Every(20), "tick", handler, queue="default", max_attempts=100)
        handlers = {"work": handler, tick.kind: tick.handler}
        worker = Worker(name, line, handlers, {"default": 5}, dice=self.dice.random)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run)
            nursery.start_soon(Scheduler(line, worker.wake, [tick]).run)
            nursery.start_soon(partial(run_every, RESCUE_S, line.rescue))

    async def _work(self, context: JobContext) -> None:
        async def effect(_: Any) -> None:
            self.effects.append((context.job.id, context.job.attempt))

        await trio.sleep(self.dice.expovariate(1 / 2))
        if self.dice.random() < 0.05:
            raise OSError("something else is broken")
        await context.finish_with(effect)

    async def _enqueue(self) -> None:
        for n in range(150):
            await trio.sleep(self.dice.expovariate(2))
            draft = JobDraft(kind="work", priority=n % 3, max_attempts=100)
            await self.queue.enqueue([draft])


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_job_takes_effect_once(
    autojump_clock: MockClock, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    storm = Storm(seed)
    await storm.run()
    jobs = storm.queue.jobs
    # Once, and of the attempt that was the last to begin.
    assert sorted(storm.effects) == sorted((job.id, job.attempt) for job in jobs.values())
    dues = Counter(job.payload["due"] for job in jobs.values() if job.kind == "tick")
    assert set(dues.values()) == {1}
    assert sum(job.kind == "work" for job in jobs.values()) == 150
    assert sum(job.failures for job in jobs.values()) > 5, "the storm did nothing"

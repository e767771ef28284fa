"""A real worker and scheduler in a process of their own, to be killed and stopped: run as a module, with
the database's URL, a name, and the length of a lease in seconds.

A job's effect is a row of `public.effects`, committed with its end. `payload.sleep_s` is how long it works
before that. It prints when it is ready, which jobs it begins, and each attempt whose end was refused.
"""

import sys
from functools import partial
from typing import Any

import trio

from actors.jobs.scheduler import Scheduler
from actors.jobs.worker import Worker
from actors.operations import runtime
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import PeriodicJob
from engine.jobs.schedule import Every
from storage.jobs.jobs import PostgresJobQueue
from storage.postgres.database import Connection, Database


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def run(context: JobContext) -> None:
    job = context.job
    say("begins", job.kind, job.attempt)

    async def effect(connection: Connection) -> Any:
        due = job.payload.get("due", "")
        return await connection.execute(
            "INSERT INTO public.effects VALUES ($1, $2, $3)", job.id, job.attempt, due
        )

    await trio.sleep(job.payload.get("sleep_s", 0))
    await context.finish_with(effect)


TICK = PeriodicJob(
    "tick", Every(1), "do what is due each second", Handler(run=run), queue="default"
)


async def main(url: str, name: str, lease_s: float, stop: Stop) -> None:
    database = await Database.open(url, role="waypost_aggregator", size=4, query_timeout_ms=5000)
    queue = PostgresJobQueue(database)
    handlers = {"work": Handler(run=run), TICK.kind: TICK.handler}
    worker = Worker(name, queue, handlers, {"default": 4}, lease_s=lease_s)
    scheduler = Scheduler(queue, worker.wake, [TICK], 0.05)
    async with trio.open_nursery() as nursery:
        for start in (worker.run, scheduler.run, partial(run_every, lease_s / 3, queue.rescue)):
            nursery.start_soon(start)
        nursery.start_soon(report_stale, worker)
        say("ready")
        await stop.wait()
        await worker.drain(1.5)
        nursery.cancel_scope.cancel()
    await database.close()


async def report_stale(worker: Worker) -> None:
    reported = 0
    while True:
        await trio.sleep(0.02)
        while reported < worker.stale:
            reported += 1
            say("stale")


if __name__ == "__main__":
    _, url, name, lease_s = sys.argv
    runtime.run(partial(main, url, name, float(lease_s)))

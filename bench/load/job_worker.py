"""Worker process of `python -m bench jobs`. Arguments: the database's URL and a name.

Kinds of jobs: `plain` does nothing, `effect` commits a row of `public.effects` with its end, `long` sleeps.
"""

import sys
from functools import partial
from typing import Final

import trio

from actors.jobs.worker import RESCUE_S, Worker
from actors.operations import runtime
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from engine.jobs.handler import Handler, JobContext
from storage.jobs.jobs import PostgresJobQueue
from storage.postgres.database import Connection, Database

SLOTS: Final = 200
POOL: Final = 8


async def plain(_: JobContext) -> None:
    await trio.lowlevel.checkpoint()


async def effect(context: JobContext) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO public.effects VALUES ($1)", context.job.id)

    await context.finish_with(work)


async def long(_: JobContext) -> None:
    await trio.sleep(600)


async def main(url: str, name: str, stop: Stop) -> None:
    database = await Database.open(
        url, role="waypost_aggregator", size=POOL, query_timeout_ms=60_000
    )
    queue = PostgresJobQueue(database)
    handlers = {
        "plain": Handler(run=plain),
        "effect": Handler(run=effect),
        "long": Handler(run=long, time_limit_s=900),
    }
    worker = Worker(name, queue, handlers, {"default": SLOTS})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        nursery.start_soon(partial(run_every, RESCUE_S, queue.rescue))
        await stop.wait()
        await worker.drain(1)
        nursery.cancel_scope.cancel()
    await database.close()


if __name__ == "__main__":
    runtime.run(partial(main, sys.argv[1], sys.argv[2]))

"""The workers: the aggregator and the upkeep of what is kept, under one supervisor."""

import socket
from functools import partial
from typing import Final

import trio

from actors.aggregator import Aggregator
from actors.host import Stop
from actors.supervisor import Child
from actors.upkeep import every, keep_partitions
from engine.health import Component
from engine.roles.process import Assignment, restarts_of, status_child, supervisor, until_stopped
from engine.settings import Settings
from engine.statistics import Sample
from storage.click_stream import RedisClickStream
from storage.idempotency import IdempotencyKeys
from storage.ledger import PostgresClickLedger
from storage.partitions import Partitions
from storage.postgres import Database
from storage.redis_client import RedisServer

PURGE_INTERVAL_S: Final = 3600.0


async def workers(assignment: Assignment, settings: Settings, stop: Stop) -> None:
    database = await Database.open(
        settings.database_url,
        role="waypost_aggregator",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    ledger = PostgresClickLedger(database)
    aggregator = Aggregator(
        # Of this place, not of this process: what a killed one held, its successor need not wait for.
        f"{socket.gethostname()}:{assignment.run_folder}:{assignment.name}",
        RedisClickStream(redis),
        ledger,
        lease_ttl_s=settings.lease_ttl_ms / 1000,
    )

    def components() -> list[Component]:
        return [Component(assignment.name, tree.children["aggregator"].running)]

    def samples() -> list[Sample]:
        return [
            Sample("waypost_folded_clicks_total", aggregator.folded),
            Sample("waypost_folds_total", aggregator.commits),
            Sample("waypost_fold_gaps_total", aggregator.gaps),
            Sample("waypost_stale_leases_total", aggregator.stale),
            Sample("waypost_batches_set_aside_total", aggregator.set_aside),
            restarts_of(tree),
        ]

    tree = supervisor(
        "workers",
        [
            Child(
                name="partitions",
                start=partial(
                    keep_partitions, Partitions(database).ensure, settings.partitions_ahead_days
                ),
            ),
            Child(
                name="retired-journals",
                start=partial(every, PURGE_INTERVAL_S, ledger.purge_retired),
            ),
            Child(
                name="idempotency-keys",
                start=partial(every, PURGE_INTERVAL_S, IdempotencyKeys(database).purge_expired),
            ),
            Child(name="aggregator", start=aggregator.run),
            status_child(assignment, components, samples),
        ],
    )
    try:
        await until_stopped(tree, stop, trio.lowlevel.checkpoint)
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await database.close()

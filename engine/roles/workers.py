"""The workers: the aggregator and the upkeep of partitions, under one supervisor."""

import os
import socket
from functools import partial

import trio

from actors.aggregator import Aggregator
from actors.host import Stop
from actors.supervisor import Child
from actors.upkeep import keep_partitions
from engine.health import Component
from engine.roles.process import Assignment, restarts_of, status_child, supervisor, until_stopped
from engine.settings import Settings
from engine.statistics import Sample
from storage.click_stream import RedisClickStream
from storage.ledger import PostgresClickLedger
from storage.partitions import Partitions
from storage.postgres import Database
from storage.redis_client import RedisServer


async def workers(assignment: Assignment, settings: Settings, stop: Stop) -> None:
    database = await Database.open(
        settings.database_url,
        role="waypost_aggregator",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    aggregator = Aggregator(
        f"{socket.gethostname()}-{os.getpid()}",
        RedisClickStream(redis),
        PostgresClickLedger(database),
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

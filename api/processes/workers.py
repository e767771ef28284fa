"""The workers: the aggregator and whoever does jobs, under one supervisor."""

import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

import trio

from actors.clicks.aggregator import Aggregator
from actors.experiments.automation import ExperimentAutomation
from actors.github.sync import GithubSync
from actors.jobs.queue_gauges import QueueGauges
from actors.jobs.timetable import Scheduler
from actors.jobs.worker import RESCUE_S, Handler, JobContext, Worker
from actors.links.health_checks import LinkChecks
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec
from actors.stats.live_feed import LiveFeed
from actors.webhooks.courier import Courier, CourierLimits
from api.processes.process import ProcessSpec, group, status_child, supervisor, until_stopped
from engine.github.sync import SYNC_KIND, SYNC_QUEUE
from engine.operations.actor_tree import ActorStatus
from engine.operations.health import Component
from engine.operations.metrics import Sample
from engine.operations.settings import Settings
from engine.stats.click_buffer import ClickBufferFactory
from engine.webhooks.ports import WebhookSender
from storage.accounts.purge import AccountsPurge
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.partitions import Partitions
from storage.clicks.stream import RedisClickStream
from storage.experiments.automation import PostgresRunningExperiments
from storage.experiments.counts import ExperimentCountsPurge
from storage.github.api import HttpGithubApi
from storage.github.syncs import PostgresGithubRequestLease, PostgresGithubSyncQueue
from storage.http.sender import HttpWebhookSender
from storage.jobs.jobs import PostgresJobQueue
from storage.links.health import PostgresLinkHealthStore
from storage.links.prober import HttpProber
from storage.postgres.database import Database
from storage.postgres.idempotency import IdempotencyPurge
from storage.privacy.erasure import Eraser
from storage.redis.client import RedisServer
from storage.stats.daily import DailyAggregation
from storage.stats.live import RedisLiveChannel
from storage.webhooks.deliveries import PostgresDeliveryQueue

# The queues that are served, and how many jobs of each run at once.
SLOTS: Final[Mapping[str, int]] = {"default": 16, "chores": 4, SYNC_QUEUE: 1}

DAILY_LIMIT_S: Final = 4 * 3600.0


def handlers(
    settings: Settings,
    database: Database,
    redis: RedisServer,
    ledger: PostgresClickLedger,
    queue: PostgresJobQueue,
    github: GithubSync,
    checks: LinkChecks,
    watcher: ExperimentAutomation,
) -> dict[str, Handler]:
    """Who does each kind of job. actors/jobs/timetable.py says which are periodic."""
    upkeep = AccountsPurge(database)
    days_ahead = settings.partitions_ahead_days
    return {
        "analytics.daily": Handler(
            run=partial(aggregate, DailyAggregation(database)), time_limit_s=DAILY_LIMIT_S
        ),
        "clicks.partitions": chore(partial(Partitions(database).ensure, days_ahead)),
        "journals.purge": chore(ledger.purge_retired),
        "idempotency.purge": chore(IdempotencyPurge(database).purge_expired),
        "sessions.purge": chore(upkeep.purge_sessions),
        "keys.purge": chore(upkeep.purge_keys),
        "invitations.purge": chore(upkeep.purge_invitations),
        "webhooks.purge": chore(PostgresDeliveryQueue(database).purge),
        "profiles.erase": chore(Eraser(database, redis).sweep_due),
        "experiments.automate": Handler(run=watcher.run, time_limit_s=300),
        "experiments.purge": chore(ExperimentCountsPurge(database).forget),
        "links.check": Handler(run=checks.run, time_limit_s=120),
        "github.schedule": Handler(run=github.schedule),
        SYNC_KIND: Handler(run=github.sync, time_limit_s=120),
        "jobs.purge": chore(partial(queue.purge, settings.jobs_kept_days)),
    }


async def aggregate(daily: DailyAggregation, context: JobContext) -> None:
    await daily.run(context.report_progress)


def chore(work: Callable[[], Awaitable[object]]) -> Handler:
    """A job without a payload that may be done any number of times."""

    async def run(_: JobContext) -> None:
        await work()

    return Handler(run=run, time_limit_s=600)


async def workers(assignment: ProcessSpec, settings: Settings, stop: Stop) -> None:
    database = await Database.open(
        settings.database_url,
        role="waypost_aggregator",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    ledger = PostgresClickLedger(database)
    # Of this place, not of this process: what a killed one held, its successor need not wait for.
    owner = f"{socket.gethostname()}:{assignment.run_folder}:{assignment.name}"
    queue = PostgresJobQueue(database)
    github_api = HttpGithubApi(settings.github_url, settings.github_token)
    github = GithubSync(
        PostgresGithubSyncQueue(database),
        PostgresGithubRequestLease(database, settings.github_url, settings.github_token),
        github_api,
        owner,
    )
    prober = HttpProber(everywhere=settings.check_links == "everywhere")
    checks = LinkChecks(
        PostgresLinkHealthStore(database), prober, enabled=settings.check_links != "off"
    )
    watcher = ExperimentAutomation(PostgresRunningExperiments(database))
    known = handlers(settings, database, redis, ledger, queue, github, checks, watcher)
    worker = Worker(owner, queue, known, SLOTS)
    scheduler = Scheduler(queue, worker.wake)
    gauges = QueueGauges(queue)
    feed = LiveFeed(RedisLiveChannel(redis))
    aggregator = Aggregator(
        owner,
        RedisClickStream(redis),
        ledger,
        lease_ttl_s=settings.lease_ttl_ms / 1000,
        gather=ClickBufferFactory(),
        committed=feed.committed,
    )
    sender = HttpWebhookSender(loopback=settings.webhook_loopback)
    courier = make_courier(owner, database, sender, courier_limits(settings))

    def components() -> list[Component]:
        return [Component(assignment.name, tree.children["aggregation"].running)]

    def samples() -> list[Sample]:
        return [
            *aggregator.samples(),
            *feed.samples(),
            *worker.samples(),
            *gauges.samples(),
            *watcher.samples(),
            *checks.samples(),
            *github.samples(),
            *courier.samples(),
            *database.samples(),
        ]

    tree = supervisor(
        "workers",
        [
            group(
                "aggregation",
                ChildSpec(
                    name="aggregator",
                    start=aggregator.run,
                    look=lambda: ActorStatus(last_error=aggregator.last_error),
                ),
                ChildSpec(name="live", start=feed.run),
            ),
            group("webhooks", ChildSpec(name="courier", start=courier.run, look=courier.status)),
            group(
                "jobs",
                ChildSpec(name="worker", start=worker.run, look=worker.status),
                ChildSpec(name="rescue", start=partial(run_every, RESCUE_S, queue.rescue)),
                ChildSpec(name="scheduler", start=scheduler.run, look=scheduler.status),
                ChildSpec(name="queue-gauges", start=gauges.run, look=gauges.status),
            ),
            status_child(assignment, lambda: tree, components, samples),
        ],
    )

    async def drain() -> None:
        async with trio.open_nursery() as nursery:
            for each in (worker.drain, courier.drain):
                nursery.start_soon(each, settings.drain_timeout_ms / 1000)

    try:
        await until_stopped(tree, stop, drain)
    finally:
        with trio.CancelScope(shield=True):
            await prober.close()
            await github_api.close()
            await sender.close()
            await redis.close()
            await database.close()


def courier_limits(settings: Settings) -> CourierLimits:
    return CourierLimits(
        max_concurrency=settings.webhook_concurrency,
        rate_per_s=settings.webhook_rate,
        lease_ttl_s=settings.lease_ttl_ms / 1000,
    )


def make_courier(
    owner: str, database: Database, sender: WebhookSender, limits: CourierLimits
) -> Courier:
    """`database` was opened as waypost_aggregator."""
    return Courier(
        owner,
        PostgresDeliveryQueue(database),
        sender,
        now=lambda: datetime.now(UTC),
        jitter=lambda: random.uniform(-1, 1),  # noqa: S311
        limits=limits,
    )

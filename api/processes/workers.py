"""Workers process: it counts clicks, delivers webhooks and runs jobs."""

import random
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

import trio

from actors.accounts.reset_mails import ResetMails
from actors.assets.collector import AssetCollector
from actors.clicks.aggregator import Aggregator
from actors.experiments.automation import ExperimentAutomation
from actors.experiments.dimension_copier import DimensionCopier
from actors.github.sync import GithubSync
from actors.jobs.queue_gauges import QueueGauges
from actors.jobs.scheduler import Scheduler
from actors.jobs.worker import RESCUE_S, Worker
from actors.links.domain_checks import DomainChecks
from actors.links.file_imports import FileImports
from actors.links.health_checks import LinkChecks
from actors.links.list_fetches import ListFetches
from actors.links.screening import Screening
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec
from actors.pages.card_drawing import CardDrawing
from actors.pages.subscription_mails import SubscriptionMails
from actors.stats.delta_settler import DeltaSettler
from actors.stats.digests import Digests
from actors.stats.live_feed import LiveFeed
from actors.webhooks.courier import Courier, CourierLimits
from api.links.announce import announce
from api.processes.fold_selection import select_fold
from api.processes.process import ProcessSpec, group, status_child, supervisor, until_stopped
from engine.github.sync import SYNC_QUEUE
from engine.jobs.handler import Handler
from engine.jobs.periodic import PERIODIC_QUEUE, PeriodicJob
from engine.links.imports.link_import import IMPORT_CONNECTIONS, IMPORT_QUEUE, MAX_RUNNING_IMPORTS
from engine.mail.server import mail_server, sender
from engine.operations.actor_tree import ActorStatus
from engine.operations.health import Component
from engine.operations.metrics import Sample
from engine.operations.progress import progress_component
from engine.operations.settings import Settings
from engine.stats.dashboards.digest import QUEUE as DIGEST_QUEUE
from storage.accounts.purge import AccountsPurge
from storage.accounts.reset_tokens import PostgresResetTokenStore
from storage.assets.direct_uploads import direct_uploads
from storage.assets.stores import asset_files
from storage.assets.unused import PostgresUnusedFilesStore
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.partitions import Partitions
from storage.clicks.stream import RedisClickStream
from storage.experiments.automation import PostgresRunningExperiments
from storage.experiments.conversion_dimensions import PostgresConversionDimensions
from storage.experiments.counts import ExperimentCountsPurge
from storage.github.api import HttpGithubApi
from storage.github.syncs import PostgresGithubRequestLease, PostgresGithubSyncQueue
from storage.http.sender import HttpWebhookSender
from storage.jobs.jobs import PostgresJobQueue
from storage.links.abuse.blocklists import PostgresBlocklists
from storage.links.abuse.list_fetcher import HttpListFetcher
from storage.links.abuse.policy_source import PolicySource
from storage.links.abuse.reports import ReportPurge
from storage.links.abuse.screening import PostgresScreeningStore
from storage.links.domain_looks import PostgresDomainLookStore
from storage.links.health import PostgresLinkHealthStore
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.links.imports.imports import ImportSweep, PostgresImportSpool
from storage.links.orphan_visits import OrphanVisitPurge
from storage.links.prober import HttpProber
from storage.links.txt_records import DnsTxtRecords
from storage.mail.smtp import NO_MAILS, SmtpMailer
from storage.pages.cards import PostgresCardStore, PostgresLinkCardStore
from storage.pages.subscribers import PostgresUnconfirmedAddresses
from storage.postgres.database import Database
from storage.postgres.idempotency import IdempotencyPurge
from storage.privacy.erasure import Eraser
from storage.redis.client import RedisServer
from storage.stats.daily import DailyAggregation
from storage.stats.dashboards.digests import PostgresDigestQueue
from storage.stats.live import RedisLiveChannel
from storage.stats.reader import PostgresStatsReader
from storage.stats.settling import PostgresDeltaStore
from storage.visits.announcer import RedisAnnouncer
from storage.webhooks.deliveries import PostgresDeliveryQueue
from storage.webhooks.outbox import PostgresOutbox

IMPORT_STATEMENT_MS: Final = 60_000
# Queue: how many of its jobs run at once.
CONCURRENCY: Final[Mapping[str, int]] = {
    "default": 16,
    PERIODIC_QUEUE: 4,
    SYNC_QUEUE: 1,
    IMPORT_QUEUE: MAX_RUNNING_IMPORTS,
    DIGEST_QUEUE: 2,
}


class Workers:
    """Actors of one workers process. `database` is opened as waypost_aggregator, `app_database` as
    waypost_app: an import is done as its member, and a digest is counted as its profile's tenant, under
    row-level security."""

    def __init__(
        self,
        spec: ProcessSpec,
        settings: Settings,
        database: Database,
        app_database: Database,
        redis: RedisServer,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._database = database
        self._owner = _owner_name(spec)
        self._feed = LiveFeed(RedisLiveChannel(redis))
        self._deltas = PostgresDeltaStore(database)
        self._settler = DeltaSettler(self._deltas)
        core = select_fold(settings.fold_core)
        self._ledger = PostgresClickLedger(database, on_delta=self._settler.note, core=core)
        self._aggregator = Aggregator(
            self._owner,
            RedisClickStream(redis),
            self._ledger,
            lease_ttl_s=settings.lease_ttl_ms / 1000,
            on_fold=self._feed.committed,
        )
        self._sender = HttpWebhookSender(loopback=settings.webhook_loopback)
        self._courier = self._new_courier()
        self._github_api = HttpGithubApi(settings.github_url, settings.github_token)
        self._github = self._github_sync()
        self._prober = HttpProber(everywhere=settings.check_links == "everywhere")
        self._checks = LinkChecks(
            PostgresLinkHealthStore(database), self._prober, enabled=settings.check_links != "off"
        )
        self._policy = PolicySource(settings, PostgresBlocklists(database))
        self._screening, self._list_fetches = self._abuse_work()
        self._domains = DomainChecks(PostgresDomainLookStore(database), DnsTxtRecords())
        self._automation = ExperimentAutomation(PostgresRunningExperiments(database))
        self._assets, self._cards = self._picture_work()
        self._copier = DimensionCopier(PostgresConversionDimensions(database))
        self._mailer = mailer(settings)
        self._digests = self._new_digests(app_database)
        self._unconfirmed = PostgresUnconfirmedAddresses(database)
        self._confirmations = self._confirmation_mails()
        self.periodic_jobs = self._periodic_jobs(redis)
        self._imports = self._file_imports(app_database, redis)
        self._queue = PostgresJobQueue(database)
        self._gauges = QueueGauges(self._queue)
        self._worker = Worker(self._owner, self._queue, self._handlers(), CONCURRENCY)
        self._scheduler = Scheduler(self._queue, self._worker.wake, self.periodic_jobs)
        self.tree = supervisor("workers", self._children())

    def _confirmation_mails(self) -> SubscriptionMails:
        url = self._settings.visitors_url
        return SubscriptionMails(self._unconfirmed, self._mailer, url, time.time)

    def _abuse_work(self) -> tuple[Screening, ListFetches]:
        lists, store = PostgresBlocklists(self._database), PostgresScreeningStore(self._database)
        policy = self._policy
        urls = self._settings.blocklist_urls.split()
        return (
            Screening(store, policy.read, lambda: policy.is_complete),
            ListFetches(urls, lists, HttpListFetcher()),
        )

    def _picture_work(self) -> tuple[AssetCollector, CardDrawing]:
        files = asset_files(self._settings.storage_url, self._spec.folder)
        cards = PostgresCardStore(self._database)
        return (
            AssetCollector(PostgresUnusedFilesStore(self._database), files, direct_uploads(files)),
            CardDrawing(
                cards, PostgresLinkCardStore(self._database), files, self._settings.visitors_url
            ),
        )

    def _periodic_jobs(self, redis: RedisServer) -> list[PeriodicJob]:
        checks = self._checks, self._domains, self._github, self._screening, self._list_fetches
        pages = self._assets, self._cards, self._unconfirmed
        actors = (*checks, self._automation, *pages, self._digests)
        return [
            *(job for actor in actors for job in actor.periodic_jobs()),
            *maintenance(self._settings, self._database, redis),
        ]

    def _handlers(self) -> dict[str, Handler]:
        """Return the handler of each kind of job."""
        tokens = PostgresResetTokenStore(self._database)
        resets = ResetMails(tokens, self._mailer, self._settings.console_url)
        periodic = {job.kind: job.handler for job in self.periodic_jobs}
        imports, digests = self._imports.handlers(), self._digests.handlers()
        mails = resets.handlers() | self._confirmations.handlers()
        return periodic | self._github.handlers() | imports | digests | mails

    def _new_digests(self, app_database: Database) -> Digests:
        settings = self._settings
        return Digests(
            PostgresDigestQueue(self._database),
            PostgresStatsReader(app_database, settings.stats_timeout_ms),
            PostgresOutbox(),
            self._mailer,
            settings.console_url,
        )

    def _new_courier(self) -> Courier:
        return Courier(
            self._owner,
            PostgresDeliveryQueue(self._database),
            self._sender,
            now=lambda: datetime.now(UTC),
            jitter=lambda: random.uniform(-1, 1),  # noqa: S311
            limits=courier_limits(self._settings),
        )

    def _file_imports(self, database: Database, redis: RedisServer) -> FileImports:
        return FileImports(
            PostgresImportSpool(database),
            PostgresLinkImporter(database),
            partial(announce, RedisAnnouncer(redis)),
            self._policy.read,
            private_hosts=self._settings.private_targets,
            visitors_url=self._settings.visitors_url,
        )

    def _github_sync(self) -> GithubSync:
        settings = self._settings
        return GithubSync(
            PostgresGithubSyncQueue(self._database),
            PostgresGithubRequestLease(self._database, settings.github_url, settings.github_token),
            self._github_api,
            self._owner,
        )

    def _children(self) -> list[ChildSpec]:
        aggregator, courier, worker = self._aggregator, self._courier, self._worker
        scheduler, gauges = self._scheduler, self._gauges
        return [
            group(
                "aggregation",
                ChildSpec(
                    name="aggregator",
                    start=aggregator.run,
                    status=lambda: ActorStatus(last_error=aggregator.last_error),
                ),
                ChildSpec(
                    name="settler",
                    start=self._settler.run,
                    status=lambda: ActorStatus(last_error=self._settler.last_error),
                ),
                ChildSpec(name="live", start=self._feed.run),
                ChildSpec(
                    name="dimension-copier",
                    start=self._copier.run,
                    status=lambda: ActorStatus(last_error=self._copier.last_error),
                ),
            ),
            group("webhooks", ChildSpec(name="courier", start=courier.run, status=courier.status)),
            group(
                "jobs",
                ChildSpec(name="worker", start=worker.run, status=worker.status),
                ChildSpec(name="rescue", start=partial(run_every, RESCUE_S, self._queue.rescue)),
                ChildSpec(name="scheduler", start=scheduler.run, status=scheduler.status),
                ChildSpec(name="queue-gauges", start=gauges.run, status=gauges.status),
            ),
            status_child(self._spec, lambda: self.tree, self.components, self.samples),
        ]

    def components(self) -> list[Component]:
        name = self._spec.name
        jobs = [*self._worker.stalls(self._gauges.queues), self._scheduler.stall()]
        return [
            Component(name, self.tree.children["aggregation"].running),
            progress_component(f"{name}/aggregator", self._aggregator.stalls()),
            progress_component(f"{name}/settler", [self._settler.stall()]),
            progress_component(f"{name}/courier", self._courier.stalls()),
            progress_component(f"{name}/jobs", jobs),
        ]

    def samples(self) -> list[Sample]:
        return [
            *self._aggregator.samples(),
            *self._ledger.samples(),
            *self._deltas.samples(),
            *self._settler.samples(),
            *self._feed.samples(),
            *self._courier.samples(),
            *self._worker.samples(),
            *self._gauges.samples(),
            *self._checks.samples(),
            *self._domains.samples(),
            *self._screening.samples(),
            *self._list_fetches.samples(),
            *self._github.samples(),
            *self._imports.samples(),
            *self._automation.samples(),
            *self._copier.samples(),
            *self._assets.samples(),
            *self._cards.samples(),
            *self._confirmations.samples(),
            *(self._mailer.samples() if self._mailer else NO_MAILS),
            *self._database.samples(),
        ]

    async def drain(self) -> None:
        """Wait up to drain_timeout_ms for jobs and deliveries in flight."""
        limit_s = self._settings.drain_timeout_ms / 1000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._worker.drain, limit_s)
            nursery.start_soon(self._courier.drain, limit_s)

    async def close(self) -> None:
        """Close the connections to the internet. Call it when all actors have stopped."""
        await self._prober.close()
        await self._github_api.close()
        await self._sender.close()


def _owner_name(spec: ProcessSpec) -> str:
    """Return the name under which it leases work: of its place and not its pid, so that a restarted process
    need not wait for its leases to expire."""
    return f"{socket.gethostname()}:{spec.run_folder}:{spec.name}"


def maintenance(settings: Settings, database: Database, redis: RedisServer) -> list[PeriodicJob]:
    """Return the periodic jobs of storage."""
    return [
        *DailyAggregation(database).periodic_jobs(),
        *Partitions(database).periodic_jobs(settings.partitions_ahead_days),
        *PostgresClickLedger(database).periodic_jobs(),
        *IdempotencyPurge(database).periodic_jobs(),
        *AccountsPurge(database).periodic_jobs(),
        *OrphanVisitPurge(database).periodic_jobs(),
        *ReportPurge(database).periodic_jobs(),
        *PostgresDeliveryQueue(database).periodic_jobs(),
        *Eraser(database, redis).periodic_jobs(),
        *ExperimentCountsPurge(database).periodic_jobs(),
        *ImportSweep(database).periodic_jobs(),
        *PostgresJobQueue(database).periodic_jobs(settings.jobs_kept_days),
    ]


def mailer(settings: Settings) -> SmtpMailer | None:
    """Return the sender of mail; None: the engine sends none."""
    if not settings.smtp_url:
        return None
    return SmtpMailer(mail_server(settings.smtp_url), sender(settings.mail_from))


def courier_limits(settings: Settings) -> CourierLimits:
    return CourierLimits(
        max_concurrency=settings.webhook_concurrency,
        rate_per_s=settings.webhook_rate,
        lease_ttl_s=settings.lease_ttl_ms / 1000,
    )


async def workers(spec: ProcessSpec, settings: Settings, stop: Stop) -> None:
    """Run the workers until `stop` is requested. Raises WaypostError."""
    database = await Database.open(
        settings.database_url,
        role="waypost_aggregator",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    app_database = await Database.open(
        settings.database_url,
        role="waypost_app",
        size=IMPORT_CONNECTIONS + CONCURRENCY[DIGEST_QUEUE],
        query_timeout_ms=max(IMPORT_STATEMENT_MS, settings.query_timeout_ms),
        new_accounts=settings.new_accounts,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    process = Workers(spec, settings, database, app_database, redis)
    try:
        await until_stopped(process.tree, stop, process.drain)
    finally:
        with trio.CancelScope(shield=True):
            await process.close()
            await redis.close()
            await app_database.close()
            await database.close()

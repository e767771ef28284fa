"""Console process: the server of API, reference, health and metrics."""

from functools import partial

import trio
from quart_trio import QuartTrio

import api.accounts.routes as accounts
import api.assets.routes as assets
import api.audit.routes as audit
import api.experiments.routes as experiments
import api.github.routes as github
import api.jobs.routes as jobs
import api.links.routes as links
import api.operations.routes as operations
import api.pages.routes as pages
import api.privacy.routes as privacy
import api.stats.routes as stats
import api.visits.routes as visits
import api.webhooks.routes as webhooks
from actors.accounts.last_used import LastUsed
from actors.assets.uploads import Uploads
from actors.audit.security_log import BufferedSecurityLog
from actors.operations.periodic import run_every
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec
from actors.stats.live_subscribers import LiveSubscribers
from actors.stats.stats_version import StatsVersionCache
from api.accounts.login_throttle import RateLimitedLogins
from api.dashboard.overview import OverviewDeps, OverviewRoutes
from api.http.guard import ConsoleMetrics
from api.http.key_cache import KeyCache, ShareCache
from api.http.routes import Route
from api.http.serve import limits_of, serve_console
from api.http.shared import Shared
from api.processes.console_app import AppDeps, create_app
from api.processes.descriptors import connections_within_limit
from api.processes.engine_status import EngineStatus
from api.processes.process import ProcessSpec, status_child, supervisor, until_stopped
from api.stats.polls import RecentPolls
from engine.accounts.access import Caller
from engine.assets.ports import AssetFiles
from engine.experiments.shops.shop_reports import ShopReportCounts
from engine.operations.actor_tree import ActorStatus
from engine.operations.health import Component
from engine.operations.metrics import Sample
from engine.operations.settings import Settings
from engine.visits.ports import HitSender
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.keys import PostgresApiKeyStore, first_owner
from storage.accounts.members import PostgresMemberStore
from storage.accounts.passwords import PasswordHasher
from storage.accounts.recovery import PostgresRecoveryStore
from storage.accounts.sessions import PostgresSessionStore
from storage.assets.assets import PostgresAssetStore
from storage.assets.decoder import ProcessPictureDecoder
from storage.assets.direct_uploads import direct_uploads
from storage.assets.stores import asset_files
from storage.audit.audit_log import PostgresActivityReader
from storage.audit.security_events import PostgresSecurityStore
from storage.experiments.conversion_hooks import PostgresConversionHookStore
from storage.experiments.conversions import PostgresConversionStore, click_id_secret
from storage.experiments.experiments import PostgresExperimentStore
from storage.github.links import PostgresLinkSyncStore
from storage.jobs.jobs import PostgresJobStore
from storage.limits.shared_secret import SharedRateLimiter
from storage.links.abuse.blocklist_file import REFRESH_S
from storage.links.abuse.blocklists import PostgresBlocklists
from storage.links.abuse.policy_source import PolicySource
from storage.links.abuse.reports import PostgresReportStore
from storage.links.domains import PostgresDomainStore
from storage.links.imports.imports import PostgresImportStore
from storage.links.orphan_visits import PostgresOrphanVisitLists
from storage.links.profiles import PostgresProfileStore
from storage.pages.pages import PostgresPageStore
from storage.pages.subscribers import PostgresSubscriberStore
from storage.postgres.database import Database
from storage.privacy.archive import PostgresArchiveSource
from storage.privacy.erasure import PostgresErasureStore
from storage.redis.client import RedisServer
from storage.stats.dashboards.digests import PostgresDigestSettingsStore
from storage.stats.dashboards.item_kinds import ANNOTATION, GOAL, SAVED_QUESTION
from storage.stats.dashboards.items import PostgresItemStore
from storage.stats.dashboards.shares import PostgresShareStore
from storage.stats.export import PostgresClickExport
from storage.stats.link_clicks import link_clicks
from storage.stats.live import RedisLiveChannel
from storage.stats.reader import PostgresStatsReader
from storage.visits.announcer import RedisAnnouncer
from storage.visits.hit_socket import EdgeHitSender
from storage.webhooks.webhooks import PostgresWebhookStore


async def console(spec: ProcessSpec, settings: Settings, stop: Stop) -> None:
    database = await Database.open(
        settings.database_url,
        role="waypost_app",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
        new_accounts=settings.new_accounts,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    edges = [name for name in spec.processes if name.startswith("edge-")]
    files = asset_files(settings.storage_url, spec.folder)
    parts = ConsoleParts(settings, database, redis, EdgeHitSender(spec.run_folder, edges), files)
    await parts.policy.refresh()
    pings = {"postgres": database.ping, "redis": redis.ping}
    status = EngineStatus(spec.run_folder, spec.processes, pings)
    app = parts.app(status)
    limits = limits_of(settings)
    limits = limits._replace(connections=connections_within_limit(limits.connections))
    server = partial(serve_console, app, spec.sockets, stop, parts.metrics, limits)

    def components() -> list[Component]:
        return [
            Component(spec.name, tree.children["server"].running),
            parts.policy.component(f"{spec.name}/blocklists"),
        ]

    tree = supervisor(
        "console",
        [
            status_child(spec, lambda: tree, components, parts.samples),
            *parts.children(),
            ChildSpec(name="server", start=server),
        ],
    )

    async def drain() -> None:
        parts.live_subscribers.close()
        with trio.move_on_after(settings.drain_timeout_ms / 1000):
            while tree.children["server"].running:  # noqa: ASYNC110  # bounded, at the end only
                await trio.sleep(0.02)

    try:
        await until_stopped(tree, stop, drain)
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await database.close()


class ConsoleParts:
    """Stores, actors and app of the console, over open connections."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        redis: RedisServer,
        hits: HitSender,
        files: AssetFiles,
    ) -> None:
        self.settings = settings
        self.hits = hits
        self.files = files
        self.database = database
        self.metrics = ConsoleMetrics()
        self.decoder = ProcessPictureDecoder()
        self.uploads = Uploads(PostgresAssetStore(database), files, self.decoder)
        self.announcer = RedisAnnouncer(redis)
        self.passwords = PasswordHasher()
        self.policy = PolicySource(settings, PostgresBlocklists(database))
        self.limiter = SharedRateLimiter(database, redis)
        self.profiles = PostgresProfileStore(database, settings.slug_length, link_clicks)
        self.sessions = PostgresSessionStore(database)
        self.key_store = PostgresApiKeyStore(database)
        self.key_cache = KeyCache(self.key_store)
        self.shares = PostgresShareStore(database)
        self.share_cache = ShareCache(self.shares)
        self.last_used = LastUsed(self.key_store)
        self.security_events = PostgresSecurityStore(database)
        self.shop_reports = ShopReportCounts()
        self.security_log = BufferedSecurityLog(self.security_events)
        self.stats = PostgresStatsReader(database, settings.stats_timeout_ms)
        self.stats_version = StatsVersionCache(self.stats.versions)
        self.polls = RecentPolls(self.stats_version.current)
        self.live_subscribers = LiveSubscribers(RedisLiveChannel(redis))

    def app(self, status: EngineStatus) -> QuartTrio:
        deps = AppDeps(
            keys=self.key_cache,
            shares=self.share_cache,
            sessions=self.sessions,
            note_use=self.last_used.note,
            limiter=self.limiter,
            security_log=self.security_log,
            metrics=self.metrics,
            polls=self.polls,
        )
        return create_app(self.routes(status), deps, self.settings)

    def routes(self, status: EngineStatus) -> list[Route]:
        """Return the routes of every domain, in the order of the reference."""
        database, shared = self.database, Shared(settings=self.settings)
        operation_deps = operations.OperationDeps(
            health=status.health,
            metrics=status.metrics,
            system=status.system,
            is_operator=self.is_operator,
        )
        return [
            *links.routes(self.link_deps(), shared),
            *assets.routes(
                assets.AssetDeps(uploads=self.uploads, direct=direct_uploads(self.files)), shared
            ),
            *pages.routes(self.page_deps(), shared),
            *experiments.routes(self.experiment_deps(), shared),
            *github.routes(
                github.GithubDeps(profiles=self.profiles, syncs=PostgresLinkSyncStore(database)),
                shared,
            ),
            *audit.routes(
                audit.AuditDeps(
                    activity=PostgresActivityReader(database), security_events=self.security_events
                )
            ),
            *stats.routes(self.stats_deps(), shared),
            *visits.routes(visits.VisitDeps(profiles=self.profiles, hits=self.hits)),
            *accounts.routes(self.account_deps(), shared),
            *privacy.routes(self.privacy_deps()),
            *jobs.routes(jobs.JobDeps(jobs=PostgresJobStore(database))),
            *webhooks.routes(webhooks.WebhookDeps(webhooks=PostgresWebhookStore(database)), shared),
            *operations.routes(operation_deps),
            *OverviewRoutes(self.overview_deps()).routes(),
        ]

    def account_deps(self) -> accounts.AccountDeps:
        session_s = self.settings.session_hours * 3600
        return accounts.AccountDeps(
            accounts=PostgresAccountStore(self.database, self.passwords, session_s),
            sessions=self.sessions,
            keys=self.key_store,
            members=PostgresMemberStore(self.database),
            invitations=PostgresInvitationStore(self.database, self.passwords, session_s),
            recovery=PostgresRecoveryStore(self.database, self.passwords, session_s),
            login_throttle=RateLimitedLogins(self.limiter),
            forget_key=self.key_cache.forget,
            is_operator=self.is_operator,
        )

    def experiment_deps(self) -> experiments.ExperimentDeps:
        return experiments.ExperimentDeps(
            experiments=PostgresExperimentStore(self.database),
            conversions=PostgresConversionStore(self.database),
            conversion_hooks=PostgresConversionHookStore(self.database),
            shop_reports=self.shop_reports,
            click_id_secret=partial(click_id_secret, self.database),
            profiles=self.profiles,
            announcer=self.announcer,
            policy=lambda: self.policy.current,
        )

    def link_deps(self) -> links.LinkDeps:
        return links.LinkDeps(
            profiles=self.profiles,
            announcer=self.announcer,
            hash_password=self.passwords.hash,
            domains=PostgresDomainStore(self.database),
            orphan_visits=PostgresOrphanVisitLists(self.database),
            policy=lambda: self.policy.current,
            imports=PostgresImportStore(self.database),
            pictures=links.Pictures(self.uploads.store, self.files),
            reports=PostgresReportStore(self.database),
            is_operator=self.is_operator,
        )

    def page_deps(self) -> pages.PageDeps:
        return pages.PageDeps(
            pages=PostgresPageStore(self.database),
            subscribers=PostgresSubscriberStore(self.database),
            profiles=self.profiles,
            announcer=self.announcer,
        )

    def overview_deps(self) -> OverviewDeps:
        session_s = self.settings.session_hours * 3600
        return OverviewDeps(
            profiles=self.profiles,
            webhooks=PostgresWebhookStore(self.database),
            invitations=PostgresInvitationStore(self.database, self.passwords, session_s),
            jobs=PostgresJobStore(self.database),
            experiments=PostgresExperimentStore(self.database),
        )

    def privacy_deps(self) -> privacy.PrivacyDeps:
        return privacy.PrivacyDeps(
            profiles=self.profiles,
            archives=PostgresArchiveSource(self.database),
            erasures=PostgresErasureStore(self.database),
            announcer=self.announcer,
        )

    def stats_deps(self) -> stats.StatsDeps:
        return stats.StatsDeps(
            profiles=self.profiles,
            stats=self.stats,
            version=self.stats_version.current,
            polls=self.polls,
            click_export=PostgresClickExport(self.database),
            live_subscribers=self.live_subscribers,
            shares=self.shares,
            forget_share=self.share_cache.forget,
            annotations=PostgresItemStore(self.database, ANNOTATION),
            goals=PostgresItemStore(self.database, GOAL),
            digests=PostgresDigestSettingsStore(self.database),
            saved_questions=PostgresItemStore(self.database, SAVED_QUESTION),
        )

    async def is_operator(self, caller: Caller) -> bool:
        owner = await first_owner(self.database)
        return owner is not None and owner.tenant_id == caller.tenant_id

    def children(self) -> list[ChildSpec]:
        """Return the actors that the endpoints depend on."""
        last_used, log = self.last_used, self.security_log
        return [
            ChildSpec(
                name="last-used",
                start=last_used.run,
                status=lambda: ActorStatus(last_used.waiting),
            ),
            ChildSpec(name="blocklist", start=partial(run_every, REFRESH_S, self.policy.refresh)),
            ChildSpec(name="live-subscribers", start=self.live_subscribers.run),
            ChildSpec(name="stats-version", start=self.stats_version.run),
            ChildSpec(name="security-log", start=log.run, status=lambda: ActorStatus(log.waiting)),
        ]

    def samples(self) -> list[Sample]:
        sources = (
            self.metrics,
            self.live_subscribers,
            self.stats_version,
            self.polls,
            self.announcer,
            self.passwords,
            self.decoder,
            self.uploads,
            self.last_used,
            self.security_log,
            self.policy,
            self.shop_reports,
            self.database,
        )
        return [sample for source in sources for sample in source.samples()]

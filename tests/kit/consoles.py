"""A console over in-memory twins, and how tests call it."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import orjson
import trio
from quart_trio import QuartTrio
from quart_trio.testing import TrioClient

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
from actors.assets.uploads import Uploads
from actors.audit.security_log import BufferedSecurityLog
from actors.operations.runtime import Stop
from actors.stats.live_subscribers import LiveSubscribers
from api.accounts.login_throttle import RateLimitedLogins
from api.dashboard.overview import OverviewDeps, OverviewRoutes
from api.http.connection import ConsoleLimits
from api.http.guard import ASGIApp, ConsoleMetrics
from api.http.key_cache import KeyCache, ShareCache
from api.http.problems import CONTENT_TYPE
from api.http.routes import Route
from api.http.serve import serve_console
from api.http.shared import Shared
from api.processes.console_app import AppDeps, create_app
from api.stats.polls import RecentPolls
from engine.accounts.access import Caller
from engine.experiments.shops.shop_reports import ShopReportCounts
from engine.limits.ports import RateLimiter
from engine.links.profile import ProfileChange
from engine.links.targets.blocklist import NO_BLOCKLIST, Blocklist
from engine.links.targets.lookalikes import Lookalikes
from engine.links.targets.target_policy import TargetPolicy
from engine.operations.health import Component, Health
from engine.operations.metrics import ProcessMetrics, Sample
from engine.operations.settings import Settings
from engine.operations.system import ProcessState
from engine.stats.ports import ProfileKey, ProfileQuestion, RecentAnswer, RecentQuestion
from engine.stats.query import StatsQuery
from engine.stats.result import Stats
from storage.accounts.memory_accounts import MemoryAccountStore
from storage.accounts.memory_keys import MemoryApiKeyStore
from storage.accounts.memory_members import MemoryMembers
from storage.accounts.memory_recovery import MemoryRecovery
from storage.accounts.passwords import PasswordHasher
from storage.assets.decoder import ProcessPictureDecoder
from storage.assets.memory_assets import MemoryAssets
from storage.assets.memory_files import MemoryAssetFiles
from storage.assets.memory_uploads import MemoryDirectUploads
from storage.audit.memory_audit_log import MemoryActivityReader
from storage.audit.memory_security_events import MemorySecurityStore
from storage.experiments.memory_conversion_hooks import MemoryConversionHookStore
from storage.experiments.memory_conversions import MemoryConversionStore
from storage.experiments.memory_counts import MemoryExperimentCounts
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.github.memory_syncs import MemoryGithubSyncs
from storage.jobs.memory_jobs import MemoryJobs
from storage.limits.memory_limiter import MemoryRateLimiter, MemoryRateLimitServer
from storage.links.abuse.memory_reports import MemoryReports
from storage.links.imports.memory_imports import MemoryImports
from storage.links.memory_domains import MemoryDomains
from storage.links.memory_health import MemoryLinkHealthStore
from storage.links.memory_orphan_visits import MemoryOrphanVisits
from storage.links.memory_profiles import MemoryProfiles
from storage.pages.memory_pages import MemoryPages
from storage.pages.memory_subscribers import MemorySubscribers
from storage.privacy.memory_archive import MemoryArchiveSource
from storage.privacy.memory_erasure import MemoryErasureStore
from storage.stats.dashboards.item_kinds import ANNOTATION, GOAL, SAVED_QUESTION
from storage.stats.dashboards.memory_digests import MemoryDigests
from storage.stats.dashboards.memory_items import MemoryItemStore
from storage.stats.dashboards.memory_shares import MemoryShareStore
from storage.stats.memory_click_tables import MemoryClickTables
from storage.stats.memory_live import MemoryLiveChannel
from storage.stats.memory_stats import MemoryClickExport
from storage.visits.memory_hits import MemoryHits
from storage.webhooks.memory_webhooks import MemoryWebhooks
from tests.kit.stores import FAST

NOW = datetime(2026, 3, 15, 10, 7, tzinfo=UTC)
READY = Health((Component("postgres", True),))

VISITORS = "https://go.example"
PASSWORD = "correct horse"
CLICK_IDS = bytes(range(32))


class KeptAnnouncer:
    """An announcer that keeps the changes; with `stuck`, each announcement lasts for ever."""

    def __init__(self) -> None:
        self.changes: list[ProfileChange] = []
        self.stuck = False

    async def announce(self, changes: Sequence[ProfileChange]) -> None:
        if self.stuck:
            await trio.sleep_forever()
        self.changes += changes

    def listen(self) -> Any:
        raise NotImplementedError


class GivenStats:
    """A stats reader that returns `answer` and keeps the query."""

    def __init__(self) -> None:
        self.answer = Stats(rows=(), as_of=None)
        self.query: StatsQuery | None = None
        self.asked = 0
        self.questions: list[ProfileQuestion] = []
        self.recent: RecentQuestion | None = None
        self.activity = RecentAnswer(None, None)
        self.day: date | None = None
        self.stats_version: str | None = "1"

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        self.query = query
        self.asked += 1
        return self.answer

    async def answers(
        self,
        tenant_id: int,
        questions: Sequence[ProfileQuestion],
        recent: RecentQuestion | None = None,
    ) -> tuple[list[Stats], RecentAnswer | None]:
        self.questions, self.recent = list(questions), recent
        stats = [await self.stats(tenant_id, *question) for question in questions]
        return stats, None if recent is None else self.activity

    async def first_day(self, tenant_id: int, profile_id: int) -> date | None:
        return self.day

    async def versions(self, profiles: Sequence[ProfileKey]) -> dict[ProfileKey, str]:
        return dict.fromkeys(profiles, self.stats_version or "")

    async def known_version(self, profiles: Sequence[ProfileKey]) -> str | None:
        return self.stats_version


class CountedKeys(MemoryApiKeyStore):
    lookups = 0

    async def authenticate(self, key: str) -> Any:
        self.lookups += 1
        return await super().authenticate(key)


@dataclass
class Console:
    """A console over the twins. `call` uses the API key `one` unless `key` names another."""

    profiles: Any = field(default_factory=MemoryProfiles)
    stats: GivenStats = field(default_factory=GivenStats)
    keys: CountedKeys = field(default_factory=CountedKeys)
    announcer: KeptAnnouncer = field(default_factory=KeptAnnouncer)
    accounts: MemoryAccountStore = field(default_factory=MemoryAccountStore)
    limits: MemoryRateLimitServer = field(default_factory=MemoryRateLimitServer)
    clock_us: int = 0
    used: list[tuple[Caller, int]] = field(default_factory=list)
    activity: Any = None
    jobs: MemoryJobs = field(default_factory=lambda: MemoryJobs(lambda: NOW))
    security_events: Any = field(default_factory=MemorySecurityStore)
    settings: Settings = field(default_factory=lambda: Settings(visitors_url=VISITORS + "/"))
    counters: ConsoleMetrics = field(default_factory=ConsoleMetrics)
    healthy: Health = READY
    samples: tuple[Sample, ...] = ()
    processes: list[ProcessState] = field(default_factory=list)
    blocklist: Blocklist = NO_BLOCKLIST

    def __post_init__(self) -> None:
        self.keys.add("one", Caller(1, 1))
        self.keys.add("two", Caller(2, 2))
        self.accounts.add(Caller(1, 1), "one@example.com", PASSWORD)
        self.accounts.add(Caller(2, 2), "two@example.com", PASSWORD)
        self.activity = self.activity or MemoryActivityReader(self.profiles)
        self.security_log = BufferedSecurityLog(self.security_events, lambda: NOW)
        self.members = MemoryMembers(self.profiles, self.accounts)
        self.recovery = MemoryRecovery(self.accounts, lambda: NOW)
        self.counts = MemoryExperimentCounts()
        self.click_counts = MemoryClickTables()
        self.live = MemoryLiveChannel(trio.current_time)
        self.hits = MemoryHits()
        self.watchers = LiveSubscribers(self.live)
        self.experiments = MemoryExperimentStore(self.profiles, self.counts, lambda: NOW)
        self.conversions = MemoryConversionStore(self.profiles, self.experiments, lambda: NOW)
        self.conversion_hooks = MemoryConversionHookStore(self.profiles, lambda: NOW)
        self.shares = MemoryShareStore(self.profiles, lambda: NOW)
        self.annotations = MemoryItemStore(self.profiles, ANNOTATION, lambda: NOW)
        self.saved_questions = MemoryItemStore(self.profiles, SAVED_QUESTION, lambda: NOW)
        self.goals = MemoryItemStore(self.profiles, GOAL, lambda: NOW)
        self.digests = MemoryDigests(self.profiles)
        self.share_cache = ShareCache(self.shares)
        self.shop_reports = ShopReportCounts()
        self.limiter: RateLimiter = MemoryRateLimiter(self.limits, lambda: self.clock_us)
        self.github = MemoryGithubSyncs(self.profiles, self.jobs, lambda: NOW)
        self.link_health = MemoryLinkHealthStore(self.profiles, lambda: NOW)
        self.imports = MemoryImports(self.profiles, self.jobs, lambda: NOW)
        self.domains = MemoryDomains(self.profiles, lambda: NOW)
        self.orphan_visits = MemoryOrphanVisits(self.domains, lambda: NOW)
        self.reports = MemoryReports(self.profiles, lambda: NOW)
        self.webhooks = MemoryWebhooks(self.profiles, lambda: NOW)
        self.assets = MemoryAssets(self.profiles, lambda: NOW)
        self.asset_files = MemoryAssetFiles()
        self.direct_uploads: MemoryDirectUploads | None = MemoryDirectUploads()
        self.uploads = Uploads(self.assets, self.asset_files, ProcessPictureDecoder())
        self.pages = MemoryPages(self.profiles, lambda: NOW, self.assets)
        self.subscribers = MemorySubscribers(self.profiles, lambda: NOW)
        self.erasures = MemoryErasureStore(self.profiles, lambda: NOW)
        self.polls = RecentPolls(self.stats.known_version)
        self.app = self.create_app()

    def policy(self) -> TargetPolicy:
        """Return what the operator's settings and `blocklist` say of targets."""
        names = Lookalikes([VISITORS.partition("//")[2]])
        return TargetPolicy(
            blocklists=(self.blocklist,),
            shorteners=self.settings.chained_shorteners,  # type: ignore[arg-type]
            lookalikes=self.settings.lookalike_hosts,  # type: ignore[arg-type]
            names=names,
        )

    def create_app(self) -> QuartTrio:
        deps = AppDeps(
            keys=KeyCache(self.keys),
            shares=self.share_cache,
            sessions=self.accounts,
            note_use=lambda *use: self.used.append(use),
            limiter=self.limiter,
            security_log=self.security_log,
            metrics=self.counters,
            polls=self.polls,
        )
        return create_app(self.routes(deps.keys), deps, self.settings)

    def routes(self, key_cache: KeyCache) -> list[Route]:
        """Return the routes of every domain, in the order of api/processes/console.py."""
        shared = Shared(settings=self.settings, now=lambda: NOW)
        return [
            *links.routes(
                links.LinkDeps(
                    profiles=self.profiles,
                    announcer=self.announcer,
                    hash_password=PasswordHasher(FAST).hash,
                    domains=self.domains,
                    orphan_visits=self.orphan_visits,
                    policy=self.policy,
                    imports=self.imports,
                    pictures=links.Pictures(self.assets, self.asset_files),
                    reports=self.reports,
                    is_operator=self.is_operator,
                ),
                shared,
            ),
            *assets.routes(assets.AssetDeps(uploads=self.uploads, direct=self.direct_uploads), shared),
            *pages.routes(
                pages.PageDeps(
                    pages=self.pages, subscribers=self.subscribers, profiles=self.profiles,
                    announcer=self.announcer,
                ), shared
            ),
            *experiments.routes(
                experiments.ExperimentDeps(
                    experiments=self.experiments, conversions=self.conversions,
                    conversion_hooks=self.conversion_hooks, shop_reports=self.shop_reports,
                    profiles=self.profiles,
                    click_id_secret=self.click_id_secret, announcer=self.announcer,
                    policy=self.policy,
                ), shared
            ),
            *github.routes(github.GithubDeps(profiles=self.profiles, syncs=self.github), shared),
            *audit.routes(
                audit.AuditDeps(activity=self.activity, security_events=self.security_events)
            ),
            *stats.routes(
                stats.StatsDeps(
                    profiles=self.profiles, stats=self.stats, version=self.stats.known_version,
                    polls=self.polls,
                    click_export=MemoryClickExport(self.click_counts),
                    live_subscribers=self.watchers,
                    shares=self.shares, forget_share=self.share_cache.forget,
                    annotations=self.annotations, saved_questions=self.saved_questions,
                    goals=self.goals, digests=self.digests,
                ), shared
            ),
            *visits.routes(
                visits.VisitDeps(profiles=self.profiles, hits=self.hits, monotonic=lambda: self.clock_us / 1e6)
            ),
            *accounts.routes(
                accounts.AccountDeps(
                    accounts=self.accounts, sessions=self.accounts, keys=self.keys,
                    members=self.members, invitations=self.members, recovery=self.recovery,
                    login_throttle=RateLimitedLogins(self.limiter), forget_key=key_cache.forget,
                    is_operator=self.is_operator,
                ), shared
            ),
            *privacy.routes(
                privacy.PrivacyDeps(
                    profiles=self.profiles, archives=MemoryArchiveSource(self.profiles),
                    erasures=self.erasures, announcer=self.announcer,
                )
            ),
            *jobs.routes(jobs.JobDeps(jobs=self.jobs)),
            *webhooks.routes(webhooks.WebhookDeps(webhooks=self.webhooks), shared),
            *operations.routes(
                operations.OperationDeps(
                    health=self.health, metrics=self.metrics, system=self.system,
                    is_operator=self.is_operator,
                )
            ),
            *OverviewRoutes(
                OverviewDeps(
                    profiles=self.profiles, webhooks=self.webhooks, invitations=self.members,
                    jobs=self.jobs, experiments=self.experiments,
                )
            ).routes(),
        ]  # fmt: skip

    async def click_id_secret(self) -> bytes:
        return CLICK_IDS

    async def health(self) -> Health:
        return self.healthy

    async def system(self) -> list[ProcessState]:
        return self.processes

    async def is_operator(self, caller: Caller) -> bool:
        return caller.tenant_id == 1

    async def metrics(self) -> list[ProcessMetrics]:
        return [
            ProcessMetrics("edge", 11, self.samples),
            ProcessMetrics("edge", 12, self.samples),
            ProcessMetrics("api", 10, tuple(self.counters.samples())),
        ]

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str = "one", **headers: str
    ) -> "Answered":
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            sent.setdefault("Authorization", f"Bearer {key}")
        sent_bytes = None
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            sent_bytes = body if isinstance(body, bytes) else orjson.dumps(body)
        client = TrioClient(self.app)
        response = await client.open(path, method=method, headers=sent, data=sent_bytes)
        data = await response.get_data(as_text=False)
        return Answered(response.status_code, response.headers, data)

    async def profile(self, handle: str = "anna") -> dict[str, Any]:
        answered = await self.call("POST", "/v1/profiles", {"handle": handle})
        profile: dict[str, Any] = answered.json
        return profile

    async def link(self, profile_id: str, slug: str = "spring", **more: Any) -> dict[str, Any]:
        body = {"slug": slug, "target": "https://example.com/", **more}
        answered = await self.call("POST", f"/v1/profiles/{profile_id}/links", body)
        assert answered.status == 201, answered.body
        link: dict[str, Any] = answered.json
        return link


@dataclass
class Answered:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def problem(self, status: int) -> dict[str, str]:
        """Assert that this is a complete problem of `status`. Returns reasons by bad field."""
        assert self.status == status, self.body
        assert self.headers["Content-Type"] == CONTENT_TYPE
        document = self.json
        assert document["status"] == status
        assert document["title"]
        assert document["detail"]
        assert document["type"].startswith("urn:waypost:problem:")
        return {error["field"]: error["reason"] for error in document.get("errors", [])}


@asynccontextmanager
async def served(
    app: ASGIApp, counters: ConsoleMetrics, limits: ConsoleLimits | None = None
) -> AsyncIterator[tuple[int, Stop]]:
    """Serve `app` on a free port of the loopback. Yields the port and the event that stops it."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = Stop()
    async with trio.open_nursery() as nursery:
        port = listener.getsockname()[1]
        nursery.start_soon(serve_console, app, [listener.detach()], stop, counters, limits)
        yield port, stop
        stop.request()


async def exchange(port: int, data: bytes, limit_s: float = 5) -> bytes:
    """Send `data`, and return all bytes until the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(data)
        with trio.fail_after(limit_s):
            return b"".join([chunk async for chunk in stream])

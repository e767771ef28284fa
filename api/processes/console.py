"""The console: the API and what watches the engine, in a process of its own."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from actors.accounts.last_used import LastUsed
from actors.audit.security_log import BufferedSecurityLog
from actors.operations.runtime import Stop
from actors.operations.supervisor import ChildSpec
from actors.stats.live_subscribers import LiveSubscribers
from actors.stats.stats_version import StatsVersionCache
from api.accounts.login_throttle import RateLimitedLogins
from api.http.guard import ConsoleMetrics
from api.http.serve import limits_of, serve_console
from api.processes.console_app import ConsoleDeps, create_app
from api.processes.process import ProcessSpec, status_child, supervisor, until_stopped
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.operations.actor_tree import ActorStatus
from engine.operations.health import Component, Health
from engine.operations.metrics import ProcessMetrics, Sample
from engine.operations.settings import Settings
from engine.operations.system import LAUNCHER, ProcessState, process_states, unexpected
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.keys import PostgresApiKeyStore, first_owner
from storage.accounts.members import PostgresMemberStore
from storage.accounts.passwords import PasswordHasher
from storage.accounts.sessions import PostgresSessionStore
from storage.audit.audit_log import PostgresActivityReader
from storage.audit.security_events import PostgresSecurityStore
from storage.experiments.conversions import PostgresConversionStore, click_id_secret
from storage.experiments.experiments import PostgresExperimentStore
from storage.github.links import PostgresLinkSyncStore
from storage.jobs.jobs import PostgresJobStore
from storage.limits.shared_secret import SharedRateLimiter
from storage.links.profiles import PostgresProfileStore
from storage.operations import status
from storage.postgres.database import Database
from storage.privacy.archive import PostgresArchiveSource
from storage.privacy.erasure import PostgresErasureStore
from storage.redis.client import RedisServer
from storage.stats.export import PostgresClickExport
from storage.stats.live import RedisLiveChannel
from storage.stats.reader import PostgresStatsReader
from storage.visits.announcer import RedisAnnouncer
from storage.webhooks.webhooks import PostgresWebhookStore

ASK_LIMIT_S = 1.5


async def console(assignment: ProcessSpec, settings: Settings, stop: Stop) -> None:
    database = await Database.open(
        settings.database_url,
        role="waypost_app",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    announcer, counters = RedisAnnouncer(redis), ConsoleMetrics()
    keys, passwords = PostgresApiKeyStore(database), PasswordHasher()
    uses, session_s = LastUsed(keys), settings.session_hours * 3600
    security_events = PostgresSecurityStore(database)
    security_log = BufferedSecurityLog(security_events)

    async def health() -> Health:
        found = {one.name: one for one in await status.fetch_statuses(assignment.run_folder)}
        components = [component for one in found.values() for component in one.components]
        failures = status.recent_failures(assignment.run_folder)
        missing = [
            component
            for name in assignment.processes
            for component in unexpected(name, found.get(name), failures.get(name, ""))
        ]
        servers = [
            await _answers("postgres", database.ping),
            await _answers("redis", redis.ping),
        ]
        return Health((*servers, *components, *missing))

    async def metrics() -> list[ProcessMetrics]:
        found = await status.fetch_statuses(assignment.run_folder)
        return [one.metrics for one in found if one.name != LAUNCHER]

    async def system() -> list[ProcessState]:
        found = await status.fetch_statuses(assignment.run_folder)
        failures = status.recent_failures(assignment.run_folder)
        return process_states(found, assignment.processes, failures)

    async def is_operator(caller: Caller) -> bool:
        owner = await first_owner(database)
        return owner is not None and owner.tenant_id == caller.tenant_id

    limiter = SharedRateLimiter(database, redis)
    stats = PostgresStatsReader(database, settings.stats_timeout_ms)
    watermark = StatsVersionCache(stats.version)
    watchers = LiveSubscribers(RedisLiveChannel(redis))
    app = create_app(
        ConsoleDeps(
            profiles=PostgresProfileStore(database),
            experiments=PostgresExperimentStore(database),
            conversions=PostgresConversionStore(database),
            click_id_secret=partial(click_id_secret, database),
            stats=stats,
            mark=watermark.current,
            click_export=PostgresClickExport(database),
            watchers=watchers,
            keys=keys,
            accounts=PostgresAccountStore(database, passwords, session_s),
            sessions=PostgresSessionStore(database),
            members=PostgresMemberStore(database),
            invitations=PostgresInvitationStore(database, passwords, session_s),
            throttle=RateLimitedLogins(limiter),
            limiter=limiter,
            note_use=uses.note,
            activity=PostgresActivityReader(database),
            archives=PostgresArchiveSource(database),
            erasures=PostgresErasureStore(database),
            jobs=PostgresJobStore(database),
            security_log=security_log,
            security_events=security_events,
            webhooks=PostgresWebhookStore(database),
            announcer=announcer,
            github=PostgresLinkSyncStore(database),
            settings=settings,
            health=health,
            metrics=metrics,
            system=system,
            is_operator=is_operator,
        ),
        counters,
    )

    def components() -> list[Component]:
        return [Component(assignment.name, tree.children["door"].running)]

    def samples() -> list[Sample]:
        return [
            *counters.samples(),
            *watchers.samples(),
            *watermark.samples(),
            *announcer.samples(),
            *passwords.samples(),
            *uses.samples(),
            *security_log.samples(),
            *database.samples(),
        ]

    tree = supervisor(
        "console",
        [
            status_child(assignment, lambda: tree, components, samples),
            ChildSpec(name="uses", start=uses.run, look=lambda: ActorStatus(uses.waiting)),
            ChildSpec(name="watchers", start=watchers.run),
            ChildSpec(name="watermark", start=watermark.run),
            ChildSpec(
                name="security_log",
                start=security_log.run,
                look=lambda: ActorStatus(security_log.waiting),
            ),
            ChildSpec(
                name="door",
                start=partial(
                    serve_console, app, assignment.sockets, stop, counters, limits_of(settings)
                ),
            ),
        ],
    )

    async def drain() -> None:
        watchers.close()
        with trio.move_on_after(settings.drain_timeout_ms / 1000):
            while tree.children["door"].running:  # noqa: ASYNC110  # bounded, at the end only
                await trio.sleep(0.02)

    try:
        await until_stopped(tree, stop, drain)
    finally:
        with trio.CancelScope(shield=True):
            await redis.close()
            await database.close()


async def _answers(name: str, ping: Callable[[], Awaitable[None]]) -> Component:
    try:
        with trio.fail_after(ASK_LIMIT_S):
            await ping()
    except UnavailableError as error:
        return Component(name, False, str(error))
    except trio.TooSlowError:
        return Component(name, False, f"does not answer within {ASK_LIMIT_S:g} s")
    return Component(name, True)

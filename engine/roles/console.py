"""The console: the API and what watches the engine, in a process of its own."""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from actors.host import Stop
from actors.live_watchers import LiveWatchers
from actors.security_log import BufferedSecurityLog
from actors.supervisor import Child
from actors.uses import Uses
from actors.watermark import Watermark
from api.console import ConsolePorts, create_app
from api.guard import Counters
from api.serve import limits_of, serve_console
from api.throttle import Throttle
from engine.access import Caller
from engine.errors import UnavailableError
from engine.health import Component, Health
from engine.roles.process import Assignment, status_child, supervisor, until_stopped
from engine.settings import Settings
from engine.statistics import ProcessStatistics, Sample
from engine.system import LAUNCHER, ProcessState, assembled, unexpected
from engine.tree import Look
from storage import status
from storage.accounts import Accounts
from storage.activity import Activity
from storage.announcer import RedisAnnouncer
from storage.archive import Archives
from storage.click_export import PostgresClickExport
from storage.conversions import Conversions, click_id_secret
from storage.erasure import Erasures
from storage.experiments import Experiments
from storage.github_links import GithubLinks
from storage.invitations import Invitations
from storage.jobs import Jobs
from storage.keys import Keys, first_owner
from storage.live import RedisLiveChannel
from storage.members import Members
from storage.passwords import Passwords
from storage.postgres import Database
from storage.profiles import Profiles
from storage.redis_client import RedisServer
from storage.security_log import SecurityEvents
from storage.sessions import Sessions
from storage.shared_limits import SharedRateLimiter
from storage.stats import PostgresStatsReader
from storage.webhooks import Webhooks

ASK_LIMIT_S = 1.5


async def console(assignment: Assignment, settings: Settings, stop: Stop) -> None:
    database = await Database.open(
        settings.database_url,
        role="waypost_app",
        size=settings.database_pool,
        query_timeout_ms=settings.query_timeout_ms,
    )
    redis = await RedisServer.open(settings.redis_url, size=settings.redis_pool)
    announcer, counters = RedisAnnouncer(redis), Counters()
    keys, passwords = Keys(database), Passwords()
    uses, session_s = Uses(keys), settings.session_hours * 3600
    security_events = SecurityEvents(database)
    security_log = BufferedSecurityLog(security_events)

    async def health() -> Health:
        found = {one.name: one for one in await status.ask(assignment.run_folder)}
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

    async def statistics() -> list[ProcessStatistics]:
        found = await status.ask(assignment.run_folder)
        return [one.statistics for one in found if one.name != LAUNCHER]

    async def system() -> list[ProcessState]:
        found = await status.ask(assignment.run_folder)
        failures = status.recent_failures(assignment.run_folder)
        return assembled(found, assignment.processes, failures)

    async def is_operator(caller: Caller) -> bool:
        owner = await first_owner(database)
        return owner is not None and owner.tenant_id == caller.tenant_id

    limiter = SharedRateLimiter(database, redis)
    stats = PostgresStatsReader(database, settings.stats_timeout_ms)
    watermark = Watermark(stats.watermark)
    watchers = LiveWatchers(RedisLiveChannel(redis))
    app = create_app(
        ConsolePorts(
            profiles=Profiles(database),
            experiments=Experiments(database),
            conversions=Conversions(database),
            click_id_secret=partial(click_id_secret, database),
            stats=stats,
            mark=watermark.current,
            click_export=PostgresClickExport(database),
            watchers=watchers,
            keys=keys,
            accounts=Accounts(database, passwords, session_s),
            sessions=Sessions(database),
            members=Members(database),
            invitations=Invitations(database, passwords, session_s),
            throttle=Throttle(limiter),
            limiter=limiter,
            note_use=uses.note,
            activity=Activity(database),
            archives=Archives(database),
            erasures=Erasures(database),
            jobs=Jobs(database),
            security_log=security_log,
            security_events=security_events,
            webhooks=Webhooks(database),
            announcer=announcer,
            github=GithubLinks(database),
            settings=settings,
            health=health,
            statistics=statistics,
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
            Sample("waypost_live_watchers", watchers.statistics()["watchers"]),
            Sample("waypost_live_refused_total", watchers.refused),
            Sample("waypost_live_slow_total", watchers.slow),
            Sample("waypost_announcements_lost_total", announcer.statistics()["failed"]),
            Sample("waypost_password_hashes_waiting", passwords.statistics()["waiting"]),
            Sample("waypost_key_uses_unnoted_total", uses.statistics()["unnoted"]),
            Sample("waypost_security_events_dropped_total", security_log.statistics()["dropped"]),
        ]

    tree = supervisor(
        "console",
        [
            status_child(assignment, lambda: tree, components, samples),
            Child(name="uses", start=uses.run, look=lambda: Look(uses.statistics()["noted"])),
            Child(name="watchers", start=watchers.run),
            Child(
                name="watermark",
                start=watermark.run,
                look=lambda: Look(watermark.statistics()["reads"]),
            ),
            Child(
                name="security_log",
                start=security_log.run,
                look=lambda: Look(security_log.statistics()["waiting"]),
            ),
            Child(
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

"""The console: what people, scripts and dashboards call. One Quart-Trio app out of one table of
routes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from quart import Response, request
from quart.wrappers.response import DataBody, IterableBody
from quart_trio import QuartTrio

from actors.stats.live_subscribers import LiveSubscribers
from api.accounts.invitations import InvitationRoutes
from api.accounts.keys import KeyRoutes
from api.accounts.members import MemberRoutes
from api.accounts.sessions import LoginFlow, SessionRoutes
from api.audit.audit_log import ActivityRoutes
from api.audit.security_events import SecurityRoutes, record_denials
from api.experiments.conversion_ingest import ConversionIngest
from api.experiments.conversions import ConversionParser, ConversionRoutes
from api.experiments.experiments import ExperimentRoutes
from api.experiments.explain import ExplainRoutes
from api.experiments.plan import PlanRoutes
from api.experiments.results import ResultRoutes
from api.github.sync import GithubSyncRoutes
from api.http import idempotency, problems
from api.http.auth import Auth
from api.http.guard import ConsoleMetrics, Guard
from api.http.rate_limits import ApiRateLimiter
from api.http.routes import Route
from api.jobs.jobs import JobRoutes
from api.links.bulk import BulkRoutes
from api.links.links import LinkRoutes
from api.links.profiles import ProfileRoutes
from api.operations.health import HealthRoutes
from api.operations.system import SystemRoutes
from api.privacy.archive import ArchiveRoutes
from api.privacy.erasure import ErasureRoutes
from api.reference.routes import ReferenceRoutes
from api.stats.export import StatsExportRoutes
from api.stats.live import LiveRoutes
from api.stats.stats import StatsRoutes
from api.webhooks.deliveries import DeliveryRoutes
from api.webhooks.event_types import EventTypeRoutes
from api.webhooks.webhooks import WebhookRoutes
from engine.accounts.access import Caller
from engine.accounts.ports import (
    AccountStore,
    ApiKeyStore,
    InvitationStore,
    LoginThrottle,
    MemberStore,
    SessionStore,
)
from engine.audit.ports import ActivityReader, SecurityLog, SecurityStore
from engine.experiments.ports import ConversionStore, ExperimentStore
from engine.github.ports import LinkSyncStore
from engine.github.repository import web_host
from engine.jobs.ports import JobStore
from engine.limits.ports import RateLimiter
from engine.links.link import validate_draft
from engine.links.ports import ProfileStore
from engine.operations.health import Health
from engine.operations.metrics import ProcessMetrics
from engine.operations.settings import Settings
from engine.operations.system import ProcessState
from engine.privacy.ports import ArchiveSource, ErasureStore
from engine.stats.ports import ClickExport, StatsReader
from engine.visits.ports import Announcer
from engine.webhooks.ports import WebhookStore

BODY_TIMEOUT_S: Final = 30

_HOME: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Waypost console</title>
<h1>Waypost console</h1>
<p>This port answers the API under <code>/v1</code>, with <code>Authorization: Bearer KEY</code>.
See README.md and ARCHITECTURE.md, which come with Waypost.</p>
<ul>
<li><a href="/docs">/docs</a>: every call of the API, with examples</li>
<li><a href="/healthz">/healthz</a>: whether this process is alive</li>
<li><a href="/readyz">/readyz</a>: whether every component is ready</li>
<li><a href="/metrics">/metrics</a>: metrics for Prometheus</li>
</ul>
</html>
"""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleDeps:
    """Everything that the console asks of others. `settings.visitors_url` must be filled in."""

    profiles: ProfileStore
    experiments: ExperimentStore
    conversions: ConversionStore
    click_id_secret: Callable[[], Awaitable[bytes]]
    stats: StatsReader
    mark: Callable[[], Awaitable[str | None]]
    click_export: ClickExport
    watchers: LiveSubscribers
    keys: ApiKeyStore
    accounts: AccountStore
    sessions: SessionStore
    members: MemberStore
    invitations: InvitationStore
    throttle: LoginThrottle
    limiter: RateLimiter
    note_use: Callable[[Caller, int], None]
    activity: ActivityReader
    archives: ArchiveSource
    erasures: ErasureStore
    jobs: JobStore
    security_log: SecurityLog
    security_events: SecurityStore
    webhooks: WebhookStore
    announcer: Announcer
    github: LinkSyncStore
    settings: Settings
    health: Callable[[], Awaitable[Health]]
    metrics: Callable[[], Awaitable[list[ProcessMetrics]]]
    system: Callable[[], Awaitable[list[ProcessState]]]
    is_operator: Callable[[Caller], Awaitable[bool]]
    now: Callable[[], datetime] = _now


def create_app(ports: ConsoleDeps, counters: ConsoleMetrics) -> QuartTrio:
    """The ASGI app, guarded. Each call makes one of its own; it holds no connections or tasks."""
    app = QuartTrio("api.processes.console_app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = ports.settings.max_body_bytes
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    app.url_map.merge_slashes = False  # `//v1` is another path, and no redirect to this one
    problems.register(app)
    idempotency.register(app)
    auth = Auth(ports.keys, ports.sessions, ports.note_use)
    ApiRateLimiter(ports.limiter, ports.settings, counters).register(app, auth.check)
    app.after_request(record_denials(ports.security_log))
    app.after_request(_head_only)
    routes = _routes(ports, auth)
    routes += ReferenceRoutes(routes, ports.settings.console_url).routes()
    for route in routes:
        app.add_url_rule(
            route.rule,
            endpoint=f"{route.method} {route.rule}",
            view_func=route.handler,
            methods=[route.method],
        )
    https = ports.settings.console_url.startswith("https://")
    app.asgi_app = Guard(app.asgi_app, counters, https=https)  # type: ignore[method-assign, assignment]
    return app


def _routes(ports: ConsoleDeps, auth: Auth) -> list[Route]:
    door = LoginFlow(ports.throttle, ports.settings)
    visitors_url = ports.settings.visitors_url.rstrip("/")
    teller = ConversionParser(ports.click_id_secret, ports.now)
    github_host = web_host(ports.settings.github_url)
    check = partial(
        validate_draft, private_hosts=ports.settings.private_targets, github_host=github_host
    )
    return [
        Route("GET", "/", home),
        *ProfileRoutes(ports.profiles, ports.announcer, visitors_url).routes(),
        *ExperimentRoutes(
            ports.experiments, ports.announcer, ports.settings.private_targets
        ).routes(),
        *LinkRoutes(ports.profiles, ports.announcer, visitors_url, check).routes(),
        *BulkRoutes(ports.profiles, ports.announcer, visitors_url, check).routes(),
        *GithubSyncRoutes(ports.profiles, ports.github, github_host).routes(),
        *ConversionRoutes(ports.conversions, teller).routes(),
        *ConversionIngest(
            ports.conversions, teller, ports.settings.console_url, ports.settings.trusted_hops
        ).routes(),
        *PlanRoutes().routes(),
        *ResultRoutes(ports.experiments).routes(),
        *ExplainRoutes(ports.experiments, ports.profiles, visitors_url, ports.now).routes(),
        *ActivityRoutes(ports.activity).routes(),
        *SecurityRoutes(ports.security_events).routes(),
        *StatsRoutes(ports.profiles, ports.stats, ports.mark, ports.now).routes(),
        *LiveRoutes(ports.profiles, ports.watchers).routes(),
        *StatsExportRoutes(ports.profiles, ports.stats, ports.click_export, ports.now).routes(),
        *SessionRoutes(ports.accounts, ports.sessions, door).routes(),
        *KeyRoutes(ports.keys, auth.forget, ports.now).routes(),
        *MemberRoutes(ports.members).routes(),
        *InvitationRoutes(ports.invitations, door, ports.settings.console_url).routes(),
        *ArchiveRoutes(ports.archives).routes(),
        *ErasureRoutes(ports.profiles, ports.erasures, ports.announcer).routes(),
        *JobRoutes(ports.jobs).routes(),
        *SystemRoutes(ports.system, ports.is_operator).routes(),
        *WebhookRoutes(ports.webhooks, ports.settings.webhook_loopback).routes(),
        *DeliveryRoutes(ports.webhooks).routes(),
        *EventTypeRoutes().routes(),
        *HealthRoutes(ports.health, ports.metrics).routes(),
    ]


async def _head_only(response: Response) -> Response:
    """A HEAD of what is streamed ends at once: nobody reads it, and until its end nothing else would be
    answered on that connection, ten minutes for clicks as they come."""
    if request.method == "HEAD" and isinstance(response.response, IterableBody):
        response.response = DataBody(b"")
    return response


async def home() -> Response:
    return Response(_HOME, content_type="text/html; charset=utf-8")

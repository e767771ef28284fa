"""The console: what people, scripts and dashboards call. One Quart-Trio app out of one table of
routes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from quart import Response
from quart_trio import QuartTrio

from api import problems
from api.auth import Keys
from api.guard import Counters, Guard
from api.health import HealthRoutes
from api.links import LinkRoutes
from api.profiles import ProfileRoutes
from api.routes import Route
from api.stats import StatsRoutes
from engine.health import Health
from engine.ports import Announcer, KeyStore, ProfileStore, StatsReader
from engine.settings import Settings
from engine.statistics import ProcessStatistics

BODY_TIMEOUT_S: Final = 30

_HOME: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Waypost console</title>
<h1>Waypost console</h1>
<p>This port answers the API under <code>/v1</code>, with <code>Authorization: Bearer KEY</code>.
See README.md and ARCHITECTURE.md, which come with Waypost.</p>
<ul>
<li><a href="/healthz">/healthz</a>: whether this process is alive</li>
<li><a href="/readyz">/readyz</a>: whether every component is ready</li>
<li><a href="/metrics">/metrics</a>: figures for Prometheus</li>
</ul>
</html>
"""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePorts:
    """Everything that the console asks of others. `settings.visitors_url` must be filled in."""

    profiles: ProfileStore
    stats: StatsReader
    keys: KeyStore
    announcer: Announcer
    settings: Settings
    health: Callable[[], Awaitable[Health]]
    statistics: Callable[[], Awaitable[list[ProcessStatistics]]]
    now: Callable[[], datetime] = _now


def create_app(ports: ConsolePorts, counters: Counters) -> QuartTrio:
    """The ASGI app, guarded. Each call makes one of its own; it holds no connections or tasks."""
    app = QuartTrio("api.console", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = ports.settings.max_body_bytes
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    app.url_map.merge_slashes = False  # `//v1` is another path, and no redirect to this one
    problems.register(app)
    app.before_request(Keys(ports.keys).check)
    for route in _routes(ports):
        app.add_url_rule(
            route.rule,
            endpoint=f"{route.method} {route.rule}",
            view_func=route.handler,
            methods=[route.method],
        )
    app.asgi_app = Guard(app.asgi_app, counters)  # type: ignore[method-assign, assignment]
    return app


def _routes(ports: ConsolePorts) -> list[Route]:
    visitors_url = ports.settings.visitors_url.rstrip("/")
    return [
        Route("GET", "/", home),
        *ProfileRoutes(ports.profiles, ports.announcer, visitors_url).routes(),
        *LinkRoutes(
            ports.profiles, ports.announcer, visitors_url, ports.settings.private_targets
        ).routes(),
        *StatsRoutes(ports.profiles, ports.stats, ports.now).routes(),
        *HealthRoutes(ports.health, ports.statistics).routes(),
    ]


async def home() -> Response:
    return Response(_HOME, content_type="text/html; charset=utf-8")

"""The console's app: one Quart-Trio app from the routes of all domains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

from quart import Response, request
from quart.routing import QuartRule
from quart.wrappers.response import DataBody, IterableBody
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule

from api.accounts.cors import CrossOrigin
from api.audit.security_events import record_denials
from api.dashboard.routes import DashboardRoutes
from api.http import idempotency, problems
from api.http.auth import Auth
from api.http.etag import tag_bodies
from api.http.guard import ConsoleMetrics, Guard
from api.http.key_cache import KeyCache, ShareCache
from api.http.protocol import MALFORMED_BODY, MALFORMED_BODY_DETAIL, Scope, require_whole_body
from api.http.rate_limits import ApiRateLimiter
from api.http.routes import Route
from api.processes.compression import compress
from api.reference.routes import ReferenceRoutes
from api.stats.polls import PollResponder, RecentPolls
from engine.accounts.access import Caller
from engine.accounts.ports import SessionStore
from engine.audit.ports import SecurityLog
from engine.limits.ports import RateLimiter
from engine.operations.settings import Settings

BODY_TIMEOUT_S: Final = 30


class WholeConverter(BaseConverter):
    """`<whole:name>`, the rest of a path: a text in which slashes are allowed."""

    part_isolating = False
    regex = ".+"


class MatchedRule(QuartRule):
    """Rule whose functions that build its URL are compiled when first called: the console calls none, and those
    of all its routes would take most of the time in which the app is made."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compile_builder = super()._compile_builder

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compile_builder(append_unknown)(rule, **values)

        return build


class ConsoleRequest(TrioRequest):
    """Request whose body is read whole or not at all. Routes in `own_limits` have another limit of bodies."""

    own_limits: ClassVar[Map] = Map()

    def __init__(self, method: str, scheme: str, path: str, *args: Any, **kwargs: Any) -> None:
        limit = _own_limit(self.own_limits, method, path)
        if limit is not None:
            kwargs["max_content_length"] = limit
        super().__init__(method, scheme, path, *args, **kwargs)

    async def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body. Raises BadRequest if it was malformed or cut short."""
        data = await super().get_data(*args, **kwargs)
        require_whole_body(cast(Scope, self.scope))
        return data


def own_limits(routes: Sequence[Route]) -> Map:
    """Return the rules of routes with a limit of their own, which is each one's endpoint."""
    return Map(
        [
            MatchedRule(route.rule, methods=[route.method], endpoint=str(route.max_body_bytes))
            for route in routes
            if route.max_body_bytes is not None
        ],
        converters={"whole": WholeConverter},
        merge_slashes=False,
    )


def _own_limit(limits: Map, method: str, path: str) -> int | None:
    if method in ("GET", "HEAD"):
        return None
    try:
        limit, _ = limits.bind("").match(path, method)
    except HTTPException:
        return None
    return int(limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDeps:
    """Dependencies of the app besides its routes: to find the caller, limit requests and log denials.

    `note_use` is called for each request with the caller, and the id of their session or 0.
    """

    keys: KeyCache
    shares: ShareCache
    sessions: SessionStore
    note_use: Callable[[Caller, int], None]
    limiter: RateLimiter
    security_log: SecurityLog
    metrics: ConsoleMetrics
    polls: RecentPolls


def create_app(domain_routes: Sequence[Route], deps: AppDeps, settings: Settings) -> QuartTrio:
    """Return a new ASGI app behind the guard. It has no connections or tasks of its own."""
    routes = [*DashboardRoutes().routes(), *domain_routes]
    routes += ReferenceRoutes(routes, settings.console_url).routes()
    app = QuartTrio("api.processes.console_app", static_folder=None)

    class LimitedRequest(ConsoleRequest):
        own_limits = own_limits(routes)

    app.request_class = LimitedRequest
    app.url_rule_class = MatchedRule
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    app.url_map.converters["whole"] = WholeConverter
    app.url_map.merge_slashes = False  # `//v1` is another path, and no redirect to this one
    problems.register(app)
    idempotency.register(app)
    auth = Auth(routes, deps.keys, deps.shares, deps.sessions, deps.note_use)
    limiter = ApiRateLimiter(deps.limiter, settings, deps.metrics)
    CrossOrigin((deps.keys.allows_origin, deps.shares.allows_origin), limiter).register(app)
    limiter.register(app, auth.check)
    app.before_request(auth.require_access)
    app.after_request(record_denials(deps.security_log, routes))
    app.after_request(_head_only)
    app.after_request(compress)
    app.after_request(tag_bodies(routes))
    app.after_request(_malformed_first)
    for route in routes:
        app.add_url_rule(
            route.rule,
            endpoint=f"{route.method} {route.rule}",
            view_func=route.handler,
            methods=[route.method],
        )
    https = settings.console_url.startswith("https://")
    polled = PollResponder(app.asgi_app, deps.polls, deps.keys, limiter, deps.note_use)
    app.asgi_app = Guard(polled, deps.metrics, https=https)  # type: ignore[method-assign, assignment]
    return app


async def _head_only(response: Response) -> Response:
    """Replace the streamed body of a response to HEAD by an empty one.

    Otherwise the stream, up to ten minutes of live clicks, would block its connection for later requests.
    """
    if request.method == "HEAD" and isinstance(response.response, IterableBody):
        response.response = DataBody(b"")
    return response


async def _malformed_first(response: Response) -> Response:
    """Answer 400 instead of another refusal if the request's body is known to be malformed."""
    if 400 < response.status_code < 500 and request.scope.get(MALFORMED_BODY):
        return problems.response(400, MALFORMED_BODY_DETAIL)
    return response

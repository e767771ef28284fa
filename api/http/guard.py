"""Guard around the console's ASGI app. Its guarantees for every HTTP request:

- `send` runs to its end even if the request's tasks are cancelled meanwhile. Hypercorn sends the app
  `http.disconnect` from within the last `send`; Quart-Trio then cancels the request's nursery, and with it
  that `send`, before the connection is closed or recycled. So `send` is shielded, and bounded: a client that
  does not read holds it for `SEND_LIMIT_S` at most;
- every response carries a request id, the caller's own if the request has one, and headers that keep
  browsers from guessing content types, framing pages and running foreign scripts;
- an error that no handler turned into a response becomes a problem, not a broken connection;
- WebSockets are refused.
"""

import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import trio
from werkzeug.exceptions import HTTPException

from api.http import problems
from api.http.idle_connections import IdleConnections
from api.http.malformed import MalformedRequests
from engine.operations.metrics import Metric, Sample

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
ASGIApp = Callable[..., Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SEND_LIMIT_S: Final = 15.0

# Defaults: a handler may set its own, as a page may need another policy.
SAFE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
        b"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (
        b"permissions-policy",
        b"accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
        b"magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    ),
)
# Sent if the console is reached by https: browsers use only https for this host, for a year.
TRANSPORT_HEADER: Final = (b"strict-transport-security", b"max-age=31536000")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")

REQUESTS: Final = Metric(
    "waypost_console_requests_total",
    "Requests answered by the console, by class of status",
    ("status",),
)
CONNECTIONS: Final = Metric("waypost_console_connections", "Open connections of the console")
REFUSED_CONNECTIONS: Final = Metric(
    "waypost_console_connections_refused_total", "Connections of the console refused at the limit"
)
EVICTED_CONNECTIONS: Final = Metric(
    "waypost_console_connections_evicted_total",
    "Idle connections of the console that were closed for new ones",
)
CRASHES: Final = Metric(
    "waypost_console_crashes_total",
    "Connections of the console that an unexpected error ended",
)
LIMITED_REQUESTS: Final = Metric(
    "waypost_console_limited_total", "Requests of the console that a rate limit denied"
)
LOCAL_DECISIONS: Final = Metric(
    "waypost_console_rate_limits_local_total",
    "Rate limits that a console decided alone, because Redis did not answer",
)


def new_request_id() -> str:
    return secrets.token_hex(8)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the caller's request id if it is safe to log, otherwise a new one."""
    sent_ids = [value for name, value in headers if name.lower() == b"x-request-id"]
    if len(sent_ids) == 1 and _REQUEST_ID.fullmatch(sent_ids[0]):
        return sent_ids[0].decode("ascii")
    return new_request_id()


def safe_headers(
    headers: Iterable[tuple[bytes, bytes]], request_id: str, *, https: bool = False
) -> Headers:
    """Return `headers` completed by those of every response."""
    result = list(headers)
    present = {name.lower() for name, _ in result}
    result += [(name, value) for name, value in SAFE_HEADERS if name not in present]
    if https:
        result.append(TRANSPORT_HEADER)
    result.append((b"x-request-id", request_id.encode("ascii")))
    return result


class ConsoleMetrics:
    """Counters of the console's server, shared by the guard, the connections and the rate limiter."""

    def __init__(self) -> None:
        self.requests: dict[str, int] = {}
        self.connections = 0
        self.by_address: Counter[str] = Counter()
        self.idle = IdleConnections()
        self.refused = 0
        self.crashes = 0
        self.malformed = MalformedRequests()
        self.limited = 0
        self.local_decisions = 0

    def count_response(self, status: int) -> None:
        family = f"{status // 100}xx"
        self.requests[family] = self.requests.get(family, 0) + 1

    def count_local_decision(self) -> None:
        self.local_decisions += 1

    def samples(self) -> list[Sample]:
        return [
            CONNECTIONS.sample(self.connections),
            REFUSED_CONNECTIONS.sample(self.refused),
            EVICTED_CONNECTIONS.sample(self.idle.closed),
            CRASHES.sample(self.crashes),
            *self.malformed.samples(),
            LIMITED_REQUESTS.sample(self.limited),
            LOCAL_DECISIONS.sample(self.local_decisions),
            *REQUESTS.by_label(dict(sorted(self.requests.items()))),
        ]


class Guard:
    """An ASGI app around `app`. `https`: whether browsers reach the console by https."""

    def __init__(self, app: ASGIApp, counters: ConsoleMetrics, *, https: bool = False) -> None:
        self._app = app
        self._counters = counters
        self._https = https

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request_id = scope[problems.REQUEST_ID] = request_id_of(scope.get("headers", ()))
        response = _GuardedSend(send, request_id, self._counters, self._https)
        try:
            await self._app(scope, receive, response.send)
        except Exception as error:
            if response.started:
                raise  # half a response cannot be taken back: Hypercorn logs the error and closes
            await _send_problem(response, error, request_id)


class _GuardedSend:
    """The `send` of one request, shielded and bounded."""

    def __init__(self, send: Send, request_id: str, counters: ConsoleMetrics, https: bool) -> None:
        self._send = send
        self._https = https
        self._request_id = request_id
        self._counters = counters
        self._abandoned = False
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self._counters.count_response(message["status"])
            message = dict(message)
            message["headers"] = safe_headers(
                message.get("headers", []), self._request_id, https=self._https
            )
        if self._abandoned:
            return
        with trio.move_on_after(SEND_LIMIT_S, shield=True) as scope:
            await self._send(message)
        self._abandoned = scope.cancelled_caught


async def _send_problem(response: _GuardedSend, error: Exception, request_id: str) -> None:
    """Send the problem of an error raised outside of Quart's error handling, such as a bad Host header."""
    http = _http_error(error)
    if http is not None and http.code is not None and http.code < 500:
        body = problems.document(http.code, http.description or "the request is malformed")
        status = http.code
    else:
        problems.log_bug(error, request_id)
        body = problems.document(500, problems.BUG_DETAIL, (), request_id)
        status = 500
    headers = [
        (b"content-type", problems.CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await response.send({"type": "http.response.start", "status": status, "headers": headers})
    await response.send({"type": "http.response.body", "body": body})


def _http_error(error: BaseException) -> HTTPException | None:
    """Return the first HTTPException in `error`, which may be a group; None without one."""
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            if (http_error := _http_error(inner)) is not None:
                return http_error
    return None

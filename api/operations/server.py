"""The operations port of one machine: `/healthz`, `/readyz` and `/metrics` of its processes.

The launcher serves it, so that machines without the console can be scraped. It knows no secrets and has no
keys: it listens on loopback unless WAYPOST_OPERATIONS_HOST says otherwise.

Bounds: MAX_CONNECTIONS at once, of which each sends one request within REQUEST_S and in HEAD_BYTES; RATE for
each client. Processes are asked at most once in FRESH_S, however many clients there are.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

import h11
import msgspec
import trio

from api.operations.exposition import CONTENT_TYPE
from api.operations.reports import ReadHealth, ReadMetrics, health_report, metrics_report
from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.operations")

MAX_CONNECTIONS: Final = 32
REQUEST_S: Final = 5.0
HEAD_BYTES: Final = 8 * 1024
FRESH_S: Final = 1.0
RATE: Final = Rate("operations", units=600, period_s=60, burst=60)
_MAX_CLIENTS: Final = 1_024
_READ_BYTES: Final = 4 * 1024
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"

REQUESTS: Final = Metric(
    "waypost_operations_requests_total", "Requests of the operations port by status", ("status",)
)


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Cached:
    """A report that is made at most once in FRESH_S, by the first of those that ask for it."""

    def __init__(self, make: Callable[[], Awaitable[Answer]]) -> None:
        self._make = make
        self._lock = trio.Lock()
        self._answer: Answer | None = None
        self._made_at = 0.0

    async def get(self) -> Answer:
        async with self._lock:
            now = trio.current_time()
            if self._answer is None or now - self._made_at >= FRESH_S:
                self._answer = await self._make()
                self._made_at = trio.current_time()
            return self._answer


class OperationsServer:
    """Server of one machine's reports, over streams."""

    def __init__(self, health: ReadHealth, metrics: ReadMetrics) -> None:
        self._health = health
        self._metrics = metrics
        self._reports = {
            b"/readyz": Cached(self._ready),
            b"/metrics": Cached(self._exposition),
        }
        self._connections = 0
        self._limiter = LocalRateLimiter(RATE, _MAX_CLIENTS, "deny")
        self.statuses: dict[int, int] = {}

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve an accepted connection."""
        try:
            client = str(stream.socket.getpeername()[0])
        except OSError:  # it has closed meanwhile
            client = ""
        await self.serve_client(stream, client)

    async def serve_client(self, stream: trio.abc.Stream, client: str) -> None:
        """Answer the one request of a connection, and close it. `client` is its address."""
        self._connections += 1
        try:
            with trio.move_on_after(REQUEST_S), suppress(trio.BrokenResourceError):
                async with stream:
                    try:
                        await self._exchange(stream, client)
                    except trio.BrokenResourceError:
                        raise
                    except (
                        Exception
                    ):  # the server belongs to the launcher, which outlives a request
                        logger.exception("a request for reports failed",
                                         extra={"event": "report_failed"})  # fmt: skip
        finally:
            self._connections -= 1

    async def _exchange(self, stream: trio.abc.Stream, client: str) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        if self._connections > MAX_CONNECTIONS:
            answer = Answer(503, _TEXT, b"too many connections\n")
            return await self._send(connection, stream, answer, with_body=True)
        method = b"GET"
        try:
            request = await _request(connection, stream)
            if request is None:
                return None
            method = request.method
            answer = await self._answer(request, client)
        except h11.RemoteProtocolError as error:
            answer = Answer(error.error_status_hint, _TEXT, b"the request cannot be read\n")
        return await self._send(connection, stream, answer, with_body=method != b"HEAD")

    async def _answer(self, request: h11.Request, client: str) -> Answer:
        if not self._limiter.decide(client, int(trio.current_time() * 1_000_000)).allowed:
            return Answer(429, _TEXT, b"too many requests\n")
        if request.method not in (b"GET", b"HEAD"):
            return Answer(405, _TEXT, b"GET and HEAD only\n")
        path = request.target.partition(b"?")[0]
        if path == b"/healthz":
            return Answer(200, _TEXT, b"ok\n")
        report = self._reports.get(path)
        if report is None:
            return Answer(404, _TEXT, b"/healthz, /readyz and /metrics only\n")
        return await report.get()

    async def _send(
        self,
        connection: h11.Connection,
        stream: trio.abc.Stream,
        answer: Answer,
        *,
        with_body: bool,
    ) -> None:
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        fields = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ]
        head = connection.send(h11.Response(status_code=answer.status, headers=fields)) or b""
        await stream.send_all(head + (answer.body if with_body else b""))

    async def _ready(self) -> Answer:
        report = await health_report(self._health)
        return Answer(200 if report.ready else 503, _JSON, msgspec.json.encode(report))

    async def _exposition(self) -> Answer:
        try:
            text = await metrics_report(self._metrics)
        except UnavailableError as error:
            return Answer(503, _TEXT, f"{error}\n".encode())
        return Answer(200, CONTENT_TYPE, text.encode())

    def samples(self) -> list[Sample]:
        return REQUESTS.by_label(self.statuses)


async def _request(connection: h11.Connection, stream: trio.abc.Stream) -> h11.Request | None:
    """Return the head of the request; None if the client closes before. Raises h11.RemoteProtocolError."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))

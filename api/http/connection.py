"""Connection of the console: HTTP/1.1 (api/http/protocol.py) over a transport with limits.

It replaces Hypercorn 0.18's own trio transport (`TCPServer`). The differences, and why:

- HTTP/1.1 only. An `Upgrade` is ignored, as RFC 9110 7.8 allows, so neither h2c nor the WebSocket
  code, which fails on bytes that follow a handshake, is ever reached. `HTTP/2.0` answers 505;
- a head must be complete within `head_s` of its first byte (or of the connection), and a connection
  may be idle for `idle_s`; Hypercorn has one timer for both;
- writing is shielded *and* bounded: Hypercorn's is shielded only, so a client that stopped reading
  would hold the connection, and a shutdown, for ever;
- closing sends FIN, then reads and drops what still comes for up to `linger_s`. Closing at once
  with unread bytes resets the connection, and the client of a refused upload loses the answer;
- bytes behind the last request are dropped while its answer is made; after MAX_DROPPED_BYTES of them the
  client is not read from until the answer is sent;
- a client that half-closes after its request still gets the answer;
- the idle timer ends with the connection; Hypercorn's keeps the socket of a closed connection until it
  expires, and starts and cancels a task for each request;
- the nursery is entered and left here (see api/http/hypercorn_adapter.py).
"""

import re
from typing import Final, NamedTuple

import h11
import trio

from api.http import problems
from api.http.guard import ConsoleMetrics, new_request_id, safe_headers
from api.http.hypercorn_adapter import HypercornServer
from api.http.idle_timer import IdleTimer
from api.http.protocol import STREAM_ID, Headers, Http1Protocol

MAX_RECEIVE_BYTES: Final = 16_384
MAX_DROPPED_BYTES: Final = 65_536

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_TARGET: Final = re.compile(rb"/[^#]*|(?i:https?)://([^/?#@]+)(?:[/?][^#]*)?")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

_DETAILS: Final = {
    431: "the request head is too large",
    501: "this transfer coding is not supported",
    505: "this server speaks only HTTP/1.0 and HTTP/1.1",
}


class ConsoleLimits(NamedTuple):
    """Limits of connections: counts, seconds (`…_s`) and bytes.

    `connections_each` is per client address (IPv6: per /64). `answer_s` bounds a request whose client has
    half-closed the connection.
    """

    connections: int = 1_000
    connections_each: int = 250
    head_s: float = 10.0
    idle_s: float = 65.0
    send_s: float = 10.0
    linger_s: float = 2.0
    answer_s: float = 60.0
    drain_s: float = 20.0
    head_bytes: int = 16_384


def refusal(request: h11.Request) -> int | None:
    """Return the status that refuses a head which h11 accepts but a proxy may read differently, or None."""
    if not request.http_version.startswith(b"1."):
        return 505
    names = {name for name, _ in request.headers}
    if b"content-length" in names and b"transfer-encoding" in names:
        return 400
    for name, value in request.headers:
        if _CONTROL.search(value) or (name == b"host" and _HOST.fullmatch(value) is None):
            return 400
    if request.target == b"*":
        return None if request.method == b"OPTIONS" else 400
    target = _TARGET.fullmatch(request.target)
    # A target's own authority must be the host, or a proxy in front may have decided by the other one.
    return 400 if target is None or (target[1] and not _is_host(target[1], request)) else None


def _is_host(authority: bytes, request: h11.Request) -> bool:
    return any(
        name == b"host" and value.lower() == authority.lower() for name, value in request.headers
    )


def head_bytes(request: h11.Request) -> int:
    """Return the size of a request's head as it is sent, but for blanks around values."""
    fields = sum(len(name) + len(value) + 4 for name, value in request.headers)
    return len(request.method) + len(request.target) + len("  HTTP/1.1\r\n\r\n") + fields


class ConsoleProtocol(Http1Protocol):
    """HTTP/1.1 of the console. It refuses ambiguous heads, with problem details."""

    def refusal(self, request: h11.Request) -> int | None:
        if head_bytes(request) > self._server.config.h11_max_incomplete_size:
            return 431  # h11 measures unfinished heads only
        return refusal(request)

    def error_response(self, status: int) -> tuple[Headers, bytes]:
        detail = _DETAILS.get(status, "the request is not well-formed HTTP/1.1")
        body = problems.document(status, detail)
        headers = [
            (b"content-type", problems.CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        return safe_headers(headers, new_request_id()), body


class ConsoleConnection:
    """A connection. `await ConsoleConnection(…).run()` serves it until it closes."""

    def __init__(
        self,
        server: HypercornServer,
        stream: trio.SocketStream,
        limits: ConsoleLimits,
        counters: ConsoleMetrics,
    ) -> None:
        self._server = server
        self._stream = stream
        self._limits = limits
        self._counters = counters
        self._send_lock = trio.Lock()
        self._timer = IdleTimer(server.context.terminated)
        self._is_between_requests = False
        self._finished = trio.Event()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                stream_of = self._server.streams(nursery, self._stream, STREAM_ID)
            except OSError:  # the client has hung up already
                return
            self._protocol = ConsoleProtocol(self._server, stream_of, self)
            self._timer.set(self._limits.head_s)
            nursery.start_soon(self._timer.run, self._close)
            try:
                await self._read_data()
            finally:
                self._counters.idle.discard(self)
            self._timer.close()

    async def write(self, data: bytes) -> None:
        async with self._send_lock:
            with trio.move_on_after(self._limits.send_s, shield=True):
                try:
                    await self._stream.send_all(data)
                    return
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
        # The reader finds the stream closed and tells the app. But if it already holds the next request, it
        # waits for the end of this response, which may never come: so the connection expires.
        await trio.aclose_forcefully(self._stream)
        self._expire_after(self._limits.linger_s)

    async def finish(self) -> None:
        """Send FIN after the last response; `_read_data` then drops what it reads."""
        self._expire_after(self._limits.linger_s)
        self._timer.close()
        self._finished.set()
        async with self._send_lock:
            try:
                await self._stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

    def request_began(self) -> None:
        self._set_idle(False)
        self._timer.stop()

    def head_began(self) -> None:
        # The time for the first head of a connection begins with the connection.
        if self._is_between_requests:
            self._set_idle(False)
            self._timer.set(self._limits.head_s)

    def between_requests(self) -> None:
        self._set_idle(True)
        self._timer.set(self._limits.idle_s)

    def _set_idle(self, idle: bool) -> None:
        self._is_between_requests = idle
        if idle:
            self._counters.idle.add(self, self._nursery.cancel_scope.cancel)
        else:
            self._counters.idle.discard(self)

    def malformed(self, reason: str) -> None:
        self._counters.malformed.count(reason)

    def responded(self, status: int) -> None:
        self._counters.count_response(status)

    async def _close(self) -> None:
        """End the connection: it was idle, or slow to send a head, for too long."""
        await self._protocol.close()
        await self._stream.aclose()

    async def _read_data(self) -> None:
        dropped = 0
        while True:
            try:
                data = await self._stream.receive_some(MAX_RECEIVE_BYTES)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                await self._protocol.close()
                return
            if self._protocol.ignores_input:
                dropped += len(data)
                if dropped > MAX_DROPPED_BYTES:
                    await self._finished.wait()
            else:
                await self._protocol.receive(bytes(data))
            if not data:
                # Half-closed: answer the request in flight, then close.
                self._expire_after(self._limits.answer_s)
                return

    def _expire_after(self, seconds: float) -> None:
        scope = self._nursery.cancel_scope
        scope.deadline = min(scope.deadline, trio.current_time() + seconds)

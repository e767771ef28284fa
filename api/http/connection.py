"""Connection of the console: Hypercorn's HTTP/1.1 protocol over a transport with limits.

It replaces Hypercorn 0.18's own trio transport (`TCPServer`). The differences, and why:

- HTTP/1.1 only. An `Upgrade` is ignored, as RFC 9110 7.8 allows, so neither h2c nor the WebSocket
  code, which fails on bytes that follow a handshake, is ever reached. `HTTP/2.0` answers 505;
- a head must be complete within `head_s` of its first byte (or of the connection), and a connection
  may be idle for `idle_s`; Hypercorn has one timer for both;
- writing is shielded *and* bounded: Hypercorn's is shielded only, so a client that stopped reading
  would hold the connection, and a shutdown, for ever;
- closing sends FIN, then reads and drops what still comes for up to `linger_s`. Closing at once
  with unread bytes resets the connection, and the client of a refused upload loses the answer;
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
from api.http.guard import Headers, new_request_id, safe_headers
from api.http.hypercorn_adapter import (
    Closed,
    Event,
    Http1Protocol,
    HypercornServer,
    RawData,
    Updated,
)
from api.http.idle_timer import IdleTimer

MAX_RECEIVE_BYTES: Final = 16_384  # h11 looks at `head_bytes` between reads only

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_TARGET: Final = re.compile(rb"(?:https?://[^/?#@]+)?/[^#]*|https?://[^/?#@]+(?:\?[^#]*)?")
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
    return None if _TARGET.fullmatch(request.target) else 400


class ConsoleProtocol(Http1Protocol):
    """HTTP/1.1 of the console. It refuses ambiguous heads, with problem details."""

    def refusal(self, request: h11.Request) -> int | None:
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
        self, server: HypercornServer, stream: trio.SocketStream, limits: ConsoleLimits
    ) -> None:
        self._server = server
        self._stream = stream
        self._limits = limits
        self._send_lock = trio.Lock()
        self._timer = IdleTimer(server.context.terminated)
        self._between_requests = False
        self._closing = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                self._protocol = ConsoleProtocol(
                    self._server, nursery, self._stream, self._on_event
                )
            except OSError:  # the client has hung up already
                return
            self._timer.set(self._limits.head_s)
            nursery.start_soon(self._timer.run, self._close)
            await self._read_data()
            self._closing = True
            self._timer.close()

    async def _on_event(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            await self._finish()
        elif isinstance(event, Updated) and not event.idle:
            self._between_requests = False
            self._timer.stop()
        elif isinstance(event, Updated) and not self._closing:
            # The next head may have begun already, behind the request that has just been answered.
            self._between_requests = not self._protocol.next_request_began
            self._timer.set(self._limits.idle_s if self._between_requests else self._limits.head_s)

    async def _write(self, data: bytes) -> None:
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

    async def _finish(self) -> None:
        """Send FIN after the last response; `_read_data` then drops what it reads."""
        self._closing = True
        self._expire_after(self._limits.linger_s)
        self._timer.close()
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.BusyResourceError, trio.ClosedResourceError):
            pass
        await self._protocol.handle(Closed())

    async def _close(self) -> None:
        """End the connection: it was idle, or slow to send a head, for too long."""
        await self._protocol.handle(Closed())
        await self._stream.aclose()

    async def _read_data(self) -> None:
        while True:
            try:
                data = await self._stream.receive_some(MAX_RECEIVE_BYTES)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                await self._protocol.handle(Closed())
                return
            if self._closing:
                if not data:
                    return
                continue
            if self._between_requests and data:
                self._between_requests = False
                self._timer.set(self._limits.head_s)
            await self._protocol.handle(RawData(bytes(data)))
            if not data:
                # Half-closed: answer the request in flight, then close.
                self._expire_after(self._limits.answer_s)
                return

    def _expire_after(self, seconds: float) -> None:
        scope = self._nursery.cancel_scope
        scope.deadline = min(scope.deadline, trio.current_time() + seconds)

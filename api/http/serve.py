"""Server of the console, on bound sockets, inside a running trio loop. Guarantees:

- an error in one connection ends that connection only, and is logged and counted; nothing that a client sends
  is such an error (api/http/protocol.py);
- at most `limits.connections` are served at once, and `limits.connections_each` of one client address. When
  there is no room, the connection that waits longest for its next request is closed; if there is none, or the
  address has its share, the new connection is answered 503;
- on `stop`, no connection is accepted any more, idle connections close, and requests in flight get
  `limits.drain_s` to finish.
"""

import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from actors.operations.runtime import Stop
from api.http import problems
from api.http.connection import ConsoleConnection, ConsoleLimits
from api.http.guard import ASGIApp, ConsoleMetrics, new_request_id, safe_headers
from api.http.hypercorn_adapter import HypercornServer
from engine.operations.settings import Settings
from engine.visits.client_address import client_address, network_of

logger = logging.getLogger("waypost.api")

Serve = Callable[[trio.SocketStream], Awaitable[None]]


def limits_of(settings: Settings) -> ConsoleLimits:
    """Return the limits of connections that the settings ask for."""
    defaults = ConsoleLimits()
    return ConsoleLimits(
        # Behind proxies, all connections come from the proxies: no address has a share, and without room the
        # connection that waits longest goes.
        connections_each=sys.maxsize if settings.trusted_hops else defaults.connections_each,
        head_s=settings.head_timeout_ms / 1000,
        idle_s=settings.idle_timeout_ms / 1000,
        drain_s=settings.drain_timeout_ms / 1000,
        head_bytes=settings.max_head_bytes,
    )


async def serve_console(
    app: ASGIApp,
    sockets: Sequence[socket.socket | int],
    stop: Stop,
    counters: ConsoleMetrics,
    limits: ConsoleLimits | None = None,
) -> None:
    """Serve `app` on listening sockets, or on inherited file descriptors of sockets, until `stop`.

    The app gets no lifespan events: tasks that outlive a request belong to a supervisor, not to the app.
    """
    limits = limits or ConsoleLimits()
    server = HypercornServer.wrap(app, head_bytes=limits.head_bytes)

    async def serve(stream: trio.SocketStream) -> None:
        await ConsoleConnection(server, stream, limits, counters).run()

    listeners = [
        trio.SocketListener(trio.socket.from_stdlib_socket(_socket_of(s))) for s in sockets
    ]
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:
            accepting.start_soon(
                partial(
                    trio.serve_listeners,
                    partial(guarded, serve, counters, limits),
                    listeners,
                    handler_nursery=connections,
                )
            )
            await stop.wait()
            accepting.cancel_scope.cancel()
        await server.context.terminated.set()
        connections.cancel_scope.deadline = trio.current_time() + limits.drain_s


async def guarded(
    serve: Serve, counters: ConsoleMetrics, limits: ConsoleLimits, stream: trio.SocketStream
) -> None:
    """Serve one connection within the limits. Raises nothing but cancellation."""
    address = address_of(stream.socket)
    of_address = counters.by_address[address]
    is_full = counters.connections >= limits.connections
    has_share = of_address < limits.connections_each
    if not has_share or (is_full and not counters.idle.close_longest()):
        counters.refused += 1
        await _refuse(stream)
        return
    counters.connections += 1
    counters.by_address[address] += 1
    try:
        await serve(stream)
    except* Exception as errors:
        counters.crashes += 1
        logger.error(
            "a connection of the console crashed",
            exc_info=errors,
            extra={"event": "console_connection_crashed"},
        )
    finally:
        counters.connections -= 1
        counters.by_address[address] -= 1
        if not counters.by_address[address]:
            del counters.by_address[address]
        await trio.aclose_forcefully(stream)


def address_of(connection: trio.socket.SocketType) -> str:
    """Return the client address that limits count (IPv6: its /64), or '' without one, or after a hang-up."""
    try:
        peer = connection.getpeername()
    except OSError:
        return ""
    return network_of(client_address(peer[0], None, 0)) if isinstance(peer, tuple) else ""


async def _refuse(stream: trio.SocketStream) -> None:
    body = problems.document(503, "too many connections")
    headers = [
        (b"content-type", problems.CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(problems.RETRY_AFTER_S).encode()),
        (b"connection", b"close"),
    ]
    head = b"".join(b"%s: %s\r\n" % pair for pair in safe_headers(headers, new_request_id()))
    with trio.move_on_after(1):
        try:
            await stream.send_all(b"HTTP/1.1 503 Service Unavailable\r\n" + head + b"\r\n" + body)
            await stream.send_eof()
            # Closing with the request unread would reset the connection and lose the response.
            while await stream.receive_some(65_536):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    await trio.aclose_forcefully(stream)


def _socket_of(sock: socket.socket | int) -> socket.socket:
    return socket.socket(fileno=sock) if isinstance(sock, int) else sock

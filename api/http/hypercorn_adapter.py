"""Adapter of Hypercorn, the only module that imports it.

Hypercorn 0.18 serves HTTP/1.1 by `H11Protocol`, one object for each connection. The adapter uses parts of it
that are not public; so its version is pinned in pyproject.toml, and
tests/api/http/test_hypercorn_adapter.py checks them:

- `TaskGroup._nursery`: the connection's nursery is entered and left by Waypost. As a context manager, a
  TaskGroup passes on the cancellation that its nursery has caught, which would end the server with the
  connection;
- `H11Protocol._check_protocol` and `._create_stream`: overridden, so that no upgrade is ever followed and a
  request can be refused before a stream begins;
- `H11Protocol._send_error_response`: overridden, so that malformed requests get problem details;
- `H11Protocol._send_h11_event` and `.connection`: called and read.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

__all__ = ["Closed", "Event", "Http1Protocol", "HypercornServer", "RawData", "Updated"]

Headers = list[tuple[bytes, bytes]]
Send = Callable[[Event], Awaitable[None]]


class HypercornServer(NamedTuple):
    """The part of a server that all its connections share. `context.terminated` is set once it ends."""

    app: AppWrapper
    config: Config
    context: WorkerContext

    @classmethod
    def wrap(
        cls, app: Callable[..., Awaitable[None]], *, head_bytes: int, idle_s: float, drain_s: float
    ) -> "HypercornServer":
        """Return a server of an ASGI app, without Hypercorn's access log and server header.

        Its errors go to the logger `waypost.api.hypercorn`.
        """
        config = Config()
        config.accesslog = None
        config.errorlog = logging.getLogger("waypost.api.hypercorn")
        config.include_server_header = False
        config.h11_max_incomplete_size = head_bytes
        config.keep_alive_timeout = idle_s
        config.graceful_timeout = drain_s
        return cls(ASGIWrapper(app), config, WorkerContext(None))


class Http1Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1 on one connection, without upgrades. Subclasses decide which requests to refuse.

    Its tasks run in `nursery`; `send` takes its events. Raises OSError if the client has hung up already.
    """

    def __init__(
        self, server: HypercornServer, nursery: trio.Nursery, stream: trio.SocketStream, send: Send
    ) -> None:
        group = TaskGroup()
        group._nursery = nursery
        socket = stream.socket
        client = parse_socket_addr(socket.family, socket.getpeername())
        own = parse_socket_addr(socket.family, socket.getsockname())
        super().__init__(
            server.app, server.config, server.context, group, ConnectionState({}), False, client, own, send
        )  # fmt: skip

    def refusal(self, request: h11.Request) -> int | None:
        """Return the status to refuse a request with, or None to let it pass."""
        raise NotImplementedError

    def error_response(self, status: int) -> tuple[Headers, bytes]:
        """Return headers and body of the response to a refused or malformed request."""
        raise NotImplementedError

    @property
    def next_request_began(self) -> bool:
        """Whether bytes of the next request have arrived behind the current one."""
        return bool(self.connection.trailing_data[0])

    async def _check_protocol(self, event: h11.Request) -> None:
        """Follow no upgrade: neither h2c nor HTTP/2 by prior knowledge."""

    async def _create_stream(self, request: h11.Request) -> None:
        if (status := self.refusal(request)) is not None:
            await self._send_error_response(status)
            await self.send(Closed())
            return
        plain = h11.Request(
            method=request.method,
            headers=[(name, value) for name, value in request.headers if name != b"upgrade"],
            target=request.target,
            http_version=request.http_version,
        )
        await super()._create_stream(plain)

    async def _send_error_response(self, status_code: int) -> None:
        headers, body = self.error_response(status_code)
        headers = [*headers, *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

"""Adapter of Hypercorn, the only module that imports it.

What is used of Hypercorn 0.18 is `HTTPStream`: it runs an ASGI app for one request. Its transport and its
HTTP/1.1 protocol are replaced by api/http/connection.py and protocol.py. Some parts are not public; so the
version is pinned in pyproject.toml, and tests/api/http/test_hypercorn_adapter.py checks them:

- `TaskGroup._nursery`: the connection's nursery is entered and left by Waypost. As a context manager, a
  TaskGroup passes on the cancellation that its nursery has caught, which would end the server with the
  connection;
- `HTTPStream`'s arguments, its `scope`, and the events that it takes and sends.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

__all__ = [
    "Body",
    "EndBody",
    "HTTPStream",
    "HypercornServer",
    "Request",
    "Response",
    "StreamClosed",
    "StreamEvent",
    "StreamFactory",
]

StreamFactory = Callable[[Callable[[StreamEvent], Awaitable[None]]], HTTPStream]


class HypercornServer(NamedTuple):
    """The part of a server that all its connections share. `context.terminated` is set once it ends."""

    app: AppWrapper
    config: Config
    context: WorkerContext

    @classmethod
    def wrap(cls, app: Callable[..., Awaitable[None]], *, head_bytes: int) -> "HypercornServer":
        """Return a server of an ASGI app, without Hypercorn's access log and server header.

        Its errors go to the logger `waypost.api.hypercorn`.
        """
        config = Config()
        config.accesslog = None
        config.errorlog = logging.getLogger("waypost.api.hypercorn")
        config.include_server_header = False
        config.h11_max_incomplete_size = head_bytes
        return cls(ASGIWrapper(app), config, WorkerContext(None))

    def streams(self, nursery: trio.Nursery, stream: trio.SocketStream, id_: int) -> StreamFactory:
        """Return what makes the stream of a request on one connection, whose tasks run in `nursery`.

        Raises OSError if the client has hung up already.
        """
        group = TaskGroup()
        group._nursery = nursery
        socket = stream.socket
        client = parse_socket_addr(socket.family, socket.getpeername())
        own = parse_socket_addr(socket.family, socket.getsockname())

        def stream_of(send: Callable[[StreamEvent], Awaitable[None]]) -> HTTPStream:
            return HTTPStream(
                self.app, self.config, self.context, group, False, client, own, send, id_
            )

        return stream_of

    def new_state(self) -> ConnectionState:
        """Return the empty state of a request: this server has no lifespan that fills it."""
        return ConnectionState({})

"""HTTP/1.1 of one connection: h11 reads and writes, Hypercorn's HTTPStream runs the app.

Rules, whatever a client sends and however its bytes are cut:

- each request has one answer and one writer: this module until the head is accepted, the app from then on;
- a malformed head is answered 4xx or 5xx, and the connection closes;
- a body that is malformed, or that the client cuts short, ends there, and the connection closes behind its
  answer. An app that reads the body gets BadRequest (`require_whole_body`); one that has answered without
  reading it keeps its answer, so nothing is done and then denied;
- bytes behind the last request of a connection are ignored (RFC 9112 9.6). The last request is one with
  `Connection: close`, of HTTP/1.0, malformed, or answered before its body has arrived;
- empty lines before a request are ignored (RFC 9112 2.2);
- a following request is not looked at before the answer is complete; the client waits, in TCP's window.

Hypercorn's own H11Protocol has a second writer for malformed input, and takes bytes behind the last request for
malformed input.
"""

import re
from collections.abc import MutableMapping
from typing import Any, Final, Protocol

import h11
import trio
from werkzeug.exceptions import BadRequest

from api.http.hypercorn_adapter import (
    Body,
    EndBody,
    HTTPStream,
    HypercornServer,
    Request,
    Response,
    StreamClosed,
    StreamEvent,
    StreamFactory,
)

Headers = list[tuple[bytes, bytes]]
Scope = MutableMapping[str, Any]

MAX_REQUESTS: Final = 1_000  # of one connection, so that clients spread over processes again
STREAM_ID: Final = 1
MALFORMED_BODY: Final = "waypost.malformed_body"  # the ASGI scope has it if the body is cut off
MALFORMED_BODY_DETAIL: Final = "the request body is cut short, or not well-formed HTTP/1.1"

_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
_ABSOLUTE: Final = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_FINISHED: Final = (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)


def require_whole_body(scope: Scope) -> None:
    """Raise BadRequest if the request's body was malformed or cut short. Call after reading it."""
    if scope.get(MALFORMED_BODY):
        raise BadRequest(MALFORMED_BODY_DETAIL)


def origin_form(target: bytes) -> bytes:
    """Return path and query of a target in absolute form, and any other target unchanged."""
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target
    path = target[absolute.end() :]
    return path if path.startswith(b"/") else b"/" + path


class Transport(Protocol):
    """The side of a connection that the protocol acts on."""

    async def write(self, data: bytes) -> None:
        """Send bytes to the client. Raises nothing if the client is gone."""

    async def finish(self) -> None:
        """Close the connection: no bytes follow."""

    def request_began(self) -> None:
        """Stop the timers: a request is being handled."""

    def head_began(self) -> None:
        """Start the timer of heads: the first byte of a request has arrived."""

    def between_requests(self) -> None:
        """Start the timer of idle connections."""

    def malformed(self, reason: str) -> None:
        """Count a malformed request."""

    def responded(self, status: int) -> None:
        """Count an answer that no app has given."""


class Http1Protocol:
    """HTTP/1.1 of one connection. Subclasses decide which heads to refuse, and how errors look.

    Call receive() with what arrives, from one task, and close() once the client is gone.
    """

    def __init__(
        self, server: HypercornServer, stream_of: StreamFactory, transport: Transport
    ) -> None:
        self._server = server
        self._stream_of = stream_of
        self._transport = transport
        self._stream: HTTPStream | None = None
        self._requests = 0
        self._ended = False
        self._answered = trio.Event()
        self._begin_cycle(b"")

    def refusal(self, request: h11.Request) -> int | None:
        """Return the status to refuse a request with, or None to let it pass."""
        raise NotImplementedError

    def error_response(self, status: int) -> tuple[Headers, bytes]:
        """Return headers and body of the response to a refused or malformed head."""
        raise NotImplementedError

    @property
    def ignores_input(self) -> bool:
        """Whether the last request of this connection has been read, and all that follows is dropped."""
        reading, writing = self._h11.their_state, self._h11.our_state
        answers_early = reading is h11.SEND_BODY and writing not in (h11.IDLE, h11.SEND_RESPONSE)
        return self._ended or reading in _FINISHED or answers_early

    async def receive(self, data: bytes) -> None:
        """Take bytes of the client, or b'' once it has closed its side. Returns when it can take more."""
        if not self.ignores_input and self._feed(data):
            await self._read_events()

    async def close(self) -> None:
        """Read no more, and tell the app of the request in flight that its client is gone."""
        self._ended = True
        await self._close_stream()

    def _begin_cycle(self, data: bytes) -> None:
        """Read the next request, whose first bytes may have arrived behind the one before."""
        head_bytes = self._server.config.h11_max_incomplete_size
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=head_bytes)
        self._head_began = False
        self._half_line = b""
        if data:
            self._feed(data)

    def _feed(self, data: bytes) -> bool:
        """Give bytes to h11, without empty lines before a head. Returns whether any were left to give."""
        if data and not self._head_began:
            data = self._half_line + data
            data = data[_EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]  # matches always
            self._half_line = data if data == b"\r" else b""
            if data in (b"", b"\r"):
                return False
            self._head_began = True
            self._transport.head_began()
        self._h11.receive_data(data)
        return True

    async def _read_events(self) -> None:
        while not self.ignores_input:
            if self._h11.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=self._date()))
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                await self._on_malformed(error)
                return
            if isinstance(event, h11.Request):
                await self._begin_request(event)
            elif isinstance(event, h11.Data) and self._stream is not None:
                await self._stream.handle(Body(STREAM_ID, bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage) and self._stream is not None:
                await self._stream.handle(EndBody(STREAM_ID))
            elif event is h11.PAUSED:
                self._answered = trio.Event()
                await self._answered.wait()
            else:
                return

    async def _begin_request(self, request: h11.Request) -> None:
        status = self.refusal(request)
        if status is not None:
            await self._refuse(status, "refused head", has_body=request.method != b"HEAD")
            return
        self._transport.request_began()
        self._requests += 1
        # Without its upgrade: neither h2c nor WebSockets are spoken here.
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        self._stream = self._stream_of(self._on_stream_event)
        await self._stream.handle(
            Request(
                STREAM_ID, headers, request.http_version.decode(), request.method.decode(),
                origin_form(request.target), self._server.new_state(),
            )
        )  # fmt: skip

    async def _on_malformed(self, error: h11.RemoteProtocolError) -> None:
        # h11 appends what the client sent, which may be a secret.
        reason = str(error).partition(":")[0]
        if self._stream is None:
            await self._refuse(error.error_status_hint, reason)
        else:
            self._transport.malformed(reason)
            self._stream.scope[MALFORMED_BODY] = True  # type: ignore[typeddict-unknown-key]
            await self._stream.handle(EndBody(STREAM_ID))

    async def _refuse(self, status: int, reason: str, *, has_body: bool = True) -> None:
        self._transport.malformed(reason)
        self._transport.responded(status)
        headers, body = self.error_response(status)
        await self._write(h11.Response(status_code=status, headers=headers + self._date()))
        if has_body:
            await self._write(h11.Data(data=body))
        await self._write(h11.EndOfMessage())
        self._ended = True
        await self._transport.finish()

    async def _on_stream_event(self, event: StreamEvent) -> None:
        match event:
            case Response():
                headers = list(event.headers) + self._date()
                if self._h11.their_state in (h11.SEND_BODY, h11.ERROR) or (
                    self._requests >= MAX_REQUESTS
                ):
                    headers.append((b"connection", b"close"))
                await self._write(h11.Response(status_code=event.status_code, headers=headers))
            case Body():
                await self._write(h11.Data(data=event.data))
            case EndBody():
                await self._write(h11.EndOfMessage())
            case StreamClosed():
                await self._end_request()

    async def _close_stream(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await stream.handle(StreamClosed(STREAM_ID))

    async def _end_request(self) -> None:
        await self._close_stream()
        states = self._h11.our_state, self._h11.their_state
        if states == (h11.DONE, h11.DONE) and not self._server.context.terminated.is_set():
            self._transport.between_requests()
            # A fresh connection of h11 is how to skip empty lines that came behind the request.
            self._begin_cycle(self._h11.trailing_data[0])
            self._answered.set()
        else:
            self._ended = True
            self._answered.set()
            await self._transport.finish()

    async def _write(self, event: h11.Event) -> None:
        if data := self._h11.send(event):
            await self._transport.write(data)

    def _date(self) -> Headers:
        return self._server.config.response_headers("h11")

"""Receiver of webhooks for development: it verifies each request, reports it and answers.

It runs in one process, stores nothing, and bounds the size, number and idle time of connections.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import h11
import msgspec
import trio

from engine.webhooks.signature import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureError,
    verify,
)

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_CONNECTIONS: Final = 100
IDLE_S: Final = 60.0
_READ_BYTES: Final = 64 * 1024


class ReceivedRequest(NamedTuple):
    """A received request. `problem` says why it was refused; empty if it was accepted. Texts are printable."""

    id: str
    type: str
    verified: bool
    problem: str
    body: bytes


class WebhookReceiver:
    """Receiver of webhooks.

    `secrets` are `whsec_` secrets and `whpk_` public keys; a request is accepted if one of them verifies it, or
    if there are none. `now` returns seconds since 1970, `report` is called with each request, and accepted
    requests are answered with `status`.
    """

    def __init__(
        self,
        secrets: Sequence[str],
        now: Callable[[], float],
        report: Callable[[ReceivedRequest], None],
        status: int = 204,
    ) -> None:
        self._secrets = secrets
        self._now = now
        self._report = report
        self._status = status
        self._connections = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until it closes."""
        connection = h11.Connection(h11.SERVER)
        async with stream, self._connections:
            try:
                while True:
                    with trio.fail_after(IDLE_S):
                        await self._exchange(connection, stream)
                    if connection.our_state is not h11.DONE:
                        return
                    connection.start_next_cycle()
            except (trio.BrokenResourceError, trio.TooSlowError, h11.ProtocolError):
                return

    async def _exchange(self, connection: h11.Connection, stream: trio.abc.Stream) -> None:
        status = 400
        try:
            request = await _next(connection, stream)
            if isinstance(request, h11.ConnectionClosed):
                return
            assert isinstance(request, h11.Request)
            status = await self._receive(request, connection, stream)
        except h11.RemoteProtocolError as error:
            self._report(ReceivedRequest("", "", False, f"the request is not HTTP: {error}", b""))
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=status, headers=[("Content-Length", "0")])
            await stream.send_all(connection.send(head) or b"")
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")

    async def _receive(
        self, request: h11.Request, connection: h11.Connection, stream: trio.abc.Stream
    ) -> int:
        """Read the body, report the request, and return the status to answer."""
        body = bytearray()
        while not isinstance(event := await _next(connection, stream), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
            if len(body) > MAX_BODY_BYTES or isinstance(event, h11.ConnectionClosed):
                self._report(
                    ReceivedRequest(
                        "", "", False, f"the body is longer than {MAX_BODY_BYTES} bytes", b""
                    )
                )
                return 413
        if request.method != b"POST":
            method = printable(request.method.decode("ascii", "replace"))
            self._report(ReceivedRequest("", "", False, f"the method is {method}, not POST", b""))
            return 405
        return self._verify(request, bytes(body))

    def _verify(self, request: h11.Request, body: bytes) -> int:
        """Verify and report a whole request. Returns the status to answer."""
        headers = {
            name.decode("ascii"): value.decode("latin-1")
            for name, value in request.headers
            if name.decode("ascii") in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
        }
        problem = self._problem(headers, body)
        verified = bool(self._secrets) and not problem
        self._report(
            ReceivedRequest(
                printable(headers.get(ID_HEADER, "")), type_of(body), verified, problem, body
            )
        )
        return 401 if problem else self._status

    def _problem(self, headers: dict[str, str], body: bytes) -> str:
        """Return why no secret verifies the request; empty if one does, or if there are none."""
        problem = ""
        for secret in self._secrets:
            try:
                verify(secret, headers, body, int(self._now()))
            except SignatureError as error:
                problem = str(error)
            else:
                return ""
        return problem


def type_of(body: bytes) -> str:
    """Return the type of the event in a body, printable; empty if the body is no event."""
    try:
        event = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    type_ = event.get("type") if isinstance(event, dict) else None
    return printable(type_) if isinstance(type_, str) else ""


def printable(text: str, limit: int = 200) -> str:
    """Return the text for a terminal: up to `limit` characters, unprintable ones (controls, bidi) replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])


async def _next(connection: h11.Connection, stream: trio.abc.Stream) -> h11.Event:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                proceed = h11.InformationalResponse(status_code=100, headers=[])
                await stream.send_all(connection.send(proceed) or b"")
            connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Event):
            return event
        else:  # paused: the next request waits for the response to this one
            return h11.ConnectionClosed()

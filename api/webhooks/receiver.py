"""A receiver of webhooks for development: verifies what comes, says what it was, and answers.

Only for the eyes of whoever started it: one process, no storage, bounded in everything.
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
    """What came. `problem` is why it was not taken; empty when it was. Texts are printable."""

    id: str
    type: str
    verified: bool
    problem: str
    body: bytes


class WebhookReceiver:
    """`secrets` are `whsec_` secrets and `whpk_` public keys, of which one must fit; with none, nothing is
    verified. `now` is in seconds since 1970, `say` is told of everything that came, `status` answers what is
    good."""

    def __init__(
        self,
        secrets: Sequence[str],
        now: Callable[[], float],
        say: Callable[[ReceivedRequest], None],
        status: int = 204,
    ) -> None:
        self._secrets = secrets
        self._now = now
        self._say = say
        self._status = status
        self._connections = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """One connection."""
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
            status = await self._judged(request, connection, stream)
        except h11.RemoteProtocolError as error:
            self._say(ReceivedRequest("", "", False, f"is no HTTP: {error}", b""))
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            head = h11.Response(status_code=status, headers=[("Content-Length", "0")])
            await stream.send_all(connection.send(head) or b"")
            await stream.send_all(connection.send(h11.EndOfMessage()) or b"")

    async def _judged(
        self, request: h11.Request, connection: h11.Connection, stream: trio.abc.Stream
    ) -> int:
        """The status to answer, once it is said what came."""
        body = bytearray()
        while not isinstance(event := await _next(connection, stream), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
            if len(body) > MAX_BODY_BYTES or isinstance(event, h11.ConnectionClosed):
                self._say(
                    ReceivedRequest("", "", False, f"is longer than {MAX_BODY_BYTES} bytes", b"")
                )
                return 413
        if request.method != b"POST":
            method = printable(request.method.decode("ascii", "replace"))
            self._say(ReceivedRequest("", "", False, f"is a {method}, not a POST", b""))
            return 405
        return self._take(request, bytes(body))

    def _take(self, request: h11.Request, body: bytes) -> int:
        headers = {
            name.decode("ascii"): value.decode("latin-1")
            for name, value in request.headers
            if name.decode("ascii") in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
        }
        problem = self._problem(headers, body)
        verified = bool(self._secrets) and not problem
        self._say(
            ReceivedRequest(
                printable(headers.get(ID_HEADER, "")), type_of(body), verified, problem, body
            )
        )
        return 401 if problem else self._status

    def _problem(self, headers: dict[str, str], body: bytes) -> str:
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
    """The event's type, if it is such a body."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    type_ = found.get("type") if isinstance(found, dict) else None
    return printable(type_) if isinstance(type_, str) else ""


def printable(text: str, limit: int = 200) -> str:
    """What may be written to a terminal: no control characters, nor what turns text around."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])


async def _next(connection: h11.Connection, stream: trio.abc.Stream) -> h11.Event:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await stream.send_all(connection.send(go_on) or b"")
            connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Event):
            return event
        else:  # paused: the next request waits for our answer to this one
            return h11.ConnectionClosed()

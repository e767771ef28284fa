"""Webhook receivers on the loopback that fail by chance, verify requests, and keep ledgers.

They run in their own thread. A ledger holds the requests that arrived, independently of the sender.
"""

import json
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import trio

from bench.kit.errors import BenchError
from engine.webhooks.delivery import ATTEMPT_TIMEOUT_S, OVERLOADED_BACKOFF_S, RETRY_SCHEDULE_S

START_LIMIT_S = 10.0
MAX_HEAD_BYTES = 16 * 1024
_OK = b"HTTP/1.1 204 No Content\r\n\r\n"
_BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
# With an SO_LINGER of 0 s, closing a connection resets it.
_LINGER_0_S = struct.pack("ii", 1, 0)


class FailureShares(NamedTuple):
    """Proportions of requests that are answered 500 (`broken`), not at all (`silent`) or with a reset."""

    broken: float = 0.0
    silent: float = 0.0
    reset: float = 0.0


@dataclass
class Receipt:
    """Arrivals of an event at a receiver, and the first arrival that the receiver accepted.

    `waits_s` is how long a courier at production pace waits before that arrival: the waits of the retry
    schedule, and the time limits of attempts without an answer.
    """

    arrivals: int = 0
    accepted: int = 0
    accepted_at_arrival: int = 0
    latency_s: float = 0.0
    waits_s: float = 0.0

    def fail(self, *, silent: bool = False) -> None:
        if not self.accepted:
            wait = RETRY_SCHEDULE_S[min(self.arrivals, len(RETRY_SCHEDULE_S) - 1)]
            self.waits_s += ATTEMPT_TIMEOUT_S + max(wait, OVERLOADED_BACKOFF_S) if silent else wait


@dataclass
class Receiver:
    """A receiver. `ledger` holds receipts by the slug of the event's link.

    While `down` it resets each connection; while `hanging` it answers nothing.
    """

    name: str
    shares: FailureShares
    seed: int
    listener: socket.socket
    verifier: Any = None
    down: bool = False
    hanging: bool = False
    bad_signatures: int = 0
    ledger: dict[str, Receipt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/{self.name}"

    def set_secret(self, secret: str) -> None:
        """Set the secret; a request with another signature counts in `bad_signatures`. Raises BenchError."""
        try:
            import standardwebhooks
        except ImportError:
            raise BenchError(
                "the receivers need standardwebhooks: pip install 'waypost[test]'"
            ) from None
        self.verifier = standardwebhooks.Webhook(secret)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                while await self._answer(stream):
                    pass
            except trio.BrokenResourceError:
                pass

    async def _answer(self, stream: trio.SocketStream) -> bool:
        """Answer one request. Returns whether the connection stays open."""
        if self.down:
            return _reset(stream)
        request = await _request(stream)
        if request is None:
            return False
        entry = self._record(*request)
        draw = self._dice.random() - self.shares.broken
        if draw < 0 and not self.hanging:
            entry.fail()
            await stream.send_all(_BROKEN)
            return True
        if (draw := draw - self.shares.silent) < 0 or self.hanging:
            entry.fail(silent=True)
            return await _silence(stream)
        if draw - self.shares.reset < 0 or self.down:
            entry.fail()
            return _reset(stream)
        self._accept(entry, request[1])
        await stream.send_all(_OK)
        return True

    def _record(self, headers: dict[str, str], body: bytes) -> Receipt:
        """Record the arrival. Returns its receipt; for a bad signature, one that is in no ledger."""
        try:
            event = self.verifier.verify(body, headers)
            slug = event["data"]["after"]["slug"]
        except Exception:
            self.bad_signatures += 1
            return Receipt(accepted=1)
        entry = self.ledger.setdefault(slug, Receipt())
        entry.arrivals += 1
        return entry

    def _accept(self, entry: Receipt, body: bytes) -> None:
        entry.accepted += 1
        if entry.accepted == 1:
            entry.accepted_at_arrival = entry.arrivals
            happened = datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp()
            entry.latency_s = time.time() - happened


class ReceiverThread:
    """The receivers' thread as a context manager: entering starts it, leaving ends it."""

    def __init__(self) -> None:
        self.receivers: list[Receiver] = []
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=partial(trio.run, self._run), daemon=True)

    def add(self, name: str, shares: FailureShares, seed: int) -> Receiver:
        """Add a receiver. Call it before the thread is started."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        receiver = Receiver(name, shares, seed, listener)
        self.receivers.append(receiver)
        return receiver

    def __enter__(self) -> "ReceiverThread":
        self._thread.start()
        if not self._begun.wait(START_LIMIT_S):
            raise BenchError("the receivers did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(START_LIMIT_S)
        for receiver in self.receivers:
            receiver.listener.close()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                for receiver in self.receivers:
                    listener = trio.SocketListener(
                        trio.socket.from_stdlib_socket(receiver.listener)
                    )
                    nursery.start_soon(trio.serve_listeners, receiver.serve, [listener])
                self._begun.set()


async def _request(stream: trio.SocketStream) -> tuple[dict[str, str], bytes] | None:
    """Return (headers by lower-case name, body) of a request; None when the sender has closed."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        chunk = await stream.receive_some()
        if not chunk or len(data) > MAX_HEAD_BYTES:
            return None
        data += chunk
    lines = data[:end].decode("ascii").split("\r\n")[1:]
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    body, length = data[end + 4 :], int(headers.get("content-length", "0"))
    while len(body) < length:
        chunk = await stream.receive_some()
        if not chunk:
            return None
        body += chunk
    return headers, body


async def _silence(stream: trio.SocketStream) -> bool:
    """Wait without an answer until the sender closes. Returns False: the connection is closed."""
    while await stream.receive_some():
        pass
    return False


def _reset(stream: trio.SocketStream) -> bool:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0_S)
    return False

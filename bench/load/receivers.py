"""Receivers of webhooks on the loopback: each has its moods, verifies what it gets, and keeps a ledger.

They run in a thread of their own. What the ledger says is what arrived, whatever the sender believes.
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
# SO_LINGER of 0 s: closing is a reset.
_AT_ONCE = struct.pack("ii", 1, 0)


class FailureShares(NamedTuple):
    """Shares of requests that are answered 500, not at all, or with a reset."""

    broken: float = 0.0
    silent: float = 0.0
    reset: float = 0.0


@dataclass
class Receipt:
    """One event at one receiver: how often it came, which time was the first that was taken, and when.

    `waits_s` is how long a sender at its usual pace waits after the failures before that: the schedule's
    waits, and the time limits of exchanges that it lets pass.
    """

    arrivals: int = 0
    taken: int = 0
    taken_at_arrival: int = 0
    latency_s: float = 0.0
    waits_s: float = 0.0

    def fail(self, *, silent: bool = False) -> None:
        if not self.taken:
            wait = RETRY_SCHEDULE_S[min(self.arrivals, len(RETRY_SCHEDULE_S) - 1)]
            self.waits_s += ATTEMPT_TIMEOUT_S + max(wait, OVERLOADED_BACKOFF_S) if silent else wait


@dataclass
class Receiver:
    """`ledger` is by the slug of the link that an event is about. While `down` nothing is taken, while
    `hanging` nothing is answered."""

    name: str
    moods: FailureShares
    seed: int
    listener: socket.socket
    verifier: Any = None
    down: bool = False
    hanging: bool = False
    bad: int = 0
    ledger: dict[str, Receipt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)  # noqa: S311

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/{self.name}"

    def trust(self, secret: str) -> None:
        """From here on, what is not signed with this secret counts as bad."""
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
        """One request; whether the connection is still good."""
        if self.down:
            return _reset(stream)
        request = await _request(stream)
        if request is None:
            return False
        entry = self._note(*request)
        mood = self._dice.random() - self.moods.broken
        if mood < 0 and not self.hanging:
            entry.fail()
            await stream.send_all(_BROKEN)
            return True
        if (mood := mood - self.moods.silent) < 0 or self.hanging:
            entry.fail(silent=True)
            return await _silence(stream)
        if mood - self.moods.reset < 0 or self.down:
            entry.fail()
            return _reset(stream)
        self._take(entry, request[1])
        await stream.send_all(_OK)
        return True

    def _note(self, headers: dict[str, str], body: bytes) -> Receipt:
        """The ledger's entry of what arrived; of what is not signed as it must be, one that nobody keeps."""
        try:
            event = self.verifier.verify(body, headers)
            slug = event["data"]["after"]["slug"]
        except Exception:
            self.bad += 1
            return Receipt(taken=1)
        entry = self.ledger.setdefault(slug, Receipt())
        entry.arrivals += 1
        return entry

    def _take(self, entry: Receipt, body: bytes) -> None:
        entry.taken += 1
        if entry.taken == 1:
            entry.taken_at_arrival = entry.arrivals
            happened = datetime.fromisoformat(json.loads(body)["timestamp"]).timestamp()
            entry.latency_s = time.time() - happened


class ReceiverThread:
    """Used as a context manager: entering starts the thread, leaving ends it."""

    def __init__(self) -> None:
        self.receivers: list[Receiver] = []
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=partial(trio.run, self._run), daemon=True)

    def add(self, name: str, moods: FailureShares, seed: int) -> Receiver:
        """Before the farm is entered."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        receiver = Receiver(name, moods, seed, listener)
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
    """Headers by name in lower case, and the body; None when the sender has gone."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = await stream.receive_some()
        if not more or len(data) > MAX_HEAD_BYTES:
            return None
        data += more
    lines = data[:end].decode("ascii").split("\r\n")[1:]
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    body, length = data[end + 4 :], int(headers.get("content-length", "0"))
    while len(body) < length:
        more = await stream.receive_some()
        if not more:
            return None
        body += more
    return headers, body


async def _silence(stream: trio.SocketStream) -> bool:
    """Until the sender gives up."""
    while await stream.receive_some():
        pass
    return False


def _reset(stream: trio.SocketStream) -> bool:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    return False

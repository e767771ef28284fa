"""Load of known requests: an epoll loop in its own process, about 30 µs per request.

Every connection is kept alive and has at most one request in flight. A request counts as answered when its
complete response was received. If the connection ends first, it counts as unanswered: the engine may have
counted it or not. bench/kit/request_account.py keeps the account of all requests.

With `fresh` each request has a connection of its own, made when the request is due: its latency is what a
new visitor waits, from the first packet.

Pace, if `rate` is not 0:

- `patient`: a request without a free connection waits, and its latency counts from when it was due. So a stall
  delays every request that was due meanwhile (no coordinated omission);
- otherwise a request that is more than 100 ms late is skipped, so that the load survives an engine that is
  down.

    python -P -m bench.load.load PLAN ACCOUNT     both are files; it ends at SIGTERM or with its parent
"""

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.kit import request_account
from bench.kit.errors import BenchError
from bench.kit.request_account import (
    CAPACITY,
    FAILED_CONNECTIONS,
    LEAST_US,
    LOST_FIRST,
    LOST_LATER,
    REFUSED,
    UNANSWERED,
    RequestAccount,
)
from bench.load import browsers
from bench.load.processes import BackgroundProcess

LATE_S: Final = 0.1
RETRY_S: Final = 0.02
SWEEP_S: Final = 0.25
ANSWER_LIMIT_S: Final = 10.0
STOP_LIMIT_S: Final = ANSWER_LIMIT_S + 20
MAX_WAIT_S: Final = 0.05
_READ_BYTES: Final = 65_536
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Requests to send. `rate` is requests per second; 0: each connection sends after each response.

    `tagged` requests have their number in the Referer; others are varied requests of browsers. With `once` the
    load ends when each path was asked for. Connections are spread over `port` and `more_ports`, which are
    other machines' edges.
    """

    host: str
    port: int
    paths: Sequence[str]
    more_ports: Sequence[int] = ()
    connections: int = 64
    rate: float = 0.0
    patient: bool = False
    tagged: bool = True
    fresh: bool = False
    once: bool = False


class LoadConnection:
    """A connection. `number` is its request in flight, or -1; latency counts from `since`. `answered`: a
    response has come over it."""

    __slots__ = ("answered", "buffer", "fd", "number", "open", "port", "sent_at", "since", "sock")

    def __init__(self, port: int) -> None:
        self.port = port
        self.sock: socket.socket | None = None
        self.fd = -1
        self.open = self.answered = False
        self.number = -1
        self.since = self.sent_at = 0.0
        self.buffer = b""


class LoadSender:
    """The loop. run() returns when `stopping` is true and no request is in flight."""

    def __init__(self, plan: LoadPlan, account: RequestAccount) -> None:
        self.plan = plan
        self.stopping = False
        self._entries, self._counts = account.entries, account.counts
        self._request = _requests(plan)
        self._last = len(plan.paths) if plan.once else CAPACITY
        self._epoll = select.epoll()
        self._connections: dict[int, LoadConnection] = {}
        self._idle: list[LoadConnection] = []
        self._retries: list[tuple[float, LoadConnection]] = []
        self._next = 0
        self._interval_s = 1 / plan.rate if plan.rate else 0.0
        self._due = 0.0
        self._blocked = False
        self._parent = os.getppid()

    def run(self) -> None:
        ports = (self.plan.port, *self.plan.more_ports)
        for number in range(self.plan.connections):
            self._make_ready(LoadConnection(ports[number % len(ports)]))
        now = self._due = time.monotonic()
        sweep_at = until = now
        while not self.stopping or (self._busy() and now < until):
            if self.stopping:
                wait_s = MAX_WAIT_S
            else:
                until = now + ANSWER_LIMIT_S
                wait_s = self._send_due(now)
            for fd, mask in self._epoll.poll(wait_s):
                self._ready(fd, mask)
            now = time.monotonic()
            if now >= sweep_at:
                sweep_at = now + SWEEP_S
                self._sweep(now)
            while self._retries and self._retries[0][0] <= now:
                self._make_ready(self._retries.pop(0)[1])
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()

    def _busy(self) -> bool:
        return any(connection.number >= 0 for connection in self._connections.values())

    # ---- sending --------------------------------------------------------------------------------

    def _send_due(self, now: float) -> float:
        """Send the requests that are due. Returns how long to wait for events, in s."""
        interval_s, idle = self._interval_s, self._idle
        if not interval_s:
            while idle:
                self._send(idle.pop(), now, now)
            return MAX_WAIT_S
        if not self.plan.patient and self._due < now - LATE_S:
            self._due = now
        while idle and self._due <= now:
            # The engine is to blame for a wait for a connection, but not for a late wake-up.
            self._send(idle.pop(), now, self._due if self._blocked else now)
            self._due += interval_s
        self._blocked = self._due <= now
        return MAX_WAIT_S if self._blocked else min(MAX_WAIT_S, self._due - now)

    def _send(self, connection: LoadConnection, now: float, since: float) -> None:
        number = self._next
        if number >= self._last:
            self.stopping = True
            return
        self._next = number + 1
        # Before the send: from here on the request may have reached the engine.
        self._entries[number] = UNANSWERED
        self._counts[0] = number + 1
        connection.number, connection.since, connection.sent_at = number, since, now
        if self.plan.fresh:
            self._connect(connection)
        else:
            self._write(connection)

    def _write(self, connection: LoadConnection) -> None:
        if connection.sock is None:
            return
        try:
            connection.sock.send(self._request(connection.number))
        except OSError:
            self._drop(connection)

    # ---- connections ----------------------------------------------------------------------------

    def _make_ready(self, connection: LoadConnection) -> None:
        """Have the connection take a request: once it is open, or, with `fresh`, at once."""
        if self.plan.fresh:
            self._idle.append(connection)
        else:
            self._connect(connection)

    def _connect(self, connection: LoadConnection) -> None:
        sock = connection.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex((self.plan.host, connection.port))
        connection.fd = sock.fileno()
        connection.buffer, connection.open, connection.answered = b"", False, False
        self._connections[connection.fd] = connection
        if code not in (0, errno.EINPROGRESS):
            self._drop(connection)
            return
        self._epoll.register(connection.fd, select.EPOLLIN | select.EPOLLOUT)

    def _drop(self, connection: LoadConnection) -> None:
        """Close a broken connection and retry it later; its request in flight stays unanswered."""
        if not connection.open:
            self._counts[FAILED_CONNECTIONS] += 1
        elif connection.number >= 0:
            self._counts[LOST_LATER if connection.answered else LOST_FIRST] += 1
        self._close(connection)
        self._retries.append((time.monotonic() + RETRY_S, connection))

    def _close(self, connection: LoadConnection) -> None:
        self._connections.pop(connection.fd, None)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.number = -1
        if connection.sock is not None:
            connection.sock.close()
            connection.sock = None

    def _sweep(self, now: float) -> None:
        if os.getppid() != self._parent:
            self.stopping = True
        for connection in list(self._connections.values()):
            if connection.number >= 0 and now - connection.sent_at > ANSWER_LIMIT_S:
                self._drop(connection)

    # ---- receiving ------------------------------------------------------------------------------

    def _ready(self, fd: int, mask: int) -> None:
        connection = self._connections.get(fd)
        if connection is None or connection.sock is None:
            return
        if not connection.open:
            if connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._drop(connection)
                return
            connection.open = True
            self._epoll.modify(fd, select.EPOLLIN)
            if connection.number >= 0:
                self._write(connection)
            else:
                self._idle.append(connection)
            return
        try:
            data = connection.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or connection.number < 0:
            self._drop(connection)
            return
        if connection.buffer:
            data = connection.buffer + data
        if data.startswith(b"HTTP/1.1 302 ") and data.endswith(b"\r\nContent-Length: 0\r\n\r\n"):
            self._record_answer(connection, data, redirected=True)
        elif is_complete(data):
            self._record_answer(connection, data, redirected=data.startswith(b"HTTP/1.1 302 "))
        else:
            connection.buffer = data

    def _record_answer(self, connection: LoadConnection, data: bytes, *, redirected: bool) -> None:
        number = connection.number
        if redirected:
            latency_us = int((time.monotonic() - connection.since) * 1e6)
            self._entries[number] = min(max(LEAST_US, latency_us), REFUSED - 1)
            self._counts[1] += 1
        else:
            self._entries[number] = REFUSED
            self._counts[2] += 1
        connection.number, connection.buffer, connection.answered = -1, b"", True
        if self.plan.fresh or b"\r\nConnection: close\r\n" in data:
            self._close(connection)
            self._make_ready(connection)
        else:
            self._idle.append(connection)


def is_complete(data: bytes) -> bool:
    """Return whether `data` holds a response with its head and its complete body."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return True


def _requests(plan: LoadPlan) -> Callable[[int], bytes]:
    """Return a function that returns request n as bytes."""
    host = f"{plan.host}:{plan.port}"
    links = len(plan.paths)
    if not plan.tagged:
        count = links * max(1, 4_000 // links)
        heads = list(
            browsers.request_heads(plan.paths, host, count=count, close=plan.fresh, seed=1)
        )
        return lambda number: heads[number % count]
    starts = [
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {browsers.USER_AGENT}\r\n".encode()
        for path in plan.paths
    ]
    end = request_account.REFERER + b"\r\n"
    return lambda number: starts[number % links] + end % number


class Load:
    """The load's process as a context manager: entering starts it, leaving stops it."""

    def __init__(self, folder: Path, plan: LoadPlan, name: str = "load") -> None:
        self._plan, self._folder, self._name = plan, folder, name
        self._child: BackgroundProcess | None = None
        self.account = RequestAccount(folder / f"{name}.account", make=True)

    def __enter__(self) -> "Load":
        plan = self._folder / f"{self._name}.json"
        plan.write_text(json.dumps(asdict(self._plan)))
        command = [sys.executable, "-P", "-m", "bench.load.load", str(plan)]
        command.append(str(self._folder / f"{self._name}.account"))
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        self._child = BackgroundProcess(command, self._folder / f"{self._name}.log", environment)
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.stop(STOP_LIMIT_S)

    @property
    def pid(self) -> int:
        return self._child.pid if self._child is not None else 0

    def wait_answered(self, requests: int, limit_s: float) -> None:
        """Wait until so many requests are answered, however long the machine takes. Raises BenchError after
        `limit_s`."""
        until = time.monotonic() + limit_s
        while self.account.answered < requests:
            if time.monotonic() > until:
                answered = self.account.answered
                raise BenchError(f"{answered} of {requests} requests answered in {limit_s:g} s")
            time.sleep(RETRY_S)

    def wait_ended(self, limit_s: float) -> None:
        """Wait until a load of `once` has ended by itself. Raises BenchError after `limit_s`, or when it has
        crashed."""
        child, until = self._child, time.monotonic() + limit_s
        while child is not None and child.running():
            if time.monotonic() > until:
                raise BenchError(f"the load did not end within {limit_s:g} s")
            time.sleep(RETRY_S)
        if child is not None and child.process.returncode:
            raise BenchError(f"the load crashed: {child.last_lines()}")

    def stop(self) -> None:
        """Stop sending and wait for responses in flight. Raises BenchError when the load has crashed."""
        child = self._child
        if child is None:
            return
        ended = self._plan.once or child.running()
        if not ended or not child.stop(STOP_LIMIT_S) or child.process.returncode:
            raise BenchError(f"the load crashed: {child.last_lines()}")


def main(plan_file: str, account_file: str) -> None:
    sender = LoadSender(
        LoadPlan(**json.loads(Path(plan_file).read_text())), RequestAccount(Path(account_file))
    )

    def stop(*_: object) -> None:
        sender.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sender.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The visitors' door: an epoll set of our own, nested in the host loop as one reader.

When the set's descriptor turns readable, up to BATCH ready sockets are taken, each is read once, every
request is judged and answered into a list without an await, all their clicks go to the journal in one
write, and only then are the answers sent. Measured against an asyncio Protocol a connection, this batching
is the largest single gain: one wake-up, one journal write and one look at the clock serve the whole batch.

Guarantees:

- No answer to a counted request leaves before its click is in the journal, or counted as unrecorded.
- Requests of one connection are answered in their order, also when one waits for a cold profile.
- Bounded: connections (503 beyond), head bytes and time, idle time, requests that wait in one connection
  and answers that its visitor does not take (it is not read meanwhile, and closed when its time is over).

A connection is closed at once when it breaks the rules. Nothing here trusts what it reads.
"""

import logging
import os
import select
import socket
import time
from collections.abc import Callable
from os import read, write  # looked up once: these run for every request
from typing import Final

from actors.visits.profile import VisitRoute
from actors.visits.registry import Found, Registry
from api.visits.client_resolver import ClientResolver
from api.visits.connection import (
    IN,
    ClickRecorder,
    PseudonymSource,
    VisitorConnection,
    VisitorLimits,
)
from api.visits.head import RefusedHead
from api.visits.limits import VisitRateLimiter
from api.visits.listener import Listener, is_exhausted, turn_away
from api.visits.responses import REFUSALS, StatusLines, without_body
from engine.links.name import canonical_path
from engine.visits.classifier import HEAD_RECORDED, PREFETCH_RECORDED, ClassificationCache
from engine.visits.daily_key import DAY_US
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.request import ClientInfo, VisitRequest

logger = logging.getLogger("waypost.visitors")

BATCH: Final = 64
READ_BYTES: Final = 16 * 1024
MAX_QUEUED_REQUESTS: Final = 128
MAX_UNSENT_BYTES: Final = 64 * 1024  # and one answer more
MAX_DISCARDED_BYTES: Final = 1024 * 1024
WAIT_LIMIT_S: Final = 5.0
LINGER_S: Final = 2.0
_GONE: Final = select.EPOLLHUP | select.EPOLLERR


class VisitorServer:
    """The door. `descriptor` and `on_readable` go to the host loop's `add_reader`; `sweep` runs each second."""

    def __init__(
        self,
        listener: socket.socket,
        registry: Registry,
        recorder: ClickRecorder,
        limits: VisitorLimits,
        origins: ClientResolver,
        keys: PseudonymSource,
        *,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener = Listener(listener)
        self._registry = registry
        self._recorder = recorder
        self._limits = limits
        self._clock_us = clock_us
        self._monotonic = monotonic
        self._origins = origins
        self._keys = keys
        self._visitors: Pseudonymiser | None = None  # of the day of this wake-up
        self.visits = VisitRateLimiter(limits.visits_per_second)
        self._limited = self.visits.enabled
        self._proxied = limits.trusted_hops > 0
        self._idle_s = limits.idle_timeout_ms / 1000
        self._head_s = limits.head_timeout_ms / 1000
        self._lines = StatusLines()
        self._agents = ClassificationCache()
        self._epoll = select.epoll()
        self._connections: dict[int, VisitorConnection] = {}
        self._records: list[bytes] = []
        self._answers: list[tuple[VisitorConnection, bytes]] = []
        self._draining = False
        self._accept_again_at = 0.0
        self.redirects = 0
        self.views = 0
        self.answers_by_status: dict[int, int] = dict.fromkeys(REFUSALS, 0)
        self.accepted = 0
        self.refused = 0
        self.timed_out = 0
        self.errors = 0
        self.unidentified = 0  # visits recorded without a pseudonym, as no key was known
        self._epoll.register(self._listener.descriptor, select.EPOLLIN)

    @property
    def descriptor(self) -> int:
        return self._epoll.fileno()

    @property
    def connections(self) -> int:
        return len(self._connections)

    # ---- one wake-up ----------------------------------------------------------------------------

    def on_readable(self) -> None:
        """Serve what is ready now, a batch at the most; the host calls again while more is."""
        events = self._epoll.poll(0, BATCH)
        self._begin()
        connections, serve = self._connections, self._read
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                if fd == self._listener.descriptor:
                    self._accept()
                continue
            try:
                if mask == select.EPOLLIN:
                    serve(connection)
                else:
                    self._serve(connection, mask)
            except Exception:
                self._contain_error(connection)
        self._finish()

    def _serve(self, connection: VisitorConnection, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._send_rest(connection)
        if mask & _GONE:
            self._close(connection)
        elif mask & IN and connection.mask & IN:
            self._read(connection)

    def _contain_error(self, connection: VisitorConnection) -> None:
        """A mistake of ours with one visitor must not cost the others of the batch their answers."""
        self.errors += 1
        logger.exception("a visitor's connection failed", extra={"event": "visitor_error"})
        self._close(connection)

    def _begin(self) -> None:
        self._now_us = self._clock_us()
        self._now = self._monotonic()
        self._idle_deadline = self._now + self._idle_s
        self._lines.at(self._now_us)
        self._visitors = self._keys.pseudonymiser(self._now_us // DAY_US)

    def _finish(self) -> None:
        """Record, then send: the order that exactness stands on."""
        if self._records:
            self._recorder.append(self._records)
            if self._visitors is None:
                self.unidentified += len(self._records)
            self._records = []
        if self._answers:
            answers, self._answers = self._answers, []
            send = self._send
            for connection, answer in answers:
                send(connection, answer)

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                fd, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if is_exhausted(error):
                    # No descriptors: waiting connections stay in the kernel's queue for a second.
                    self._epoll.modify(self._listener.descriptor, 0)
                    self._accept_again_at = self._now + 1.0
                    self.refused += 1
                    return
                continue
            self.accepted += 1
            if len(self._connections) >= self._limits.max_connections:
                self.refused += 1
                self.answers_by_status[503] += 1
                turn_away(fd)
                continue
            origin = None if self._proxied else self._origins.of_peer(peer)
            limited = self._limited and (origin is None or origin.rate_limit_subject is not None)
            connection = self._connections[fd] = VisitorConnection(
                fd, self._now + self._head_s, peer, origin, limited, behind_proxies=self._proxied
            )
            # Its request is often there already; then a short connection needs no place in the set.
            self._read(connection)
            if not connection.registered and connection.fd >= 0 and not connection.closing:
                connection.registered = True
                self._epoll.register(connection.fd, connection.mask)

    def _read(self, connection: VisitorConnection) -> None:
        try:
            data = read(connection.fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        if not data:
            self._end_of_input(connection)
            return
        request = connection.reader.parse_fast(data)
        if request is not None and connection.waiting is None and not connection.discard:
            connection.deadline = self._idle_deadline
            if connection.limited and self._limit(connection, request):
                return
            route = self._registry.paths.get(request.path)
            if route is None:
                self._answer_cold(connection, request)
            else:
                self._answer_route(connection, request, route)
        else:
            self._read_carefully(connection, data, request)

    def _read_carefully(
        self, connection: VisitorConnection, data: bytes, request: VisitRequest | None
    ) -> None:
        """What is not one plain request of a connection that has nothing else to do."""
        if connection.discard:
            connection.discard -= len(data)
            if connection.discard <= 0:
                self._close(connection)
            return
        fresh = not connection.reader.unfinished
        found = [request] if request is not None else connection.reader.parse_strict(data)
        # A head's limit is for the whole of it, however slowly it drips; a cold answer's is its own.
        if connection.waiting is None and (fresh or found or not connection.reader.unfinished):
            self._allow_time(connection)
        if found:
            connection.queue.extend(found)
            self._answer_queue(connection)

    def _allow_time(self, connection: VisitorConnection) -> None:
        limit_s = self._head_s if connection.reader.unfinished else self._idle_s
        connection.deadline = self._now + limit_s

    def _end_of_input(self, connection: VisitorConnection) -> None:
        connection.ended = True
        if connection.waiting is None and not connection.unsent:
            # What was answered in this batch is sent before the close.
            self._finish()
        if connection.waiting is None and not connection.unsent and not connection.queue:
            self._close(connection)
        else:
            self._watch(connection, self._interest(connection))

    # ---- answering ------------------------------------------------------------------------------

    def _answer_queue(self, connection: VisitorConnection) -> None:
        """Answer what is queued, as far as the bound on unsent bytes lets us, in one piece."""
        queue, answers = connection.queue, self._answers
        first = len(answers)
        if first and answers[-1][0] is connection:
            first -= 1  # to the request that waited
        room = MAX_UNSENT_BYTES - len(connection.unsent)
        while queue and connection.waiting is None and not connection.closing and room > 0:
            self._answer(connection, queue.popleft())
            if connection.waiting is None:
                room -= len(answers[-1][1])
        if len(answers) - first > 1:
            answers[first:] = [(connection, b"".join([answer for _, answer in answers[first:]]))]
        self._watch(connection, self._interest(connection))

    def _interest(self, connection: VisitorConnection) -> int:
        """What to wait for: room for answers, or requests, or nothing but the finder."""
        queue = connection.queue
        if connection.unsent or (queue and connection.waiting is None and not connection.closing):
            return select.EPOLLOUT
        if connection.ended or connection.closing or len(queue) >= MAX_QUEUED_REQUESTS:
            return 0
        return IN

    def _answer(self, connection: VisitorConnection, request: VisitRequest | RefusedHead) -> None:
        if isinstance(request, RefusedHead):
            self._refuse(connection, request.status, request.head_only, close=True)
            return
        if connection.limited and self._limit(connection, request):
            return
        route = self._registry.paths.get(request.path)
        if route is None:
            self._answer_cold(connection, request)
        else:
            self._answer_route(connection, request, route)

    def _limit(self, connection: VisitorConnection, request: VisitRequest) -> bool:
        """Refuse what is more than its sender may ask; whether it was."""
        origin = connection.origin or self._origin(connection, request)
        if self.visits.admits(origin, int(self._now * 1e6)):
            return False
        self._refuse(connection, 429, request.head_only, close=not request.keep_alive)
        return True

    def _origin(self, connection: VisitorConnection, request: VisitRequest) -> ClientInfo:
        """Where a request comes from whose connection does not tell, or not any more."""
        if self._proxied:
            return self._origins.of_forwarded(connection.peer, request.forwarded_for)
        origin = connection.origin = self._origins.of_peer(connection.peer)
        return origin

    def places_changed(self) -> None:
        """Another geo file is in place: what was looked up before is looked up again."""
        self._origins.forget()
        for connection in self._connections.values():
            connection.origin = None

    def _answer_route(
        self, connection: VisitorConnection, request: VisitRequest, route: VisitRoute
    ) -> None:
        verdict = self._agents[request.user_agent]
        if request.head_only:
            verdict = HEAD_RECORDED
        elif request.prefetch:
            verdict = PREFETCH_RECORDED
        origin = connection.origin or self._origin(connection, request)
        tail, record = route.actor.visit(
            route, request, origin, self._visitors, verdict, self._now_us
        )
        self._records.append(record)
        if route.status == 200:
            self.views += 1
        else:
            self.redirects += 1
        if request.keep_alive and (connection.queue or not self._draining):
            answer = self._lines.keep[route.status] + tail
        else:
            answer = self._lines.close[route.status] + tail
            connection.closing = True
        if request.head_only and route.status == 200:
            answer = without_body(answer)
        self._answers.append((connection, answer))

    def _answer_cold(self, connection: VisitorConnection, request: VisitRequest) -> None:
        path = canonical_path(request.path)
        if path is None:
            self._refuse(connection, 404, request.head_only, close=not request.keep_alive)
            return
        route = self._registry.paths.get(path)
        if route is not None:
            self._answer_route(connection, request, route)
        elif self._registry.is_unknown(path):
            self._refuse(connection, 404, request.head_only, close=not request.keep_alive)
        elif self._registry.wait(path, connection):
            connection.waiting = request
            connection.deadline = self._now + WAIT_LIMIT_S
        else:
            self._refuse(connection, 503, request.head_only, close=not request.keep_alive)

    def deliver(self, found: list[Found], available: bool) -> None:
        """The registry's finder hands back connections that waited, each with its route or None."""
        self._begin()
        for waiters, route in found:
            for connection in waiters:
                request, connection.waiting = connection.waiting, None
                if request is None or connection.fd < 0:
                    continue
                try:
                    self._allow_time(connection)
                    self._answer_found(connection, request, route, 404 if available else 503)
                    self._answer_queue(connection)
                except Exception:
                    self._contain_error(connection)
        self._finish()

    def _answer_found(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute | None,
        otherwise: int,
    ) -> None:
        if route is not None:
            self._answer_route(connection, request, route)
        else:
            self._refuse(connection, otherwise, request.head_only, close=not request.keep_alive)

    def _refuse(
        self, connection: VisitorConnection, status: int, head_only: bool, *, close: bool
    ) -> None:
        self.answers_by_status[status] += 1
        close = close or (self._draining and not connection.queue)
        answer = (self._lines.close if close else self._lines.keep)[status] + REFUSALS[status]
        if close:
            connection.closing = connection.linger = True
            connection.queue.clear()
        self._answers.append((connection, without_body(answer) if head_only else answer))

    # ---- sending and closing --------------------------------------------------------------------

    def _send(self, connection: VisitorConnection, answer: bytes) -> None:
        if connection.unsent or connection.fd < 0:
            connection.unsent += answer
            return
        try:
            sent = write(connection.fd, answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        if sent != len(answer):
            connection.unsent = answer[sent:]
            self._watch(connection, select.EPOLLOUT)
        elif connection.closing or connection.ended:
            self._after_answer(connection)

    def _send_rest(self, connection: VisitorConnection) -> None:
        if connection.unsent:
            try:
                sent = write(connection.fd, connection.unsent)
            except BlockingIOError:
                return
            except OSError:
                self._close(connection)
                return
            connection.unsent = connection.unsent[sent:]
            if connection.unsent:
                return
        self._after_answer(connection)
        if connection.fd >= 0 and not connection.discard:
            self._answer_queue(connection)

    def _after_answer(self, connection: VisitorConnection) -> None:
        if connection.closing:
            if connection.linger and not connection.ended:
                self._linger(connection)
            else:
                self._close(connection)
        elif connection.ended and connection.waiting is None and not connection.queue:
            self._close(connection)

    def _linger(self, connection: VisitorConnection) -> None:
        """Take and drop what is still on its way, for a while: closing with bytes unread would send a
        reset, which can destroy the last answer before it was read (RFC 9112 9.6)."""
        try:
            connection.end_output()
        except OSError:
            self._close(connection)
            return
        connection.discard = MAX_DISCARDED_BYTES
        connection.deadline = self._now + LINGER_S
        connection.linger = False
        self._watch(connection, IN)
        if not connection.registered:
            connection.registered = True
            self._epoll.register(connection.fd, connection.mask)

    def _watch(self, connection: VisitorConnection, mask: int) -> None:
        if connection.fd < 0 or mask == connection.mask:
            return
        connection.mask = mask
        if connection.registered:
            self._epoll.modify(connection.fd, mask)
        elif mask:
            connection.registered = True
            self._epoll.register(connection.fd, mask)

    def _close(self, connection: VisitorConnection) -> None:
        if connection.fd < 0:
            return
        del self._connections[connection.fd]
        os.close(connection.fd)  # leaves the epoll set with its last descriptor
        connection.fd = -1
        connection.queue.clear()

    # ---- time -----------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Close what is past its deadline; begin accepting again after descriptors ran out."""
        self._begin()
        if self._accept_again_at and self._now >= self._accept_again_at and not self._draining:
            self._accept_again_at = 0.0
            self._epoll.modify(self._listener.descriptor, select.EPOLLIN)
        for connection in list(self._connections.values()):
            if connection.deadline > self._now:
                continue
            self.timed_out += not connection.discard
            if connection.waiting is not None:
                head_only, connection.waiting = connection.waiting.head_only, None
                self._refuse(connection, 503, head_only, close=True)
            elif connection.reader.unfinished and not connection.unsent and not connection.discard:
                self._refuse(connection, 408, False, close=True)
            else:
                self._close(connection)
        self._finish()

    def drain(self) -> None:
        """Stop accepting; answer what has arrived, then close: each connection with its next answer."""
        self._draining = True
        self._epoll.unregister(self._listener.descriptor)
        self.on_readable()
        for connection in list(self._connections.values()):
            idle = connection.waiting is None and not connection.unsent and not connection.queue
            if idle and not connection.reader.unfinished:
                self._begin()
                self._read(connection)
                self._finish()
                busy = connection.waiting or connection.unsent or connection.queue
                if not busy and not connection.discard:
                    self._close(connection)

    def close(self) -> None:
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()

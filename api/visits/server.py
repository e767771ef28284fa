"""The visitor server: an epoll set of its own, nested in the host loop as one reader.

When the set's descriptor turns readable, up to BATCH ready sockets are taken, each is read once, every
request is classified and answered into a list without an await, all their clicks go to the journal in one
write, and only then are the responses sent: the largest single gain over an asyncio Protocol.

Guarantees:

- No response to a counted request leaves before its click is in the journal, or counted as unrecorded.
- Requests of one connection are answered in their order, also when one waits for a cold profile.
- Bounded: connections, in all and of an address (idle ones are closed for new ones, 503 beyond), head bytes
  and time, idle time, requests that wait in one connection and responses that its visitor does not take (it
  is not read meanwhile, and closed when its time is over).
- A connection that breaks the rules is closed at once. Nothing here trusts what it reads.
"""

import select
import socket
import time
from collections.abc import Callable
from os import read  # looked up once: it runs for every request
from typing import Final

from actors.visits.qr_codes import QrCodes
from actors.visits.registry import Found, Registry
from actors.visits.route import VisitRoute
from api.visits.answers.cold_answers import ColdAnswers
from api.visits.client_resolver import ClientResolver
from api.visits.connection import IN, VisitorConnection
from api.visits.connection_set import ConnectionSet
from api.visits.connection_shares import ConnectionShares
from api.visits.head import HeadParser
from api.visits.head_memory import HeadMemory
from api.visits.limits import VisitRateLimiter
from api.visits.listener import Listener, is_exhausted, turn_away
from api.visits.pages.fixed_files import FixedFiles
from api.visits.ports import ClickRecorder, PseudonymSource, VisitorLimits
from api.visits.responses import REFUSALS, StatusLines, without_body
from api.visits.strict_head import RefusedHead
from engine.visits.classifier import HEAD_RECORDED, PREFETCH_RECORDED, ClassificationCache
from engine.visits.daily_key import DAY_US
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.request import ClientInfo, Visit, VisitRequest

BATCH: Final = 64
READ_BYTES: Final = 16 * 1024
MAX_UNSENT_BYTES: Final = 64 * 1024  # and one response more
DRAIN_GRACE_S: Final = 1.0
_NOT_MODIFIED: Final = 304
_GONE: Final = select.EPOLLHUP | select.EPOLLERR


class VisitorServer(ColdAnswers):
    """`descriptor` and `on_readable` go to the host loop's `add_reader`; call `sweep` once a second."""

    def __init__(
        self,
        listener: socket.socket,
        registry: Registry,
        recorder: ClickRecorder,
        limits: VisitorLimits,
        clients: ClientResolver,
        pseudonyms: PseudonymSource,
        qr_codes: QrCodes,
        *,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._listener = Listener(listener)
        self._registry = registry
        self._recorder = recorder
        self._clock_us = clock_us
        self._monotonic = monotonic
        self._clients = clients
        self._pseudonyms = pseudonyms
        self.qr_codes = qr_codes
        self._pseudonymiser: Pseudonymiser | None = None  # of the day of this wake-up
        self.visits = VisitRateLimiter(limits.visits_per_second)
        self._limited = self.visits.enabled
        self._proxied = limits.trusted_hops > 0
        self._idle_s, self._head_s = limits.idle_timeout_ms / 1000, limits.head_timeout_ms / 1000
        self._lines = StatusLines()
        self._files = FixedFiles(limits.security_contact)
        self._classifications = ClassificationCache()
        self.heads = HeadMemory(limits.max_head_bytes)
        shares = ConnectionShares(limits.connections_per_address, proxied=self._proxied)
        self._connections = ConnectionSet(monotonic, shares, limits.max_connections)
        self._records: list[bytes] = []
        self._responses: list[tuple[VisitorConnection, bytes]] = []
        self._draining = False
        self._accept_again_at = 0.0
        self._connections.epoll.register(self._listener.descriptor, select.EPOLLIN)

    @property
    def descriptor(self) -> int:
        return self._connections.epoll.fileno()

    # ---- one wake-up ----------------------------------------------------------------------------

    def on_readable(self) -> None:
        """Serve what is ready, at most a batch; the host loop calls again while more is."""
        events = self._connections.epoll.poll(0, BATCH)
        self._begin()
        connections, read_request = self._connections.by_descriptor, self._read
        accepts = False
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                accepts = accepts or fd == self._listener.descriptor
                continue
            try:
                if mask == select.EPOLLIN:
                    read_request(connection)
                else:
                    self._serve(connection, mask)
            except Exception:
                self._contain_error(connection)
        if accepts:
            # At the end: accepting may close connections, and their descriptors get new ones, for which the
            # events above are not.
            self._accept()
        if self.heads.exceeded:
            self._shed_heads()
        self._finish()

    def _serve(self, connection: VisitorConnection, mask: int) -> None:
        if mask & select.EPOLLOUT and self._connections.send_unsent(connection):
            self._answer_kept(connection)
        if mask & _GONE:
            self._connections.close(connection)
        elif mask & IN and connection.mask & IN:
            self._read(connection)

    def _begin(self) -> None:
        self._now_us = self._clock_us()
        self._now = self._monotonic()
        self._idle_deadline = self._now + self._idle_s
        self._lines.at(self._now_us)
        self._pseudonymiser = self._pseudonyms.pseudonymiser(self._now_us // DAY_US)

    def _finish(self) -> None:
        """Record, then send: exactness depends on this order."""
        if self._records:
            self._recorder.append(self._records)
            if self._pseudonymiser is None:
                self.unidentified += len(self._records)
            self._records = []
        if self._responses:
            responses, self._responses = self._responses, []
            send = self._connections.send
            for connection, response in responses:
                send(connection, response)

    def _accept(self) -> None:
        """Accept connections, at most a batch, and read each: its request is often there already."""
        for _ in range(BATCH):
            try:
                fd, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if not is_exhausted(error):
                    continue
                if self._connections.make_room(None, self._idle_deadline):
                    continue
                # No descriptors: waiting connections stay in the kernel's queue for a second.
                self._connections.epoll.modify(self._listener.descriptor, 0)
                self._accept_again_at = self._now + 1.0
                self.refused_by_reason["descriptors"] += 1
                return
            self._admit(fd, peer)

    def _admit(self, fd: int, peer: str) -> None:
        """Take an accepted connection in and read it, or turn it away as there are too many."""
        self.accepted += 1
        networks = self._connections.shares.networks_of(peer)
        lacking = self._connections.lacking(networks, self._idle_deadline)
        if lacking is not None:
            self.refused_by_reason[lacking] += 1
            self.refusals_by_status[503] += 1
            turn_away(fd)
            return
        connection = self._open(fd, peer, networks)
        try:
            self._read(connection)
            # A short connection that is answered already needs no place in the epoll set.
            if connection.fd >= 0 and not connection.closing:
                self._connections.register(connection)
        except Exception:
            self._contain_error(connection)

    def _open(self, fd: int, peer: str, networks: tuple[str, ...]) -> VisitorConnection:
        connection = self._connection(fd, peer, networks)
        self._connections.add(connection)
        return connection

    def _connection(self, fd: int, peer: str, networks: tuple[str, ...]) -> VisitorConnection:
        client = None if self._proxied else self._clients.of_peer(peer)
        limited = self._limited and (client is None or client.rate_limit_subject is not None)
        return VisitorConnection(
            fd,
            self._now + self._head_s,
            peer,
            client,
            limited,
            networks=networks,
            parser=self._first_parser(),
        )

    def _new_parser(self) -> HeadParser:
        return HeadParser(self.heads, behind_proxies=self._proxied)

    def _first_parser(self) -> HeadParser:
        """Return the parser that a connection begins with."""
        return self._new_parser()

    # ---- reading --------------------------------------------------------------------------------

    def _read(self, connection: VisitorConnection, data: bytes = b"") -> None:
        """Read the connection once, unless `data` has been read of it already, and serve what came."""
        if not data:
            try:
                data = read(connection.fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._connections.close(connection)
                return
            if not data:
                self._end_of_input(connection)
                return
        request = connection.parser.parse_fast(data)
        if request is not None and connection.waiting is None and not connection.discard:
            connection.deadline = self._idle_deadline
            if connection.limited and self._limit(connection, request):
                return
            if self.hosts.decides and self._answer_host(connection, request):
                return
            route = self._registry.paths.get(request.path)
            if route is None:
                self._answer_cold(connection, request)
            else:
                self._answer_route(connection, request, route)
        else:
            self._read_slowly(connection, data)

    def _read_slowly(self, connection: VisitorConnection, data: bytes) -> None:
        """Read pipelined, partial or unusual input, or while another request waits."""
        if connection.discard:
            connection.discard -= len(data)
            if connection.discard <= 0:
                self._connections.close(connection)
            return
        parser = connection.parser
        fresh = not parser.kept_bytes
        parser.feed(data)
        answered = self._answer_kept(connection)
        # A head's time limit is for the whole of it, however slowly it drips; a cold request has its own.
        if connection.waiting is None and (answered or (fresh and parser.kept_bytes)):
            self._allow_time(connection)

    def _shed_heads(self) -> None:
        """Refuse the requests whose time is over first, until a sixteenth of the heads' memory is free.

        A visitor's head is whole within some round trips, so it is refused after those that stay unfinished.
        """
        enough_bytes = self.heads.max_kept_bytes * 15 // 16
        for connection in self._connections.keeping_heads():
            if self.heads.kept_bytes <= enough_bytes:
                return
            self.heads_shed += 1
            self._give_up(connection, 503)

    def _allow_time(self, connection: VisitorConnection) -> None:
        limit_s = self._head_s if connection.parser.unfinished else self._idle_s
        connection.deadline = self._now + limit_s

    def _end_of_input(self, connection: VisitorConnection) -> None:
        connection.ended = True
        if connection.waiting is None and not connection.unsent:
            # Responses of this batch are sent before the close.
            self._finish()
        if connection.waiting is None and not connection.unsent and not connection.has_request:
            self._connections.close(connection)
        else:
            self._connections.watch(connection, connection.interest)

    # ---- answering ------------------------------------------------------------------------------

    def _answer_kept(self, connection: VisitorConnection) -> bool:
        """Answer the whole heads that are kept, as far as the bound on unsent bytes allows, in one piece.

        Returns whether there was one.
        """
        parser, responses = connection.parser, self._responses
        answered = False
        first = len(responses)
        if first and responses[-1][0] is connection:
            first -= 1  # to the request that waited
        free_bytes = MAX_UNSENT_BYTES - len(connection.unsent)
        while connection.waiting is None and not connection.closing and free_bytes > 0:
            head = parser.take()
            if head is None:
                break
            answered = True
            self._answer(connection, head)
            if connection.waiting is None:
                free_bytes -= len(responses[-1][1])
        if len(responses) - first > 1:
            joined = b"".join([response for _, response in responses[first:]])
            responses[first:] = [(connection, joined)]
        self._connections.watch(connection, connection.interest)
        return answered

    def _answer(self, connection: VisitorConnection, request: VisitRequest | RefusedHead) -> None:
        if isinstance(request, RefusedHead):
            self._refuse(connection, request.status, request.head_only, close=True)
            return
        if connection.limited and self._limit(connection, request):
            return
        if self.hosts.decides and self._answer_host(connection, request):
            return
        route = self._registry.paths.get(request.path)
        if route is None:
            self._answer_cold(connection, request)
        else:
            self._answer_found(connection, request, route)

    def _limit(self, connection: VisitorConnection, request: VisitRequest) -> bool:
        """Refuse a request over its client's rate limit. Returns whether it was refused."""
        client = connection.client or self._resolve_client(connection, request)
        if self.visits.admits(client, int(self._now * 1e6)):
            return False
        self._refuse(connection, 429, request.head_only, close=not request.keep_alive)
        return True

    def _resolve_client(self, connection: VisitorConnection, request: VisitRequest) -> ClientInfo:
        """Return the client of a request whose connection does not know it, or not since places changed."""
        if self._proxied:
            return self._clients.of_forwarded(connection.peer, request.forwarded_for)
        client = connection.client = self._clients.of_peer(connection.peer)
        return client

    def places_changed(self) -> None:
        """Look all places up again, as another geo file is in use."""
        self._clients.forget()
        for connection in self._connections.by_descriptor.values():
            connection.client = None

    def _answer_route(
        self, connection: VisitorConnection, request: VisitRequest, route: VisitRoute
    ) -> None:
        classification = self._classifications[request.user_agent]
        if request.head_only:
            classification = HEAD_RECORDED
        elif request.prefetch:
            classification = PREFETCH_RECORDED
        client = connection.client or self._resolve_client(connection, request)
        status, gate = route.status, route.gate
        if gate is not None:
            closed = gate.closed(request, self._now_us, classification)
            if closed is not None:
                self._answer_closed(connection, request, route, closed)
                return
        visit = Visit(request, client, classification, self._now_us, self._pseudonymiser)
        tail, record = route.actor.visit(route, visit)
        if not record:
            self._let_wait_for_page(connection, route, visit)
            return
        if visit.not_modified:
            status = _NOT_MODIFIED
        self._records.append(record)
        self.visits_by_status[status] += 1
        if request.keep_alive and (not self._draining or connection.has_request):
            response = self._lines.keep[status] + tail
        else:
            response = self._lines.close[status] + tail
            connection.closing = True
        if request.head_only:
            response = without_body(response)
        self._responses.append((connection, response))

    def _visit_of(self, request: VisitRequest, client: ClientInfo) -> Visit:
        classification = self._classifications[request.user_agent]
        return Visit(request, client, classification, self._now_us, self._pseudonymiser)

    def deliver(self, results: list[Found], available: bool) -> None:
        """Answer connections that waited: the registry's finder returns them, each with its route or None.

        `available`: storage could be asked, so None means that the path leads nowhere.
        """
        self._begin()
        for waiters, route in results:
            for connection in waiters:
                request, connection.waiting = connection.waiting, None
                if request is None or connection.fd < 0:
                    continue
                try:
                    if route is not None:
                        self._answer_found(connection, request, route)
                    elif available:
                        self._answer_miss(connection, request)
                    else:
                        close = not request.keep_alive
                        self._refuse(connection, 503, request.head_only, close=close)
                    self._answer_kept(connection)
                    if connection.waiting is None:
                        self._allow_time(connection)
                except Exception:
                    self._contain_error(connection)
        self._finish()

    def _refuse(
        self, connection: VisitorConnection, status: int, head_only: bool, *, close: bool
    ) -> None:
        self.refusals_by_status[status] += 1
        if self._respond(connection, status, REFUSALS[status], head_only, close=close):
            connection.linger = True
            connection.parser.clear()

    def _respond(
        self,
        connection: VisitorConnection,
        status: int,
        tail: bytes,
        head_only: bool,
        *,
        close: bool,
    ) -> bool:
        """Send what is no visit's response. Returns whether it is the connection's last."""
        close = close or (self._draining and not connection.has_request)
        response = (self._lines.close if close else self._lines.keep)[status] + tail
        connection.closing = connection.closing or close
        self._responses.append((connection, without_body(response) if head_only else response))
        return close

    # ---- time -----------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Close connections past their deadline; accept again after descriptors ran out."""
        self._begin()
        self._connections.forget_searches()
        if self._accept_again_at and self._now >= self._accept_again_at and not self._draining:
            self._accept_again_at = 0.0
            self._connections.epoll.modify(self._listener.descriptor, select.EPOLLIN)
        for connection in list(self._connections.by_descriptor.values()):
            if connection.deadline > self._now:
                continue
            self.timed_out += not (connection.discard or self._draining)
            if connection.waiting is not None:
                self._give_up(connection, 503)
            elif connection.parser.unfinished and not connection.unsent and not connection.discard:
                self._give_up(connection, 408)
            else:
                self._connections.close(connection)
        self._finish()

    def _give_up(self, connection: VisitorConnection, status: int) -> None:
        """Refuse the request that waits or is unfinished, and end the connection."""
        waiting, connection.waiting = connection.waiting, None
        self._refuse(connection, status, waiting is not None and waiting.head_only, close=True)

    def drain(self) -> None:
        """Stop accepting; answer what arrives within DRAIN_GRACE_S, then close: each connection with its next
        response.

        A connection that is closed at once may have a request on its way, which its visitor has to repeat.
        """
        self._draining = True
        self._connections.epoll.unregister(self._listener.descriptor)
        self.on_readable()
        last = self._now + DRAIN_GRACE_S
        for connection in self._connections.by_descriptor.values():
            if not (connection.waiting or connection.unsent or connection.parser.kept_bytes):
                connection.deadline = min(connection.deadline, last)

    def close(self) -> None:
        self._connections.close_all()

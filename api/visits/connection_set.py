"""Open connections of the visitor server: their place in the epoll set, what is sent to them, how they end."""

import heapq
import os
import select
from collections.abc import Callable
from operator import attrgetter, itemgetter
from os import write  # looked up once: it runs for every response
from typing import Final

from api.visits.connection import IN, VisitorConnection
from api.visits.connection_shares import ConnectionShares

MAX_CLOSED_AT_ONCE: Final = 128  # closing a connection takes about 5 µs
MAX_ALL_UNSENT_BYTES: Final = (
    256 * 1024 * 1024
)  # a picture has up to 2 MiB, and 10,000 visitors may take none of it
MAX_DISCARDED_BYTES: Final = 1024 * 1024
LINGER_S: Final = 2.0
SEARCH_AGAIN_S: Final = 0.1

_ORDER: Final = itemgetter(0, 1)


class ConnectionSet:
    """Connections by descriptor, and the epoll set that they wait in. Never blocks."""

    def __init__(
        self, monotonic: Callable[[], float], shares: ConnectionShares, max_connections: int
    ) -> None:
        self.epoll = select.epoll()
        self.shares = shares
        self.max_connections = max_connections
        self.evicted = 0
        self.unsent_bytes = 0  # of all connections
        self.responses_shed = 0  # connections closed, as too many bytes of responses were kept
        self._no_search_before: dict[str | None, float] = {}
        self.by_descriptor: dict[int, VisitorConnection] = {}
        self._monotonic = monotonic

    def add(self, connection: VisitorConnection) -> None:
        """Take a connection in; it waits in the epoll set once register() or watch() has put it there."""
        self.by_descriptor[connection.fd] = connection
        self.shares.take(connection.networks)

    def make_room(self, network: str | None, before: float) -> bool:
        """Close connections that wait for their client, the longest waiting first: of `network`, or of all.

        A connection whose deadline is not earlier than `before` stays: it has sent a request in this wake-up.
        Returns whether there is room. A search looks at every connection, so it closes several, and where it
        finds none, no search follows for SEARCH_AGAIN_S.
        """
        now = self._monotonic()
        if now < self._no_search_before.get(network, 0.0):
            return False
        candidates: list[tuple[int, float, VisitorConnection]] = []
        for connection in self.by_descriptor.values():
            if connection.deadline < before and (network is None or network in connection.networks):
                order = connection.eviction_order()
                if order is not None:
                    candidates.append((order, connection.deadline, connection))
        if not candidates:
            self._no_search_before[network] = now + SEARCH_AGAIN_S
            return False
        count = min(max(1, len(candidates) // 16), MAX_CLOSED_AT_ONCE)
        for _, _, connection in heapq.nsmallest(count, candidates, _ORDER):
            self.close(connection)
        self.evicted += count
        return True

    def lacking(self, networks: tuple[str, ...], idle_deadline: float) -> str | None:
        """Make room for one connection more. Returns what it lacks, if there is none."""
        network = self.shares.exceeded(networks)
        if network is not None and not self.make_room(network, idle_deadline):
            return "address"
        if len(self.by_descriptor) < self.max_connections:
            return None
        return None if self.make_room(None, idle_deadline) else "connections"

    def keeping_heads(self) -> list[VisitorConnection]:
        """Return the connections of which bytes of heads are kept, by their deadlines."""
        keeping = [c for c in self.by_descriptor.values() if c.parser.kept_bytes]
        return sorted(keeping, key=attrgetter("deadline"))

    def forget_searches(self) -> None:
        """Forget where make_room() found nothing. Call it now and then: the networks are the clients'."""
        self._no_search_before.clear()

    def register(self, connection: VisitorConnection) -> None:
        if not connection.registered:
            connection.registered = True
            self.epoll.register(connection.fd, connection.mask)

    def watch(self, connection: VisitorConnection, mask: int) -> None:
        """Wait for these events of the connection; 0: for none."""
        if connection.fd < 0 or mask == connection.mask:
            return
        connection.mask = mask
        if connection.registered:
            self.epoll.modify(connection.fd, mask)
        elif mask:
            self.register(connection)

    def send(self, connection: VisitorConnection, response: bytes) -> None:
        """Send a response, or keep what does not fit until the visitor takes it."""
        if connection.fd < 0:
            return
        if connection.unsent:
            self._keep(connection, connection.unsent + response)
            return
        try:
            sent = write(connection.fd, response)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close(connection)
            return
        if sent != len(response):
            self.keep_rest(connection, response[sent:])
        elif connection.closing or connection.ended:
            self.after_response(connection)

    def keep_rest(self, connection: VisitorConnection, rest: bytes) -> None:
        """Keep the part of a response that the connection did not take, and wait until it takes more."""
        self.watch(connection, select.EPOLLOUT)
        self._keep(connection, rest)

    def send_unsent(self, connection: VisitorConnection) -> bool:
        """Send more of what is kept. Returns whether the connection is open and has nothing left to send."""
        if connection.unsent:
            try:
                sent = write(connection.fd, connection.unsent)
            except BlockingIOError:
                return False
            except OSError:
                self.close(connection)
                return False
            self._keep(connection, connection.unsent[sent:])
            if connection.unsent:
                return False
        self.after_response(connection)
        return connection.fd >= 0 and not connection.discard

    def _keep(self, connection: VisitorConnection, unsent: bytes) -> None:
        """Keep what a visitor has not taken. Beyond the bound of all, close those that wait longest."""
        self.unsent_bytes += len(unsent) - len(connection.unsent)
        connection.unsent = unsent
        if self.unsent_bytes <= MAX_ALL_UNSENT_BYTES:
            return
        enough_bytes = MAX_ALL_UNSENT_BYTES * 15 // 16
        waiting = [each for each in self.by_descriptor.values() if each.unsent]
        for each in sorted(waiting, key=attrgetter("deadline")):
            if self.unsent_bytes <= enough_bytes:
                return
            self.responses_shed += 1
            self.close(each)

    def after_response(self, connection: VisitorConnection) -> None:
        """End the connection if its last response has been sent."""
        if connection.closing:
            if connection.linger and not connection.ended:
                self._linger(connection)
            else:
                self.close(connection)
        elif connection.ended and connection.waiting is None and not connection.has_request:
            self.close(connection)

    def _linger(self, connection: VisitorConnection) -> None:
        """Receive and drop what is still on its way, for a while: closing with bytes unread would send a
        reset, which can destroy the last response before it was read (RFC 9112 9.6)."""
        try:
            connection.end_output()
        except OSError:
            self.close(connection)
            return
        connection.discard = MAX_DISCARDED_BYTES
        connection.deadline = self._monotonic() + LINGER_S
        connection.linger = False
        self.watch(connection, IN)
        self.register(connection)

    def close(self, connection: VisitorConnection) -> None:
        if connection.fd < 0:
            return
        del self.by_descriptor[connection.fd]
        self.shares.give_back(connection.networks)
        os.close(connection.fd)  # leaves the epoll set with its last descriptor
        connection.fd = -1
        self.unsent_bytes -= len(connection.unsent)
        connection.unsent = b""
        connection.parser.clear()

    def close_all(self) -> None:
        for connection in list(self.by_descriptor.values()):
            self.close(connection)
        self.epoll.close()

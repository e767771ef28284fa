"""One visitor's connection, as the door keeps it, and what the door is given."""

import select
import socket
from collections import deque
from typing import Final, Protocol

from api.visits.head import HeadParser, RefusedHead
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.request import ClientInfo, VisitRequest

IN: Final = select.EPOLLIN | select.EPOLLRDHUP


class ClickRecorder(Protocol):
    """Where clicks go; the journal."""

    def append(self, records: list[bytes]) -> bool: ...


class PseudonymSource(Protocol):
    """Where a day's pseudonyms come from."""

    def pseudonymiser(self, day: int) -> Pseudonymiser | None:
        """Of a day since 1970 in UTC; None while no key is known for it."""


class VisitorLimits(Protocol):
    @property
    def max_connections(self) -> int: ...

    @property
    def head_timeout_ms(self) -> int: ...

    @property
    def idle_timeout_ms(self) -> int: ...

    @property
    def visits_per_second(self) -> int: ...

    @property
    def trusted_hops(self) -> int: ...


class VisitorConnection:
    """A descriptor, not blocking, and what is known of who is at its other end."""

    __slots__ = (
        "closing", "deadline", "discard", "ended", "fd", "limited", "linger", "mask", "origin", "peer",
        "queue", "reader", "registered", "unsent", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        fd: int,
        deadline: float,
        peer: str,
        origin: ClientInfo | None,
        limited: bool,
        *,
        behind_proxies: bool,
    ) -> None:
        self.fd = fd  # -1 once closed
        self.peer = peer  # the address at its other end
        self.origin = origin  # None: each request has its own, or it is to be looked up again
        self.limited = limited  # its requests are counted
        self.reader = HeadParser(behind_proxies=behind_proxies)
        self.deadline = deadline
        self.queue: deque[VisitRequest | RefusedHead] = deque()
        self.unsent = b""
        self.waiting: VisitRequest | None = None
        self.closing = False  # the answer in hand is the last one
        self.ended = False  # the visitor will send nothing more
        self.linger = False  # unread bytes may be on their way
        self.discard = 0  # bytes still taken, and dropped, after the last answer
        self.registered = False
        self.mask = IN

    def end_output(self) -> None:
        """Tell the visitor that nothing more comes. Raises OSError when they are gone."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, self.fd)
        try:
            sock.shutdown(socket.SHUT_WR)
        finally:
            sock.detach()

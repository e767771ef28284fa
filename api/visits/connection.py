"""A visitor's connection, as the visitor server keeps it."""

import select
import socket
from typing import Final

from api.visits.head import HeadParser
from engine.visits.request import ClientInfo, VisitRequest

IN: Final = select.EPOLLIN | select.EPOLLRDHUP


class VisitorConnection:
    """A descriptor that does not block, and the state of the visitor at its other end."""

    __slots__ = (
        "client", "closing", "deadline", "discard", "ended", "fd", "first_deadline", "limited", "linger",
        "mask", "networks", "parser", "peer", "registered", "unsent", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        fd: int,
        deadline: float,
        peer: str,
        client: ClientInfo | None,
        limited: bool,
        *,
        networks: tuple[str, ...],
        parser: HeadParser,
    ) -> None:
        self.fd = fd  # -1 once closed
        self.peer = peer  # the address at its other end
        self.client = client  # None: each request names its own, or it must be resolved again
        self.limited = limited  # its requests count against the rate limit
        self.parser = parser
        self.networks = networks  # for which it counts among the shares
        self.deadline = self.first_deadline = deadline
        self.unsent = b""
        self.waiting: VisitRequest | None = None  # the request whose profile is being loaded
        self.closing = False  # the response in hand is the last one
        self.ended = False  # the visitor will send nothing more
        self.linger = False  # unread bytes may be on their way
        self.discard = 0  # bytes still received, and dropped, after the last response
        self.registered = False
        self.mask = IN

    def eviction_order(self) -> int | None:
        """Return how early the connection is closed for want of room; None: never, as its answer is on the way.

        First come those between two requests, as every client expects it of them, then those whose visitor
        takes no responses, then those that have sent no whole head.
        """
        if self.unsent:
            return 1
        if self.waiting is not None or self.has_request or self.closing or self.ended:
            return None
        is_reading_head = self.parser.unfinished or self.deadline == self.first_deadline
        return 2 if is_reading_head else 0

    @property
    def has_request(self) -> bool:
        """Whether a whole head is kept that has not been answered."""
        return self.parser.peek() is not None

    @property
    def interest(self) -> int:
        """The events to wait for: space for responses, requests, or none while a profile is loaded."""
        if self.unsent:
            return select.EPOLLOUT
        if self.ended or self.closing:
            return 0
        if not self.has_request:
            return IN
        return 0 if self.waiting is not None else select.EPOLLOUT

    def end_output(self) -> None:
        """Tell the visitor that nothing more comes. Raises OSError when they are gone."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, self.fd)
        try:
            sock.shutdown(socket.SHUT_WR)
        finally:
            sock.detach()

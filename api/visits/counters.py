"""Counters of a visitor server, which its metrics read."""

import logging

from api.visits.connection import VisitorConnection
from api.visits.connection_set import ConnectionSet
from api.visits.responses import REDIRECTS, REFUSALS

logger = logging.getLogger("waypost.visitors")


class VisitCounters:
    """Counts of a visitor server since its start."""

    _connections: ConnectionSet

    def __init__(self) -> None:
        self.visits_by_status = dict.fromkeys((200, *REDIRECTS, 304), 0)
        self.hits = 0  # views and clicks of pages elsewhere
        self.variants_answered = 0  # questions of pages elsewhere for their visitors' variants
        self.variants_refused = 0  # variants that they named, and their visitors do not have
        self.previews = 0  # visits of messengers that got a link's preview card
        self.files = 0  # files of pages: contacts, events, manifests
        self.destinations = 0  # pages that say where a link leads
        self.closed = 0  # visits to links that led nowhere at that moment
        self.refusals_by_status: dict[int, int] = dict.fromkeys(REFUSALS, 0)
        self.accepted = 0
        self.refused_by_reason = dict.fromkeys(("address", "connections", "descriptors"), 0)
        self.timed_out = 0
        self.heads_shed = 0  # connections refused, as too many bytes of heads were kept
        self.errors = 0
        self.unidentified = 0  # visits recorded without a pseudonym, as no key was known

    @property
    def connections(self) -> int:
        return len(self._connections.by_descriptor)

    @property
    def evicted(self) -> int:
        """Connections closed while idle, to make room for others."""
        return self._connections.evicted

    @property
    def unsent_bytes(self) -> int:
        """Bytes of responses that visitors have not taken."""
        return self._connections.unsent_bytes

    @property
    def responses_shed(self) -> int:
        """Connections closed, as visitors took too few bytes of all responses."""
        return self._connections.responses_shed

    def _contain_error(self, connection: VisitorConnection) -> None:
        """Close the connection: an error of ours with one visitor must not cost the others their responses."""
        self.errors += 1
        logger.exception("a visitor's connection failed", extra={"event": "visitor_error"})
        self._connections.close(connection)

"""Orphan visits: those at a profile's domain that led to no link, counted by day and path."""

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple, Protocol

from engine.accounts.access import Caller

MAX_PATH_CHARS: Final = 200
MAX_PATHS: Final = 500  # of a domain's day
MAX_LISTED: Final = 100
KEPT_DAYS: Final = 30
OTHER: Final = "(other)"  # no path, as paths begin with a slash


class OrphanCount(NamedTuple):
    """Visits of a path at a host that an edge has counted."""

    host: str
    path: str
    visits: int


class OrphanPath(NamedTuple):
    """Visits of a path at a domain in some days; OTHER stands for the paths beyond the bounds."""

    path: str
    visits: int
    last_day: date


class OrphanVisitStore(Protocol):
    """Store of orphan visits, for edges."""

    async def add(self, counts: Sequence[OrphanCount]) -> None:
        """Add to today's visits (UTC) of verified domains; other hosts are passed over. A domain's day has at
        most MAX_PATHS paths, and OTHER for further ones. Raises UnavailableError."""


class OrphanVisitLists(Protocol):
    """Lists of orphan visits, for members; errors as in DomainStore."""

    async def orphans(self, caller: Caller, domain_id: int, days: int) -> list[OrphanPath]:
        """Return the MAX_LISTED paths with the most visits of the last `days` days (UTC), today included."""

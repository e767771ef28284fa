"""Ports of an edge: snapshots and their changes, places, and the daily keys that edges share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.links.profile import ProfileChange
from engine.visits.daily_key import DailyKey
from engine.visits.domain_host import DomainHost
from engine.visits.hit import HitAnswer, ServerHit
from engine.visits.snapshot import LinkBatch, Snapshot


class SnapshotSource(Protocol):
    """Snapshots of every tenant's profiles, read only."""

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        """Return the snapshot of the profile that answers each canonical path, or None, in the paths' order.

        Paths are `/slug`, `/handle/slug` or `/@handle`, as `engine.links.name.canonical_path` spells them. A
        profile of more than MAX_WHOLE_LINKS links comes incomplete, with the requested links only;
        several paths of one profile give the very same Snapshot object.
        """

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        """Return the difference after version `since`; None when the profile is gone.

        When more than `limit` links changed, the snapshot is incomplete with no links and `since` None:
        drop the links and find them again as visitors come.
        """

    async def following_links(
        self, tenant_id: int, profile_id: int, after: int, limit: int
    ) -> LinkBatch:
        """Return the profile's first `limit` links with ids above `after`; none when the profile is gone."""

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        """Return (changes committed since `cursor`, the next cursor): each change at least once, none missed.

        With the cursor None: no changes, only the cursor of this moment. With changes None, there were too
        many: assume that every profile has changed.
        """


class Announcer(Protocol):
    """Announcements of changes by Redis pub/sub: fast, and allowed to be lost. Polling makes up for that."""

    async def announce(self, changes: Sequence[ProfileChange]) -> None:
        """Announce changes. Never raises: a failure is counted, and polling finds the change."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[ProfileChange]]: ...


class PlaceLookup(Protocol):
    """Places of addresses. Looking one up is synchronous, as the visitor server does it."""

    def place(self, address: str) -> bytes:
        """Return the data of the record item PLACE (engine/clicks/record_items.py); empty when it is unknown.
        Never raises."""

    async def refresh(self) -> bool:
        """Load a newer geo file, if there is one. Returns whether places may differ from before."""


class LocalKeyStore(Protocol):
    """Daily keys that the edges of one machine share without writing them to a disk."""

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        """Store the keys, drop those past their time, and return the best key by day.

        Raises UnavailableError while another edge does the same, OSError when there is no space.
        """


class EdgeChannel(Protocol):
    """Messages between the edges of all machines, stored nowhere."""

    async def send(self, message: bytes) -> int | None:
        """Send to all edges. Returns how many listen, the sender among them; None when that is unknown, 0 when
        sending failed. Never raises."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open an iterator over messages, the edge's own too, from when the subscription stands or has failed
        once."""


class HitSender(Protocol):
    """Edges that record hits of servers."""

    async def send(self, profile_id: int, hits: Sequence[ServerHit]) -> list[HitAnswer]:
        """Have the hits recorded, and return an answer for each. A hit whose id was recorded is a duplicate.

        Raises UnavailableError if none may be taken for recorded: send them again, with their ids.
        """


class DomainSource(Protocol):
    """Verified domains of every tenant, read only."""

    async def version(self) -> str:
        """Return a text that changes with every change of a verified domain or of its profile's handle."""

    async def domains(self, limit: int) -> dict[bytes, DomainHost]:
        """Return the verified domains by host; the oldest, where there are more than `limit`."""

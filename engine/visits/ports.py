"""Ports of what edges read, and of the daily key that they share."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.links.profile import ProfileChange
from engine.visits.daily_key import DailyKey
from engine.visits.snapshot import Snapshot


class SnapshotSource(Protocol):
    """What edges read: every tenant's profiles, read only."""

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        """The profile that answers each canonical path, in the order asked, or None.

        Paths are `/slug`, `/handle/slug` or `/@handle`, as `engine.links.name.canonical_path` spells them. A
        profile of more than MAX_WHOLE_LINKS links comes incomplete, with the asked links only;
        several asked paths of one profile give the very same Snapshot object.
        """

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        """What changed after version `since`; None when the profile is gone.

        When more than `limit` links changed, the answer is incomplete with no links and `since` None:
        forget them and ask again as visitors come.
        """

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        """Changes committed since `cursor`, and the next cursor; each at least once, none ever missed.

        With None: no changes, only a cursor of now. A list of None means too many: assume all changed.
        """


class Announcer(Protocol):
    """News of changes by Redis pub/sub: fast, and allowed to lose some. Polling makes up for that."""

    async def announce(self, changes: Sequence[ProfileChange]) -> None:
        """Never raises: a lost announcement is found by polling, and counted."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[ProfileChange]]: ...


class PlaceLookup(Protocol):
    """Where addresses are. Looking one up is synchronous, at the visitors' door."""

    def place(self, address: str) -> bytes:
        """The data of the item PLACE (engine/clicks/record_items.py); empty when nobody can tell. Never raises."""

    async def refresh(self) -> bool:
        """Look whether there is something newer; whether places may differ now."""


class LocalKeyStore(Protocol):
    """What edges of one machine share without writing it to a disk."""

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        """Lay these down, drop what is past its time, and take the best of each day.

        Raises UnavailableError while another edge does the same, OSError when there is no room.
        """


class DailyKeyChannel(Protocol):
    """What edges of all machines hear, and nobody writes down."""

    async def send(self, message: bytes) -> int | None:
        """How many listen, the sender among them; None when nobody can tell, 0 when it failed. Never raises."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Messages, the own ones too, from when the subscription stands or has failed once."""

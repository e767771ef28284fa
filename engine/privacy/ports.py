"""Ports of erasure and archive."""

from collections.abc import AsyncGenerator
from typing import Protocol

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.links.profile import ProfileChange


class ErasureStore(Protocol):
    """Erasures of profiles."""

    async def erase(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> ProfileChange:
        """Delete a profile, as ProfileStore.delete_profile() does, and have its other data erased."""

    async def list_erasures(self, caller: Caller, before: int, limit: int) -> ListPage:
        """Return erasures of the caller's tenant, highest profile id first, of ids below `before` (0: all)."""


class ArchiveSource(Protocol):
    """All data of a profile as lines of JSON. The first line is a header, the last one says that the archive is
    complete."""

    async def check(self, caller: Caller, profile_id: int) -> None:
        """Raise the error that archive() would raise. To archive takes Action.ARCHIVE."""

    def archive(self, caller: Caller, profile_id: int) -> AsyncGenerator[bytes, None]:
        """Yield chunks of lines read from one database snapshot. Raises UnavailableError when too many archives
        run at once."""

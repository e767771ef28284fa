"""Ports of erasure and archive."""

from collections.abc import AsyncGenerator
from typing import Protocol

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.links.profile import ProfileChange


class ErasureStore(Protocol):
    async def erase(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> ProfileChange:
        """Delete a profile, as `ProfileStore.delete_profile` does, and have all else of it erased."""

    async def list_erasures(self, caller: Caller, before: int, limit: int) -> ListPage:
        """Erasures of the caller's tenant, by falling id of the profile, of ids below `before` (0: all)."""


class ArchiveSource(Protocol):
    """All that is kept of a profile, as lines of JSON: the first says what it is, the last that it is whole."""

    async def check(self, caller: Caller, profile_id: int) -> None:
        """Raises as `archive` would: it takes Action.ARCHIVE."""

    def archive(self, caller: Caller, profile_id: int) -> AsyncGenerator[bytes, None]:
        """Some lines at once, out of one snapshot. Raises UnavailableError when too many ask at once."""

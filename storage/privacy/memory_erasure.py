"""Erasures in memory: the twin of storage.privacy.erasure for the console. The profiles' twin keeps nothing
else."""

from collections.abc import Callable
from datetime import UTC, datetime

from engine.accounts.access import Caller, require_scope
from engine.common.list_page import ListPage
from engine.links.profile import ProfileChange
from engine.privacy.erasure import Erasure
from storage.links.memory_profiles import MemoryProfiles


class MemoryErasureStore:
    """ErasureStore beside `profiles`."""

    def __init__(
        self, profiles: MemoryProfiles, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._profiles = profiles
        self._now = now
        self._erasures: dict[int, list[Erasure]] = {}

    async def erase(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> ProfileChange:
        tenant_id = (await self._profiles.profile(caller, profile_id)).tenant_id
        deleted = await self._profiles.delete_profile(caller, profile_id, if_version)
        self._erasures.setdefault(tenant_id, []).append(
            Erasure(deleted.id, self._now(), None, 0, 0)
        )
        return ProfileChange(deleted.id, deleted.version, True)

    async def list_erasures(self, caller: Caller, before: int, limit: int) -> ListPage:
        require_scope(caller, "read")
        erasures = sorted(self._erasures.get(caller.tenant_id, ()), reverse=True)
        erasures = [erasure for erasure in erasures if not before or erasure.profile_id < before]
        return ListPage.of(erasures, limit, "profile_id")

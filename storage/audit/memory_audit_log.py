"""The log of changes in memory: the twin of storage.audit.audit_log. Nothing writes it but `add`."""

from collections import defaultdict

import trio

from engine.accounts.access import Action, Caller, require_scope
from engine.audit.audit_log import ActivityEntry, ActivityFilter
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from storage.links.memory_profiles import MemoryProfiles


class MemoryActivityReader:
    """ActivityReader without a server, over `profiles`."""

    def __init__(self, profiles: MemoryProfiles) -> None:
        self._profiles = profiles
        self._chains: dict[tuple[int, int], list[ActivityEntry]] = defaultdict(list)

    def add(self, tenant_id: int, profile_id: int, entry: ActivityEntry) -> None:
        """Append an entry to a chain, as its next seq."""
        chain = self._chains[tenant_id, profile_id]
        chain.append(entry._replace(seq=len(chain) + 1))

    async def of_profile(
        self, caller: Caller, profile_id: int, conditions: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        profile, _ = self._profiles.team(caller, profile_id, Action.READ_ACTIVITY)
        return _page(
            self._chains.get((profile.tenant_id, profile_id), []), conditions, before, limit
        )

    async def of_tenant(
        self, caller: Caller, profile_id: int, conditions: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "read")
        chain = self._chains.get((caller.tenant_id, profile_id), [])
        if profile_id and (profile_and_team := self._profiles.team_of(profile_id)) is not None:
            if profile_and_team[0].tenant_id != caller.tenant_id:
                raise NotFoundError("there is no log of this profile")
            self._profiles.team(caller, profile_id, Action.READ_ACTIVITY)
        elif profile_id and not chain:
            raise NotFoundError("there is no log of this profile")
        return _page(chain, conditions, before, limit)


def _page(
    chain: list[ActivityEntry], conditions: ActivityFilter, before: int, limit: int
) -> ListPage:
    entries = [
        e for e in reversed(chain) if (not before or e.seq < before) and conditions.matches(e)
    ]
    return ListPage.of(entries, limit, "seq")

"""Archives of profiles in memory: the twin of storage.privacy.archive, with the profile and its links only."""

from collections.abc import AsyncGenerator

import msgspec
import trio

from engine.accounts.access import Action, Caller
from storage.links.memory_profiles import MemoryProfiles


class MemoryArchiveSource:
    """ArchiveSource over `profiles`."""

    def __init__(self, profiles: MemoryProfiles) -> None:
        self._profiles = profiles

    async def check(self, caller: Caller, profile_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._profiles.enter(caller, profile_id, Action.ARCHIVE)

    async def archive(self, caller: Caller, profile_id: int) -> AsyncGenerator[bytes, None]:
        await self.check(caller, profile_id)
        profile = await self._profiles.profile(caller, profile_id)
        links = (await self._profiles.list_links(caller, profile_id, 0, 10_000)).items
        yield _line({"waypost": "archive", "format": 1, "profile_id": str(profile_id)})
        for table, row in [("profiles", profile), *(("links", link) for link in links)]:
            yield _line({"table": table, "row": msgspec.to_builtins(row) | {"id": str(row.id)}})
        yield _line({"end": True, "rows": 1 + len(links)})


def _line(value: dict[str, object]) -> bytes:
    return msgspec.json.encode(value) + b"\n"

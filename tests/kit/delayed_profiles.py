"""Profiles in memory whose answers can be held back, or fail, as those of a real server do."""

from collections.abc import Sequence

import trio

from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.links.link import Link, LinkDraft
from engine.links.profile import ProfileChange, ProfileDraft
from engine.visits.snapshot import Snapshot
from storage.links.memory_profiles import MemoryProfiles

TENANT = Caller(1, 1)


class HeldProfiles(MemoryProfiles):
    """`hold()` keeps what was read from its reader until `release()`; `away` makes the server fail."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked: list[tuple[float, list[bytes]]] = []
        self.refreshed: list[int] = []
        self._let_go = trio.Event()
        self._let_go.set()
        self._holding = trio.Event()

    def hold(self) -> None:
        if self._let_go.is_set():
            self._let_go = trio.Event()
        self._holding = trio.Event()

    async def is_holding(self) -> None:
        """Wait until a reader is being held: its answer has been read, and not been handed over."""
        await self._holding.wait()

    def release(self) -> None:
        self._let_go.set()

    async def _hold(self) -> None:
        self._holding.set()
        await self._let_go.wait()
        if self.away:
            raise UnavailableError("the server is away")

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        self.asked.append((trio.current_time(), list(paths)))
        found = await super().find(paths)
        await self._hold()
        return found

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        self.refreshed.append(profile_id)
        found = await super().refresh(profile_id, since, limit)
        await self._hold()
        return found

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        if self.away:
            raise UnavailableError("the server is away")
        return await super().changes(cursor)

    async def made(self, handle: str, *slugs: str, title: str = "") -> int:
        """The id of a new profile with these links, which lead to https://{slug}.example/."""
        profile = await self.create_profile(TENANT, ProfileDraft(handle=handle, title=title))
        for slug in slugs:
            await self.linked(profile.id, slug)
        return profile.id

    async def linked(
        self, profile_id: int, slug: str, target: str = "", **more: object
    ) -> tuple[Link, ProfileChange]:
        wanted = {"slug": slug, "target": target or f"https://{slug}.example/", **more}
        return await self.create_link(TENANT, profile_id, LinkDraft(**wanted))  # type: ignore[arg-type]

    async def retargeted(self, link: Link, target: str) -> ProfileChange:
        wanted = LinkDraft(slug=link.slug, target=target)
        return (await self.update_link(TENANT, link.id, wanted))[1]

"""Profiles in memory whose results can be held back, or fail, as those of a real server do."""

from collections.abc import Sequence

import trio

from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.links.link import Link, LinkDraft
from engine.links.profile import ProfileChange, ProfileDraft
from engine.visits.snapshot import LinkBatch, Snapshot
from storage.links.memory_profiles import MemoryProfiles

TENANT = Caller(1, 1)


class DelayedProfiles(MemoryProfiles):
    """`hold()` keeps results from their readers until `release()`; `away` makes reads fail."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.queries: list[tuple[float, list[bytes]]] = []  # (time, paths) of each find()
        self.refreshed: list[int] = []  # the profile of each refresh()
        self.preloads: list[tuple[int, int]] = []  # (after, limit) of each following_links()
        self.holds_preloads = False
        self._preloads_released = trio.Event()
        self._released = trio.Event()
        self._released.set()
        self._holding = trio.Event()

    def hold(self) -> None:
        if self._released.is_set():
            self._released = trio.Event()
        self._holding = trio.Event()

    async def wait_until_held(self) -> None:
        """Wait until a result has been read, and is held back from its reader."""
        await self._holding.wait()

    def release(self) -> None:
        self._released.set()
        self._preloads_released.set()

    def hold_preloads(self) -> None:
        """Keep only links that are loaded ahead from their reader, until `release()`."""
        self.holds_preloads = True
        self._preloads_released = trio.Event()
        self._holding = trio.Event()

    async def _hold(self) -> None:
        self._holding.set()
        await self._released.wait()
        if self.away:
            raise UnavailableError("the server is away")

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        self.queries.append((trio.current_time(), list(paths)))
        snapshots = await super().find(paths)
        await self._hold()
        return snapshots

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        self.refreshed.append(profile_id)
        snapshot = await super().refresh(profile_id, since, limit)
        await self._hold()
        return snapshot

    async def following_links(
        self, tenant_id: int, profile_id: int, after: int, limit: int
    ) -> LinkBatch:
        self.preloads.append((after, limit))
        batch = await super().following_links(tenant_id, profile_id, after, limit)
        if self.holds_preloads:
            self._holding.set()
            await self._preloads_released.wait()
        await self._hold()
        return batch

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        if self.away:
            raise UnavailableError("the server is away")
        return await super().changes(cursor)

    async def add_profile(self, handle: str, *slugs: str, title: str = "") -> int:
        """Return the id of a new profile with these links, which lead to https://{slug}.example/."""
        profile = await self.create_profile(TENANT, ProfileDraft(handle=handle, title=title))
        for slug in slugs:
            await self.add_link(profile.id, slug)
        return profile.id

    async def add_link(
        self, profile_id: int, slug: str, target: str = "", **fields: object
    ) -> tuple[Link, ProfileChange]:
        values = {"slug": slug, "target": target or f"https://{slug}.example/", **fields}
        return await self.create_link(TENANT, profile_id, LinkDraft(**values))  # type: ignore[arg-type]

    async def retarget(self, link: Link, target: str) -> ProfileChange:
        draft = LinkDraft(slug=link.slug, target=target)
        return (await self.update_link(TENANT, link.id, draft))[1]

"""Assets in memory: the twin of storage.assets.assets and storage.assets.unused."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.assets.asset import (
    CLAIM_S,
    KEPT_S,
    Asset,
    AssetDraft,
    AssetUsage,
    StoredPicture,
    source_content_type,
)
from engine.assets.ports import UnusedFiles
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from storage.accounts.access import MAX_ID
from storage.assets.assets import asset_on_page, files_claimed, files_gone, require_room
from storage.links.memory_profiles import MemoryProfiles


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Files:
    picture: StoredPicture
    writable_until: datetime
    written: bool = False
    claimed_until: datetime | None = None


class MemoryAssets:
    """AssetStore and UnusedFilesStore without a server, over the profiles of another twin.

    `on_pages` has the ids of assets that a page has.
    """

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(10**8)
        self._files: dict[UnusedFiles, _Files] = {}
        self._assets: dict[int, tuple[int, Asset]] = {}
        self.on_pages: set[int] = set()
        profiles.assets_of = self.assets_of

    async def enter(self, caller: Caller, profile_id: int) -> int:
        tenant_id = await self._enter(caller, profile_id, Action.EDIT)
        require_room(*self._room(profile_id), 1)
        return tenant_id

    async def existing(
        self, caller: Caller, profile_id: int, hash_: str
    ) -> Asset | StoredPicture | None:
        tenant_id = await self._enter(caller, profile_id, Action.EDIT)
        if (own := self._own(profile_id, hash_)) is not None:
            return own
        files = self._files.get(UnusedFiles(tenant_id, hash_))
        if files is None or not files.written or files.claimed_until is not None:
            return None
        files.writable_until = max(files.writable_until, self._after(KEPT_S))
        return files.picture

    async def begin(self, caller: Caller, profile_id: int, draft: AssetDraft) -> bool:
        tenant_id = await self._enter(caller, profile_id, Action.EDIT)
        key, until = UnusedFiles(tenant_id, draft.hash), self._after(KEPT_S)
        files = self._files.setdefault(key, _Files(draft.picture, until))
        if files.claimed_until is not None:
            raise files_claimed()
        files.writable_until = max(files.writable_until, until)
        return files.written

    async def create(self, caller: Caller, profile_id: int, draft: AssetDraft) -> Asset:
        tenant_id = await self._enter(caller, profile_id, Action.EDIT)
        if (own := self._own(profile_id, draft.hash)) is not None:
            return own
        require_room(*self._room(profile_id), draft.picture.bytes)
        files = self._files.get(UnusedFiles(tenant_id, draft.hash))
        if files is None or files.claimed_until or files.writable_until <= self._now():
            raise files_gone()
        files.written = True
        picture = files.picture
        asset = Asset(
            id=next(self._ids),
            profile_id=profile_id,
            hash=draft.hash,
            name=draft.name,
            content_type=source_content_type(picture.source),
            width=picture.width,
            height=picture.height,
            bytes=picture.bytes,
            renditions=picture.renditions,
            created_at=self._now(),
        )
        self._assets[asset.id] = tenant_id, asset
        return asset

    async def asset(self, caller: Caller, profile_id: int, asset_id: int) -> Asset:
        await self._enter(caller, profile_id, Action.READ)
        return self._one(profile_id, asset_id)

    async def list_assets(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        await self._enter(caller, profile_id, Action.READ)
        assets = [asset for asset in self._of(profile_id) if asset.id < (before or MAX_ID)]
        return ListPage.of(sorted(assets, key=lambda asset: -asset.id)[: limit + 1], limit)

    async def usage(self, caller: Caller, profile_id: int) -> AssetUsage:
        await self._enter(caller, profile_id, Action.READ)
        return AssetUsage(*self._room(profile_id))

    async def delete(self, caller: Caller, profile_id: int, asset_id: int) -> None:
        await self._enter(caller, profile_id, Action.EDIT)
        self._one(profile_id, asset_id)
        if asset_id in self.on_pages:
            raise asset_on_page()
        del self._assets[asset_id]

    def assets_of(self, profile_id: int) -> dict[int, Asset]:
        """Return a profile's assets by id, without a check of access."""
        return {asset.id: asset for asset in self._of(profile_id)}

    # ---- what no asset has -----------------------------------------------------------------------

    async def claim(self, limit: int) -> list[UnusedFiles]:
        await trio.lowlevel.checkpoint()
        now = self._now()
        used = {
            UnusedFiles(tenant_id, asset.hash)
            for tenant_id, asset in self._assets.values()
            if self._profiles.team_of(asset.profile_id) is not None
        }
        claimed = [
            key
            for key, files in self._files.items()
            if key not in used
            and files.writable_until <= now
            and (files.claimed_until is None or files.claimed_until <= now)
        ][:limit]
        for key in claimed:
            self._files[key].claimed_until = self._after(CLAIM_S)
        return claimed

    async def forget(self, files: Sequence[UnusedFiles]) -> None:
        await trio.lowlevel.checkpoint()
        for key in files:
            del self._files[key]

    # ---- parts -----------------------------------------------------------------------------------

    async def _enter(self, caller: Caller, profile_id: int, action: Action) -> int:
        await trio.lowlevel.checkpoint()
        return self._profiles.enter(caller, profile_id, action).profile.tenant_id

    def _of(self, profile_id: int) -> list[Asset]:
        return [
            msgspec.structs.replace(asset, page_versions=(0,) * (asset.id in self.on_pages))
            for _, asset in self._assets.values()
            if asset.profile_id == profile_id
        ]

    def _own(self, profile_id: int, hash_: str) -> Asset | None:
        return next((asset for asset in self._of(profile_id) if asset.hash == hash_), None)

    def _one(self, profile_id: int, asset_id: int) -> Asset:
        asset = next((asset for asset in self._of(profile_id) if asset.id == asset_id), None)
        if asset is None:
            raise NotFoundError.of("asset")
        return asset

    def _room(self, profile_id: int) -> tuple[int, int]:
        assets = self._of(profile_id)
        return len(assets), sum(asset.bytes for asset in assets)

    def _after(self, seconds: float) -> datetime:
        return self._now() + timedelta(seconds=seconds)

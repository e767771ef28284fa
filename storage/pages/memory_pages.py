"""Pages in memory: the twin of storage.pages.pages."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import InvalidError, NotFoundError
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.link import Link
from engine.links.profile import ProfileChange
from engine.pages.default_page import default_page
from engine.pages.html.sources import PagePicture
from engine.pages.page import MAX_BLOCKS, ProfilePage
from engine.pages.page_link import PageLink, SnapshotPage
from engine.pages.pictures import asset_ids, encode_pictures, page_picture_of, unknown_assets
from engine.pages.ports import PagePreview
from engine.pages.publication import (
    MAX_VERSIONS,
    PublishedVersion,
    StoredDraft,
    encode_page,
    link_ids,
    unknown_links,
)
from storage.assets.memory_assets import MemoryAssets
from storage.links.memory_profile import MemoryProfile
from storage.links.memory_profiles import MemoryProfiles
from storage.pages.pages import versions_page


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryPages:
    """PageStore without a server, over the profiles of another twin."""

    def __init__(
        self,
        profiles: MemoryProfiles,
        now: Callable[[], datetime] = _now,
        assets: MemoryAssets | None = None,
    ) -> None:
        self._profiles = profiles
        self._assets = assets or MemoryAssets(profiles, now)
        self._now = now
        self._drafts: dict[int, StoredDraft] = {}
        self._versions: dict[int, list[PublishedVersion]] = {}
        profiles.published_page = self._snapshot_page

    async def draft(self, caller: Caller, profile_id: int) -> StoredDraft:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        return self._draft(profile_id)

    async def put_draft(
        self, caller: Caller, profile_id: int, page: ProfilePage, if_version: int | None = None
    ) -> StoredDraft:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.EDIT)
        require_version(self._draft(profile_id).version, if_version)
        if errors := unknown_links(page, self._profiles.links_of(profile_id)):
            raise InvalidError(errors)
        return self._put(profile_id, page)

    async def publish(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> tuple[PublishedVersion, ProfileChange]:
        await trio.lowlevel.checkpoint()
        profile, _ = self._profiles.team(caller, profile_id, Action.EDIT)
        stored = self._draft(profile_id)
        require_version(stored.version, if_version)
        versions = self._versions.setdefault(profile_id, [])
        if versions and not stored.is_changed:
            return versions[-1], ProfileChange(profile_id, profile.version)
        encode_page(stored.page)
        version = PublishedVersion(
            profile_id=profile_id,
            number=versions[-1].number + 1 if versions else 1,
            page=stored.page,
            user_id=caller.user_id,
            published_at=self._now(),
        )
        versions.append(version)
        del versions[:-MAX_VERSIONS]
        self._keep_assets()
        return version, self._profiles.bump(profile_id)

    async def list_versions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        versions = reversed(self._versions.get(profile_id, []))
        older = [version for version in versions if not before or version.number < before]
        return versions_page(older[: limit + 1], limit)

    async def page_version(self, caller: Caller, profile_id: int, number: int) -> PublishedVersion:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        return self._version(profile_id, number)

    async def restore(
        self, caller: Caller, profile_id: int, number: int, if_version: int | None = None
    ) -> StoredDraft:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.EDIT)
        require_version(self._draft(profile_id).version, if_version)
        return self._put(profile_id, self._version(profile_id, number).page)

    async def preview(self, caller: Caller, profile_id: int) -> PagePreview:
        await trio.lowlevel.checkpoint()
        profile = self._profiles.enter(caller, profile_id, Action.READ)
        page = self._draft(profile_id).page
        names = profile.profile.handle, profile.profile.title
        return PagePreview(
            *names, page, self._links(profile, page), self._pictures(profile_id, page)
        )

    def _draft(self, profile_id: int) -> StoredDraft:
        versions = self._versions.get(profile_id)
        draft = self._drafts.get(profile_id)
        if draft is None:
            page = default_page(self._profiles.shown_links(profile_id)[:MAX_BLOCKS])
            draft = StoredDraft(profile_id=profile_id, page=page)
        if not versions:
            return draft
        return msgspec.structs.replace(
            draft, published=versions[-1].number, is_changed=draft.page != versions[-1].page
        )

    def _put(self, profile_id: int, page: ProfilePage) -> StoredDraft:
        stored = self._draft(profile_id)
        if not stored.version or page != stored.page:
            encode_page(page)
            if errors := unknown_assets(page, self._assets.assets_of(profile_id)):
                raise InvalidError(errors)
            self._drafts[profile_id] = StoredDraft(
                profile_id=profile_id,
                page=page,
                version=stored.version + 1,
                updated_at=self._now(),
            )
            self._keep_assets()
        return self._draft(profile_id)

    def _version(self, profile_id: int, number: int) -> PublishedVersion:
        for version in self._versions.get(profile_id, []):
            if version.number == number:
                return version
        raise NotFoundError.of("version of the page")

    def _keep_assets(self) -> None:
        drafts = (draft.page for draft in self._drafts.values())
        versions = (each.page for of_profile in self._versions.values() for each in of_profile)
        pages = itertools.chain(drafts, versions)
        self._assets.on_pages = {id_ for page in pages for id_ in asset_ids(page)}

    def _pictures(self, profile_id: int, page: ProfilePage) -> dict[str, PagePicture]:
        ids, assets = asset_ids(page), self._assets.assets_of(profile_id).values()
        return {
            str(each.id): page_picture_of(each.hash, each.width, each.height, each.renditions)
            for each in assets
            if each.id in ids
        }

    def _snapshot_page(self, profile: MemoryProfile) -> SnapshotPage | None:
        versions = self._versions.get(profile.profile.id)
        if not versions:
            return None
        return SnapshotPage(
            versions[-1].number,
            encode_page(versions[-1].page),
            encode_pictures(self._pictures(profile.profile.id, versions[-1].page)),
            self._links(profile, versions[-1].page),
        )

    def _links(self, profile: MemoryProfile, page: ProfilePage) -> tuple[PageLink, ...]:
        ids = link_ids(page)
        links = (link for link in profile.links.values() if link.id in ids and not link.hidden)
        return tuple(self._page_link(link) for link in links)

    def _page_link(self, link: Link) -> PageLink:
        sync = self._profiles.with_github(link)
        fields = link.slug, link.title, link.target, link.kind, link.id
        if sync is None or sync.synced_at is None:
            return PageLink(*fields)
        return PageLink(*fields, facts=sync.facts, synced_at=sync.synced_at)

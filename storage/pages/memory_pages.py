"""Pages in memory: the twin of storage.pages.pages."""

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
from engine.pages.page import MAX_BLOCKS, ProfilePage
from engine.pages.publication import (
    MAX_VERSIONS,
    PublishedVersion,
    StoredDraft,
    encode_page,
    link_ids,
    unknown_links,
)
from engine.visits.snapshot import PageLink, SnapshotPage
from storage.links.memory_profile import MemoryProfile
from storage.links.memory_profiles import MemoryProfiles
from storage.pages.pages import versions_page


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryPages:
    """PageStore without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
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
            self._drafts[profile_id] = StoredDraft(
                profile_id=profile_id,
                page=page,
                version=stored.version + 1,
                updated_at=self._now(),
            )
        return self._draft(profile_id)

    def _version(self, profile_id: int, number: int) -> PublishedVersion:
        for version in self._versions.get(profile_id, []):
            if version.number == number:
                return version
        raise NotFoundError.of("version of the page")

    def _snapshot_page(self, profile: MemoryProfile) -> SnapshotPage | None:
        versions = self._versions.get(profile.profile.id)
        if not versions:
            return None
        ids = link_ids(versions[-1].page)
        links = (link for link in profile.links.values() if link.id in ids and not link.hidden)
        return SnapshotPage(
            versions[-1].number,
            encode_page(versions[-1].page),
            b"{}",
            tuple(self._page_link(link) for link in links),
        )

    def _page_link(self, link: Link) -> PageLink:
        sync = self._profiles.with_github(link)
        fields = link.slug, link.title, link.target, link.kind, link.id
        if sync is None or sync.synced_at is None:
            return PageLink(*fields)
        return PageLink(*fields, facts=sync.facts, synced_at=sync.synced_at)

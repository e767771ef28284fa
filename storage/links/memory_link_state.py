"""The state of the in-memory twin of profiles and links: what it holds, and each step that changes it."""

import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from engine.accounts.access import Action, Caller, MemberRole, require
from engine.assets.asset import Asset
from engine.common.errors import ConflictError, NotFoundError
from engine.experiments.experiment import EdgeExperiment
from engine.github.repository import LinkSync
from engine.links import visitor_path
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.generated_slug import DEFAULT_LENGTH, generate_slug
from engine.links.health import LinkHealth
from engine.links.link import Link, LinkDraft
from engine.links.link_clicks import ClickPeriod, ClicksOfLinks
from engine.links.profile import (
    Profile,
    ProfileChange,
    ProfileDraft,
)
from engine.links.slugs.slug_rules import (
    Features,
    needed_features,
    settled_short,
    settled_slug,
)
from engine.pages.page_link import SnapshotPage
from engine.pages.pictures import encode_pictures, page_picture_of
from engine.visits.snapshot import Snapshot
from storage.links.link_rows import apply_draft
from storage.links.memory_profile import MemoryProfile, is_whole, snapshot
from storage.postgres.memory_idempotency import MemoryIdempotency

_EPOCH_2026_MS = 1_767_225_600_000


def _now() -> datetime:
    return datetime.now(UTC)


def _cause(quarantine: EngineQuarantine | None) -> tuple[str, str] | None:
    return None if quarantine is None else (quarantine.rule, quarantine.reason)


class MemoryLinkState:
    """All tenants' profiles, members and links. No method yields to another task."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._profiles: dict[int, MemoryProfile] = {}
        # link id → (profile, slug)
        self._by_link_id: dict[int, tuple[MemoryProfile, str]] = {}
        self._handles: dict[str, int] = {}
        self._shorts: dict[str, int] = {}
        self._latest_changes: dict[int, tuple[int, ProfileChange]] = {}
        self._change_numbers = itertools.count(1)
        self._last_number = 0
        self._sequence = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        # The twins of experiments, pages, GitHub and health set these: their part of a snapshot or link.
        self.experiments_of: Callable[[int], tuple[EdgeExperiment, ...]] = lambda _: ()
        self.assets_of: Callable[[int], Mapping[int, Asset]] = lambda _: {}
        self.published_page: Callable[[MemoryProfile], SnapshotPage | None] = lambda _: None
        self.with_github: Callable[[Link], LinkSync | None] = lambda _: None
        self.with_health: Callable[[Link], LinkHealth | None] = lambda _: None
        # The twin of domains sets it: what each domain of a profile allows slugs to have.
        self.slugs_of_domains: Callable[[int], list[Features]] = lambda _: []
        # Tests set it: the clicks that are counted of all links, in a period.
        self.clicks_in: Callable[[ClickPeriod], ClicksOfLinks] = lambda _: {}

    # Teams: the twin of members changes the dict of roles that enter() reads

    def team(
        self, caller: Caller, profile_id: int, action: Action
    ) -> tuple[Profile, dict[int, MemberRole]]:
        """Return a profile and its members' roles. Raises NotFoundError, or ForbiddenError for the action."""
        entry = self.enter(caller, profile_id, action)
        return entry.profile, entry.members

    def team_of(self, profile_id: int) -> tuple[Profile, dict[int, MemberRole]] | None:
        """Return a profile and its members' roles without a check of access; None if it was deleted."""
        entry = self._profiles.get(profile_id)
        return None if entry is None else (entry.profile, entry.members)

    # For the twins of experiments and pages

    def links_of(self, profile_id: int) -> set[int]:
        """Return the ids of a profile's links; empty if it was deleted."""
        entry = self._profiles.get(profile_id)
        return set() if entry is None else {link.id for link in entry.links.values()}

    def slugs_of(self, profile_id: int) -> list[str]:
        """Return the slugs of a profile's links, the oldest first."""
        links = sorted(self._profiles[profile_id].links.values(), key=lambda link: link.id)
        return [link.slug for link in links]

    def shown_links(self, profile_id: int) -> list[int]:
        """Return the ids of a profile's links that are not hidden, in the page's order."""
        links = (link for link in self._profiles[profile_id].links.values() if not link.hidden)
        return [link.id for link in sorted(links, key=lambda link: (link.position, link.id))]

    def page_of(self, profile_id: int) -> SnapshotPage | None:
        """Return the published page of a profile; None without one."""
        entry = self._profiles.get(profile_id)
        return None if entry is None else self.published_page(entry)

    def click_limit(self, link_id: int) -> int | None:
        """Return a link's limit of clicks; 0 if it was deleted."""
        entry, slug = self._by_link_id.get(link_id, (None, ""))
        return 0 if entry is None else entry.links[slug].click_limit

    def bump(self, profile_id: int) -> ProfileChange:
        """Give a profile its next version."""
        return self._bump(self._profiles[profile_id])

    # For the twins of synchronisation and health

    def all_links(self) -> list[tuple[int, Link]]:
        """Return all links as (tenant id, link)."""
        return [
            (entry.profile.tenant_id, link)
            for entry in self._profiles.values()
            for link in entry.links.values()
        ]

    def set_quarantine(self, link_id: int, quarantine: EngineQuarantine | None) -> None:
        """Set a link's quarantine by the engine, or release it; one that stays as it is makes no version."""
        entry, slug = self._by_link_id[link_id]
        old = entry.links[slug]
        if _cause(old.engine_quarantine) != _cause(quarantine):
            self._bump(entry)
            self._replace(entry, old, msgspec.structs.replace(old, engine_quarantine=quarantine))

    def facts_changed(self, link_id: int) -> None:
        """Give a link's profile its next version, if its published page shows the link."""
        entry, _ = self._by_link_id.get(link_id, (None, ""))
        page = None if entry is None else self.published_page(entry)
        if entry is not None and page is not None and link_id in {link.id for link in page.links}:
            self._bump(entry)

    def _with_twins(self, link: Link) -> Link:
        return msgspec.structs.replace(
            link, github=self.with_github(link), health=self.with_health(link)
        )

    # The state

    def enter(self, caller: Caller, profile_id: int, action: Action) -> MemoryProfile:
        """Return a profile. Raises NotFoundError for other than members, ForbiddenError for a weak role."""
        entry = self._profiles.get(profile_id)
        if entry is None or caller.user_id not in entry.members:
            raise NotFoundError.of("profile")
        require(caller, entry.members[caller.user_id], action)
        return entry

    def _enter_link(
        self, caller: Caller, link_id: int, action: Action
    ) -> tuple[MemoryProfile, Link]:
        entry, slug = self._by_link_id.get(link_id, (None, ""))
        if entry is None or caller.user_id not in entry.members:
            raise NotFoundError.of("link")
        require(caller, entry.members[caller.user_id], action)
        return entry, entry.links[slug]

    def _may_import(self, caller: Caller, entry: MemoryProfile) -> bool:
        same_tenant = entry.profile.tenant_id == caller.tenant_id
        return same_tenant and entry.members.get(caller.user_id) in Action.EDIT.value.roles

    def _new_id(self) -> int:
        return (int(time.time() * 1000) - _EPOCH_2026_MS << 20) | next(self._sequence)

    def _create(self, caller: Caller, draft: ProfileDraft) -> MemoryProfile:
        if draft.handle in self._handles:
            raise ConflictError("handle", "is taken")
        entry = self._create_empty(caller, draft.handle)
        entry.profile = msgspec.structs.replace(entry.profile, **msgspec.structs.asdict(draft))
        self._bump(entry)
        return entry

    def _create_empty(self, caller: Caller, handle: str) -> MemoryProfile:
        """Create a profile of version 0. Its first change makes it version 1, before any caller reads it."""
        now, profile_id = self._now(), self._new_id()
        profile = Profile(
            id=profile_id,
            tenant_id=caller.tenant_id,
            handle=handle,
            title="",
            version=0,
            created_at=now,
            updated_at=now,
        )
        entry = self._profiles[profile_id] = MemoryProfile(profile)
        entry.members[caller.user_id] = "owner"
        self._handles[handle] = profile_id
        return entry

    def _bump(self, entry: MemoryProfile, *, deleted: bool = False) -> ProfileChange:
        version = entry.profile.version + 1
        entry.profile = msgspec.structs.replace(
            entry.profile, version=version, updated_at=self._now()
        )
        change = ProfileChange(entry.profile.id, version, deleted)
        self._last_number = next(self._change_numbers)
        self._latest_changes[change.profile_id] = (self._last_number, change)
        return change

    def _add(self, entry: MemoryProfile, draft: LinkDraft) -> Link:
        now = self._now()
        slug = draft.slug or self._free_slug(entry)
        short = draft.short is not False and slug not in self._shorts
        position = draft.position
        if position is None:
            position = max((link.position for link in entry.links.values()), default=0)
        made = {"slug": slug, "short": short, "position": position}
        link = Link(
            id=self._new_id(),
            profile_id=entry.profile.id,
            version=1,
            created_at=now,
            updated_at=now,
            **msgspec.structs.asdict(draft) | made,
        )
        if link.short:
            self._shorts[link.slug] = link.id
        entry.links[link.slug] = link
        entry.revisions[link.id] = entry.profile.version
        self._by_link_id[link.id] = entry, link.slug
        return link

    def _free_slug(self, entry: MemoryProfile) -> str:
        while True:
            slug = generate_slug(DEFAULT_LENGTH, secrets.choice)
            if slug not in entry.links and slug not in self._shorts:
                return slug

    def _check_free(self, entry: MemoryProfile, draft: LinkDraft) -> None:
        self._check_external_id(entry, draft, 0)
        if draft.slug in entry.links:
            raise ConflictError("slug", "is taken in this profile")
        if draft.short and draft.slug in self._shorts:
            raise ConflictError("short", "is taken on the default domain")

    def _check_external_id(self, entry: MemoryProfile, draft: LinkDraft, link_id: int) -> None:
        others = (link for link in entry.links.values() if link.id != link_id)
        if draft.external_id and draft.external_id in {link.external_id for link in others}:
            raise ConflictError("external_id", "is that of another link of this profile")

    def _changed(self, entry: MemoryProfile, link: Link, draft: LinkDraft) -> Link:
        """Return the link with the draft's fields and its old version and time. Raises ConflictError."""
        draft = self._settled(entry, draft, link)
        updated = apply_draft(link, draft)
        owner = self._shorts.get(updated.slug)
        self._check_external_id(entry, draft, link.id)
        if updated.slug != link.slug and updated.slug in entry.links:
            raise ConflictError("slug", "is taken in this profile")
        if draft.short and owner not in (None, link.id):
            raise ConflictError("short", "is taken on the default domain")
        return msgspec.structs.replace(updated, short=updated.short and owner in (None, link.id))

    def _settled(
        self, entry: MemoryProfile, draft: LinkDraft, stored: Link | None = None
    ) -> LinkDraft:
        """Return the draft with the slug that its link gets. Raises InvalidError."""
        slug = draft.slug
        if slug is None or not needed_features(slug):
            return draft
        if stored is None or slug != stored.slug:
            allowed = self.slugs_of_domains(entry.profile.id)
            slug = settled_slug(slug, entry.profile.handle, allowed)
        short = settled_short(slug, draft.short, stored is not None and stored.short)
        return msgspec.structs.replace(draft, slug=slug, short=short)

    def _remove(self, entry: MemoryProfile, link: Link) -> None:
        self._release(link)
        del entry.links[link.slug], entry.revisions[link.id], self._by_link_id[link.id]
        entry.removed[link.id] = entry.profile.version

    def _replace(self, entry: MemoryProfile, old: Link, changed: Link) -> Link:
        self._release(old)
        if changed.short:
            self._shorts[changed.slug] = changed.id
        link = msgspec.structs.replace(changed, version=old.version + 1, updated_at=self._now())
        if link.slug != old.slug:
            del entry.links[old.slug]
        entry.links[link.slug] = link
        entry.revisions[link.id] = entry.profile.version
        self._by_link_id[link.id] = entry, link.slug
        return link

    def _release(self, link: Link) -> None:
        if link.short:
            del self._shorts[link.slug]

    def _resolve(self, path: bytes) -> tuple[MemoryProfile, Link | None] | None:
        parsed = visitor_path.parse(path)
        entry: MemoryProfile | None
        if parsed.handle is None:
            entry, _ = self._by_link_id.get(self._shorts.get(parsed.slug or "", 0), (None, ""))
        else:
            entry = self._profiles.get(self._handles.get(parsed.handle, 0))
        if entry is None:
            return None
        if parsed.slug is None:
            return entry, None
        link = entry.links.get(parsed.slug)
        return (entry, link) if link else None

    def _snapshot(self, entry: MemoryProfile, links: Sequence[Link]) -> Snapshot:
        if is_whole(entry):
            return self._with_experiments(snapshot(entry, True, entry.links.values()))
        unique = {link.id: link for link in links}.values()
        return self._with_experiments(snapshot(entry, False, unique))

    def _with_experiments(self, snapshot: Snapshot) -> Snapshot:
        experiments = self.experiments_of(snapshot.profile_id)
        page = self.published_page(self._profiles[snapshot.profile_id])
        shown = {v.picture for edge in experiments for v in edge.experiment.variants}
        assets = self.assets_of(snapshot.profile_id).values()
        pictures = {
            str(each.id): page_picture_of(each.hash, each.width, each.height, each.renditions)
            for each in assets
            if str(each.id) in shown
        }
        return msgspec.structs.replace(
            snapshot,
            experiments=experiments,
            published=page,
            pictures=encode_pictures(pictures),
        )

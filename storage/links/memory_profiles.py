"""Profiles and links in memory: the twin of storage.links.profiles, its import_rows, and visits.snapshots.

One object holds the state of all tenants. No method yields to another task while it changes that state, so
each is a transaction.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import trio

from engine.accounts.access import Action, Caller, MemberRole, require, require_scope
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError, WaypostError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.experiments.experiment import EdgeExperiment
from engine.github.repository import LinkSync
from engine.links import visitor_path
from engine.links.health import LinkHealth
from engine.links.link import Link, LinkDraft
from engine.links.ports import ImportResult, ImportRow, LinkChange, LinkChangeResult
from engine.links.profile import (
    MAX_HISTORY,
    MAX_WHOLE_LINKS,
    Profile,
    ProfileChange,
    ProfileDraft,
    draft_of,
)
from engine.visits.snapshot import LinkBatch, Snapshot
from storage.links.link_rows import apply_draft
from storage.links.memory_profile import MemoryProfile, snapshot
from storage.postgres.memory_idempotency import MemoryIdempotency

_EPOCH_2026_MS = 1_767_225_600_000


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryProfiles:
    """ProfileStore, LinkImporter and SnapshotSource without a server."""

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
        # The twins of experiments, GitHub and health set these: their part of a snapshot or link.
        self.experiments_of: Callable[[int], tuple[EdgeExperiment, ...]] = lambda _: ()
        self.with_github: Callable[[Link], LinkSync | None] = lambda _: None
        self.with_health: Callable[[Link], LinkHealth | None] = lambda _: None

    # Profiles

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "write")
        return self._idempotency.run_once(caller, once, lambda: self._create(caller, draft).profile)

    async def profile(self, caller: Caller, profile_id: int) -> Profile:
        await trio.lowlevel.checkpoint()
        return self.enter(caller, profile_id, Action.READ).profile

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "read")
        profiles = (e.profile for e in self._profiles.values() if caller.user_id in e.members)
        return _page(profiles, after, limit)

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: Change[ProfileDraft, Profile],
        if_version: int | None = None,
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.EDIT)
        require_version(entry.profile.version, if_version)
        wanted = draft_after(draft, entry.profile)
        if wanted == draft_of(entry.profile):
            return entry.profile
        if wanted.handle != entry.profile.handle:
            if wanted.handle in self._handles:
                raise ConflictError("handle", "is taken")
            del self._handles[entry.profile.handle]
            self._handles[wanted.handle] = profile_id
        self._bump(entry)
        entry.profile = msgspec.structs.replace(entry.profile, **msgspec.structs.asdict(wanted))
        return entry.profile

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.DELETE)
        require_version(entry.profile.version, if_version)
        self._bump(entry, deleted=True)
        for link in entry.links.values():
            self._release(link)
            del self._by_link_id[link.id]
        del self._handles[entry.profile.handle]
        del self._profiles[profile_id]
        return entry.profile

    # Links

    async def create_link(
        self,
        caller: Caller,
        profile_id: int,
        draft: LinkDraft,
        once: IdempotentRequest[tuple[Link, ProfileChange]] | None = None,
    ) -> tuple[Link, ProfileChange]:
        await trio.lowlevel.checkpoint()

        def work() -> tuple[Link, ProfileChange]:
            entry = self.enter(caller, profile_id, Action.EDIT)
            self._check_free(entry, draft)
            change = self._bump(entry)
            return self._add(entry, draft), change

        return self._idempotency.run_once(caller, once, work)

    async def link(self, caller: Caller, link_id: int) -> Link:
        await trio.lowlevel.checkpoint()
        return self._with_twins(self._enter_link(caller, link_id, Action.READ)[1])

    async def list_links(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.READ)
        page = _page(entry.links.values(), after, limit)
        return page._replace(items=[self._with_twins(link) for link in page.items])

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: Change[LinkDraft, Link],
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        await trio.lowlevel.checkpoint()
        entry, link = self._enter_link(caller, link_id, Action.EDIT)
        require_version(link.version, if_version)
        changed = self._changed(entry, link, draft_after(draft, link))
        if changed == link:
            return link, ProfileChange(entry.profile.id, entry.profile.version)
        change = self._bump(entry)
        return self._replace(entry, link, changed), change

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> ProfileChange:
        await trio.lowlevel.checkpoint()
        entry, link = self._enter_link(caller, link_id, Action.EDIT)
        require_version(link.version, if_version)
        change = self._bump(entry)
        self._remove(entry, link)
        return change

    async def change_links(
        self,
        caller: Caller,
        profile_id: int,
        operations: Sequence[LinkChange],
        once: IdempotentRequest[tuple[list[LinkChangeResult], ProfileChange]] | None = None,
    ) -> tuple[list[LinkChangeResult], ProfileChange]:
        await trio.lowlevel.checkpoint()

        def work() -> tuple[list[LinkChangeResult], ProfileChange]:
            entry = self.enter(caller, profile_id, Action.EDIT)
            version = entry.profile.version
            outcomes = []
            for operation in operations:
                try:
                    outcomes.append(LinkChangeResult(self._operate(entry, operation, version)))
                except WaypostError as error:
                    outcomes.append(LinkChangeResult(error=error))
            return outcomes, ProfileChange(profile_id, entry.profile.version)

        return self._idempotency.run_once(caller, once, work)

    def _operate(self, entry: MemoryProfile, operation: LinkChange, version: int) -> Link | None:
        """Apply one of many changes. The first that writes moves the profile to `version` + 1."""

        def bump() -> None:
            if entry.profile.version == version:
                self._bump(entry)

        if operation.op == "create":
            draft = operation.draft(None)
            self._check_free(entry, draft)
            bump()
            return self._add(entry, draft)
        owner, slug = self._by_link_id.get(operation.link_id, (None, ""))
        if owner is not entry:
            raise NotFoundError.of("link")
        link = entry.links[slug]
        require_version(link.version, operation.if_version)
        if operation.op == "delete":
            bump()
            self._remove(entry, link)
            return None
        changed = self._changed(entry, link, operation.draft(link))
        if changed == link:
            return link
        bump()
        return self._replace(entry, link, changed)

    # Imports

    async def import_rows(self, caller: Caller, rows: Sequence[ImportRow]) -> ImportResult:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "write")
        last = {(row.handle, row.slug): row for row in rows}
        created = updated = 0
        rejected: list[tuple[int, str]] = []
        changes: dict[int, ProfileChange] = {}
        for row in rows:
            owner = self._handles.get(row.handle)
            if owner is not None and not self._may_import(caller, self._profiles[owner]):
                rejected.append((row.line, f"handle: {row.handle!r} is taken"))
            elif last[row.handle, row.slug] is row:
                entry = self._profiles[owner] if owner else self._create_empty(caller, row.handle)
                link = entry.links.get(row.slug)
                if link is None:
                    created += 1
                elif _imported(link, row) != link:
                    updated += 1
                else:
                    continue
                if entry.profile.id not in changes:
                    changes[entry.profile.id] = self._bump(entry)
                if link is None:
                    self._add(
                        entry,
                        LinkDraft(slug=row.slug, target=row.target, title=row.title, kind=row.kind),
                    )
                else:
                    self._replace(entry, link, _imported(link, row))
        unchanged = len(rows) - created - updated - len(rejected)
        return ImportResult(created, updated, unchanged, rejected, list(changes.values()))

    # SnapshotSource, for edges

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        await trio.lowlevel.checkpoint()
        matches = [self._resolve(path) for path in paths]
        links_by_profile: dict[int, list[Link]] = {}
        for entry, link in filter(None, matches):
            links_by_profile.setdefault(entry.profile.id, []).extend([link] if link else [])
        snapshots = {
            profile_id: self._snapshot(self._profiles[profile_id], links)
            for profile_id, links in links_by_profile.items()
        }
        return [snapshots[match[0].profile.id] if match else None for match in matches]

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        await trio.lowlevel.checkpoint()
        entry = self._profiles.get(profile_id)
        if entry is None:
            return None
        changed = [link for link in entry.links.values() if entry.revisions[link.id] > since]
        removed = sorted(link for link, version in entry.removed.items() if version > since)
        too_far = not 0 <= entry.profile.version - since <= MAX_HISTORY
        if too_far or len(changed) + len(removed) > limit:
            return self._with_experiments(snapshot(entry, False, ()))
        complete = len(entry.links) <= MAX_WHOLE_LINKS
        return msgspec.structs.replace(
            self._with_experiments(snapshot(entry, complete, changed)),
            since=since,
            removed=tuple(removed),
        )

    async def following_links(
        self, tenant_id: int, profile_id: int, after: int, limit: int
    ) -> LinkBatch:
        await trio.lowlevel.checkpoint()
        entry = self._profiles.get(profile_id)
        if entry is None or entry.profile.tenant_id != tenant_id:
            return LinkBatch(0, ())
        following = sorted((i for i in entry.links.values() if i.id > after), key=lambda i: i.id)
        links = snapshot(entry, False, following[:limit]).links
        return LinkBatch(entry.profile.version if links else 0, links)

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        await trio.lowlevel.checkpoint()
        if cursor is None:
            return [], str(self._last_number)
        changes = [c for number, c in self._latest_changes.values() if number > int(cursor)]
        return (changes if len(changes) <= 10_000 else None), str(self._last_number)

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

    # For the twin of experiments

    def links_of(self, profile_id: int) -> set[int]:
        """Return the ids of a profile's links; empty if it was deleted."""
        entry = self._profiles.get(profile_id)
        return set() if entry is None else {link.id for link in entry.links.values()}

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
        short = draft.short is not False and draft.slug not in self._shorts
        link = Link(
            id=self._new_id(),
            profile_id=entry.profile.id,
            version=1,
            created_at=now,
            updated_at=now,
            **msgspec.structs.asdict(draft) | {"short": short},
        )
        if link.short:
            self._shorts[link.slug] = link.id
        entry.links[link.slug] = link
        entry.revisions[link.id] = entry.profile.version
        self._by_link_id[link.id] = entry, link.slug
        return link

    def _check_free(self, entry: MemoryProfile, draft: LinkDraft) -> None:
        if draft.slug in entry.links:
            raise ConflictError("slug", "is taken in this profile")
        if draft.short and draft.slug in self._shorts:
            raise ConflictError("short", "is taken on the default domain")

    def _changed(self, entry: MemoryProfile, link: Link, draft: LinkDraft) -> Link:
        """Return the link with the draft's fields and its old version and time. Raises ConflictError."""
        owner = self._shorts.get(draft.slug)
        updated = apply_draft(link, draft)
        if draft.slug != link.slug and draft.slug in entry.links:
            raise ConflictError("slug", "is taken in this profile")
        if draft.short and owner not in (None, link.id):
            raise ConflictError("short", "is taken on the default domain")
        return msgspec.structs.replace(updated, short=updated.short and owner in (None, link.id))

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
        if len(entry.links) <= MAX_WHOLE_LINKS:
            return self._with_experiments(snapshot(entry, True, entry.links.values()))
        unique = {link.id: link for link in links}.values()
        return self._with_experiments(snapshot(entry, False, unique))

    def _with_experiments(self, snapshot: Snapshot) -> Snapshot:
        experiments = self.experiments_of(snapshot.profile_id)
        return msgspec.structs.replace(snapshot, experiments=experiments)


def _imported(link: Link, row: ImportRow) -> Link:
    """Return the link with the row's target, kind and title. A row without a title keeps the link's."""
    return msgspec.structs.replace(
        link, target=row.target, title=row.title or link.title, kind=row.kind
    )


def _page(items: Iterable[Profile] | Iterable[Link], after: int, limit: int) -> ListPage:
    following = sorted((item for item in items if item.id > after), key=lambda item: item.id)
    return ListPage.of(following, limit)

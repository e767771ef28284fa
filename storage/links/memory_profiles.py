"""Profiles and links in memory: the twin of storage.links.profiles, storage.links.import_rows and storage.visits.snapshots.

One object holds the state of all tenants. A method changes it without a checkpoint in between,
which makes each one a transaction.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec
import trio

from engine.accounts.access import Action, Caller, MemberRole, require, require_scope
from engine.common.errors import ConflictError, NotFoundError, WaypostError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.experiments.experiment import EdgeExperiment
from engine.github.repository import LinkSync
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
from engine.visits.snapshot import Snapshot
from storage.links.link_rows import wanted_link
from storage.links.memory_profile import MemoryProfile, snapshot
from storage.postgres.memory_idempotency import MemoryIdempotency
from storage.visits import paths

_EPOCH_2026_MS = 1_767_225_600_000


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryProfiles:
    """ProfileStore, LinkImporter and SnapshotSource without a server."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._profiles: dict[int, MemoryProfile] = {}
        self._where: dict[int, tuple[MemoryProfile, str]] = {}  # link id → its profile, its slug
        self._handles: dict[str, int] = {}
        self._shorts: dict[str, int] = {}
        self._news: dict[int, tuple[int, ProfileChange]] = {}
        self._moves = itertools.count(1)
        self._moved = 0
        self._sequence = itertools.count(1)
        self._answers = MemoryIdempotency(now)
        # Of a profile, as edges see them: what the twin of experiments keeps.
        self.experiments_of: Callable[[int], tuple[EdgeExperiment, ...]] = lambda _: ()
        self.with_github: Callable[[Link], LinkSync | None] = lambda _: None
        self.with_health: Callable[[Link], LinkHealth | None] = lambda _: None

    # Profiles

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "write")
        return self._answers.only_once(caller, once, lambda: self._create(caller, draft).profile)

    async def profile(self, caller: Caller, profile_id: int) -> Profile:
        await trio.lowlevel.checkpoint()
        return self.held(caller, profile_id, Action.READ).profile

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "read")
        mine = (h.profile for h in self._profiles.values() if caller.user_id in h.members)
        return _page(mine, after, limit)

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: ProfileDraft,
        if_version: int | None = None,
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        held = self.held(caller, profile_id, Action.EDIT)
        require_version(held.profile.version, if_version)
        if draft == draft_of(held.profile):
            return held.profile
        if draft.handle != held.profile.handle:
            if draft.handle in self._handles:
                raise ConflictError("handle", "is taken")
            del self._handles[held.profile.handle]
            self._handles[draft.handle] = profile_id
        self._bump(held)
        held.profile = msgspec.structs.replace(held.profile, **msgspec.structs.asdict(draft))
        return held.profile

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        held = self.held(caller, profile_id, Action.DELETE)
        require_version(held.profile.version, if_version)
        self._bump(held, deleted=True)
        for link in held.links.values():
            self._release(link)
            del self._where[link.id]
        del self._handles[held.profile.handle]
        del self._profiles[profile_id]
        return held.profile

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
            held = self.held(caller, profile_id, Action.EDIT)
            self._check_free(held, draft)
            change = self._bump(held)
            return self._add(held, draft), change

        return self._answers.only_once(caller, once, work)

    async def link(self, caller: Caller, link_id: int) -> Link:
        await trio.lowlevel.checkpoint()
        return self._shown(self._held_link(caller, link_id, Action.READ)[1])

    async def list_links(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        held = self.held(caller, profile_id, Action.READ)
        page = _page(held.links.values(), after, limit)
        return page._replace(items=[self._shown(link) for link in page.items])

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: LinkDraft,
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        await trio.lowlevel.checkpoint()
        held, link = self._held_link(caller, link_id, Action.EDIT)
        require_version(link.version, if_version)
        changed = self._changed(held, link, draft)
        if changed == link:
            return link, ProfileChange(held.profile.id, held.profile.version)
        change = self._bump(held)
        return self._replace(held, link, changed), change

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> ProfileChange:
        await trio.lowlevel.checkpoint()
        held, link = self._held_link(caller, link_id, Action.EDIT)
        require_version(link.version, if_version)
        change = self._bump(held)
        self._remove(held, link)
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
            held = self.held(caller, profile_id, Action.EDIT)
            version = held.profile.version
            outcomes = []
            for operation in operations:
                try:
                    outcomes.append(LinkChangeResult(self._operate(held, operation, version)))
                except WaypostError as error:
                    outcomes.append(LinkChangeResult(error=error))
            return outcomes, ProfileChange(profile_id, held.profile.version)

        return self._answers.only_once(caller, once, work)

    def _operate(self, held: MemoryProfile, operation: LinkChange, version: int) -> Link | None:
        """One of many; the first that writes takes the profile beyond `version`."""

        def bump() -> None:
            if held.profile.version == version:
                self._bump(held)

        if operation.op == "create":
            draft = operation.draft(None)
            self._check_free(held, draft)
            bump()
            return self._add(held, draft)
        found, slug = self._where.get(operation.link_id, (None, ""))
        if found is not held:
            raise NotFoundError.of("link")
        link = held.links[slug]
        require_version(link.version, operation.if_version)
        if operation.op == "delete":
            bump()
            self._remove(held, link)
            return None
        changed = self._changed(held, link, operation.draft(link))
        if changed == link:
            return link
        bump()
        return self._replace(held, link, changed)

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
                held = self._profiles[owner] if owner else self._create_empty(caller, row.handle)
                link = held.links.get(row.slug)
                if link is None:
                    created += 1
                elif _imported(link, row) != link:
                    updated += 1
                else:
                    continue
                if held.profile.id not in changes:
                    changes[held.profile.id] = self._bump(held)
                if link is None:
                    self._add(held, LinkDraft(slug=row.slug, target=row.target, title=row.title))
                else:
                    self._replace(held, link, _imported(link, row))
        unchanged = len(rows) - created - updated - len(rejected)
        return ImportResult(created, updated, unchanged, rejected, list(changes.values()))

    # What edges read

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        await trio.lowlevel.checkpoint()
        answers = [self._resolve(path) for path in paths]
        asked: dict[int, list[Link]] = {}
        for held, link in filter(None, answers):
            asked.setdefault(held.profile.id, []).extend([link] if link else [])
        snapshots = {
            profile_id: self._snapshot(self._profiles[profile_id], links)
            for profile_id, links in asked.items()
        }
        return [snapshots[answer[0].profile.id] if answer else None for answer in answers]

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        await trio.lowlevel.checkpoint()
        held = self._profiles.get(profile_id)
        if held is None:
            return None
        changed = [link for link in held.links.values() if held.revisions[link.id] > since]
        removed = sorted(link for link, version in held.removed.items() if version > since)
        too_far = not 0 <= held.profile.version - since <= MAX_HISTORY
        if too_far or len(changed) + len(removed) > limit:
            return self._whole(snapshot(held, False, ()))
        complete = len(held.links) <= MAX_WHOLE_LINKS
        return msgspec.structs.replace(
            self._whole(snapshot(held, complete, changed)), since=since, removed=tuple(removed)
        )

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        await trio.lowlevel.checkpoint()
        if cursor is None:
            return [], str(self._moved)
        news = [change for move, change in self._news.values() if move > int(cursor)]
        return (news if len(news) <= 10_000 else None), str(self._moved)

    # Teams: what the twin of members changes is the very dict that is judged by here

    def team(
        self, caller: Caller, profile_id: int, action: Action
    ) -> tuple[Profile, dict[int, MemberRole]]:
        """A profile and its members' roles, for a caller who may do this."""
        held = self.held(caller, profile_id, action)
        return held.profile, held.members

    def team_of(self, profile_id: int) -> tuple[Profile, dict[int, MemberRole]] | None:
        """The same for whoever has an invitation; None when the profile is gone."""
        held = self._profiles.get(profile_id)
        return None if held is None else (held.profile, held.members)

    # Experiments: their twin changes profiles by these

    def links_of(self, profile_id: int) -> set[int]:
        """The ids of a profile's links; empty when it is gone."""
        held = self._profiles.get(profile_id)
        return set() if held is None else {link.id for link in held.links.values()}

    def bump(self, profile_id: int) -> ProfileChange:
        """The next version of a profile."""
        return self._bump(self._profiles[profile_id])

    # What the twins of synchronisation need

    def all_links(self) -> list[tuple[int, Link]]:
        """Every link with its tenant."""
        return [
            (held.profile.tenant_id, link)
            for held in self._profiles.values()
            for link in held.links.values()
        ]

    def _shown(self, link: Link) -> Link:
        return msgspec.structs.replace(
            link, github=self.with_github(link), health=self.with_health(link)
        )

    # The state

    def held(self, caller: Caller, profile_id: int, action: Action) -> MemoryProfile:
        held = self._profiles.get(profile_id)
        if held is None or caller.user_id not in held.members:
            raise NotFoundError.of("profile")
        require(caller, held.members[caller.user_id], action)
        return held

    def _held_link(
        self, caller: Caller, link_id: int, action: Action
    ) -> tuple[MemoryProfile, Link]:
        held, slug = self._where.get(link_id, (None, ""))
        if held is None or caller.user_id not in held.members:
            raise NotFoundError.of("link")
        require(caller, held.members[caller.user_id], action)
        return held, held.links[slug]

    def _may_import(self, caller: Caller, held: MemoryProfile) -> bool:
        mine = held.profile.tenant_id == caller.tenant_id
        return mine and held.members.get(caller.user_id) in Action.EDIT.value.roles

    def _new_id(self) -> int:
        return (int(time.time() * 1000) - _EPOCH_2026_MS << 20) | next(self._sequence)

    def _create(self, caller: Caller, draft: ProfileDraft) -> MemoryProfile:
        if draft.handle in self._handles:
            raise ConflictError("handle", "is taken")
        held = self._create_empty(caller, draft.handle)
        held.profile = msgspec.structs.replace(held.profile, **msgspec.structs.asdict(draft))
        self._bump(held)
        return held

    def _create_empty(self, caller: Caller, handle: str) -> MemoryProfile:
        """A profile of version 0, to be bumped before anybody sees it."""
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
        held = self._profiles[profile_id] = MemoryProfile(profile)
        held.members[caller.user_id] = "owner"
        self._handles[handle] = profile_id
        return held

    def _bump(self, held: MemoryProfile, *, deleted: bool = False) -> ProfileChange:
        version = held.profile.version + 1
        held.profile = msgspec.structs.replace(
            held.profile, version=version, updated_at=self._now()
        )
        change = ProfileChange(held.profile.id, version, deleted)
        self._moved = next(self._moves)
        self._news[change.profile_id] = (self._moved, change)
        return change

    def _add(self, held: MemoryProfile, draft: LinkDraft) -> Link:
        now = self._now()
        short = draft.short is not False and draft.slug not in self._shorts
        link = Link(
            id=self._new_id(),
            profile_id=held.profile.id,
            version=1,
            created_at=now,
            updated_at=now,
            **msgspec.structs.asdict(draft) | {"short": short},
        )
        if link.short:
            self._shorts[link.slug] = link.id
        held.links[link.slug] = link
        held.revisions[link.id] = held.profile.version
        self._where[link.id] = held, link.slug
        return link

    def _check_free(self, held: MemoryProfile, draft: LinkDraft) -> None:
        if draft.slug in held.links:
            raise ConflictError("slug", "is taken in this profile")
        if draft.short and draft.slug in self._shorts:
            raise ConflictError("short", "is taken on the default domain")

    def _changed(self, held: MemoryProfile, link: Link, draft: LinkDraft) -> Link:
        """What the draft makes of a link, but for its version and time."""
        owner = self._shorts.get(draft.slug)
        wanted = wanted_link(link, draft)
        if draft.slug != link.slug and draft.slug in held.links:
            raise ConflictError("slug", "is taken in this profile")
        if draft.short and owner not in (None, link.id):
            raise ConflictError("short", "is taken on the default domain")
        return msgspec.structs.replace(wanted, short=wanted.short and owner in (None, link.id))

    def _remove(self, held: MemoryProfile, link: Link) -> None:
        self._release(link)
        del held.links[link.slug], held.revisions[link.id], self._where[link.id]
        held.removed[link.id] = held.profile.version

    def _replace(self, held: MemoryProfile, old: Link, changed: Link) -> Link:
        self._release(old)
        if changed.short:
            self._shorts[changed.slug] = changed.id
        link = msgspec.structs.replace(changed, version=old.version + 1, updated_at=self._now())
        if link.slug != old.slug:
            del held.links[old.slug]
        held.links[link.slug] = link
        held.revisions[link.id] = held.profile.version
        self._where[link.id] = held, link.slug
        return link

    def _release(self, link: Link) -> None:
        if link.short:
            del self._shorts[link.slug]

    def _resolve(self, path: bytes) -> tuple[MemoryProfile, Link | None] | None:
        asked = paths.parse(path)
        held: MemoryProfile | None
        if asked.handle is None:
            held, _ = self._where.get(self._shorts.get(asked.slug or "", 0), (None, ""))
        else:
            held = self._profiles.get(self._handles.get(asked.handle, 0))
        if held is None:
            return None
        if asked.slug is None:
            return held, None
        link = held.links.get(asked.slug)
        return (held, link) if link else None

    def _snapshot(self, held: MemoryProfile, asked: Sequence[Link]) -> Snapshot:
        if len(held.links) <= MAX_WHOLE_LINKS:
            return self._whole(snapshot(held, True, held.links.values()))
        return self._whole(snapshot(held, False, {link.id: link for link in asked}.values()))

    def _whole(self, snapshot: Snapshot) -> Snapshot:
        found = self.experiments_of(snapshot.profile_id)
        return msgspec.structs.replace(snapshot, experiments=found)


def _imported(link: Link, row: ImportRow) -> Link:
    """The link as the row wants it. A row without a title keeps the link's."""
    return msgspec.structs.replace(
        link, target=row.target, title=row.title or link.title, kind="url"
    )


def _page(items: Iterable[Profile] | Iterable[Link], after: int, limit: int) -> ListPage:
    found = sorted((item for item in items if item.id > after), key=lambda item: item.id)
    return ListPage.of(found, limit)

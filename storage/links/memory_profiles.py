"""Profiles and links in memory: the twin of storage.links.profiles, its import_rows, and visits.snapshots.

One object holds the state of all tenants. No method yields to another task while it changes that state, so
each is a transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
import trio

from engine.accounts.access import Action, Caller, require_scope
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, InvalidError, NotFoundError, WaypostError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.imports.plan import IfExists, ImportPlan, draft_of_row
from engine.links.link import Link, LinkDraft
from engine.links.link_clicks import ALL_TIME, ClickPeriod
from engine.links.link_query import ALL, LinkQuery, matches, sort_value, with_clicks
from engine.links.link_size import LinkPage, link_chars
from engine.links.name import encode_path
from engine.links.options import options_of, pack_options
from engine.links.ports import ImportNote, ImportResult, ImportRow, LinkChange, LinkChangeResult
from engine.links.profile import (
    MAX_HISTORY,
    Profile,
    ProfileChange,
    ProfileDraft,
    draft_of,
)
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import require_free_of_slugs, settled_slug
from engine.links.visitor_path import ParsedPath
from engine.visits.snapshot import LinkBatch, Snapshot
from storage.links.memory_link_state import MemoryLinkState
from storage.links.memory_profile import MemoryProfile, is_whole, snapshot


class MemoryProfiles(MemoryLinkState):
    """ProfileStore, LinkImporter and SnapshotSource without a server."""

    # Profiles

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "write")
        return self._idempotency.run_once(caller, once, lambda: self._create(caller, draft).profile)

    async def profile(
        self, caller: Caller, profile_id: int, action: Action = Action.READ
    ) -> Profile:
        await trio.lowlevel.checkpoint()
        return self.enter(caller, profile_id, action).profile

    async def list_profiles(
        self, caller: Caller, after: int, limit: int, handle: str | None = None
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "read")
        profiles = (
            msgspec.structs.replace(entry.profile, role=entry.members[caller.user_id])
            for entry in self._profiles.values()
            if caller.user_id in entry.members and handle in (None, entry.profile.handle)
        )
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
            below = (s for s in entry.links if s.lower().startswith(f"{wanted.handle}/"))
            require_free_of_slugs(next(below, None))
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
            settled = self._settled(entry, draft)
            self._check_free(entry, settled)
            change = self._bump(entry)
            return self._add(entry, settled), change

        return self._idempotency.run_once(caller, once, work)

    async def link(self, caller: Caller, link_id: int, period: ClickPeriod | None = None) -> Link:
        await trio.lowlevel.checkpoint()
        link = self._with_twins(self._enter_link(caller, link_id, Action.READ)[1])
        if period is None:
            return link
        return with_clicks(link, self.clicks_in(period).get(link_id), period)

    async def reset_counts(self, caller: Caller, link_id: int) -> tuple[Link, ProfileChange]:
        await trio.lowlevel.checkpoint()
        entry, link = self._enter_link(caller, link_id, Action.EDIT)
        change = self._bump(entry)
        counted = self.clicks_in(ALL_TIME).get(link_id)
        changed = msgspec.structs.replace(
            link, opening_clicks=0, counts_offset=0 if counted is None else counted.clicks
        )
        link = self._replace(entry, link, changed)
        return with_clicks(self._with_twins(link), counted, ALL_TIME), change

    async def list_links(
        self, caller: Caller, profile_id: int, after: int, limit: int, query: LinkQuery = ALL
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.READ)
        links = [self._with_twins(link) for link in entry.links.values()]
        if query.period is not None:
            counted = self.clicks_in(query.period)
            links = [with_clicks(link, counted.get(link.id), query.period) for link in links]
        page = LinkPage(limit)
        for link in listed(links, query, after, self._now()):
            options = pack_options(options_of(link))
            if not page.add(link, link_chars(link.target, link.notes, options)):
                break
        return page.page()

    async def link_at(self, caller: Caller, address: ParsedPath) -> Link:
        await trio.lowlevel.checkpoint()
        handle, slug = address.handle, address.slug or ""
        path = encode_path(slug) if handle is None else link_path(handle, slug)
        entry, link = self._resolve(path) or (None, None)
        if link is None and address.handle is None:
            found, slug = self._by_link_id.get(self._shorts.get(slug, 0), (None, ""))
            entry, link = found, found.links[slug] if found else None
        if entry is None or link is None or caller.user_id not in entry.members:
            raise NotFoundError.of("link")
        return self._with_twins(self._enter_link(caller, link.id, Action.READ)[1])

    async def similar_link(self, caller: Caller, profile_id: int, draft: LinkDraft) -> Link | None:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.READ)
        if draft.slug:
            link = entry.links.get(self._settled(entry, draft).slug or "")
        else:
            same = (link for link in entry.links.values() if link.target == draft.target)
            link = min(same, key=lambda link: link.id, default=None)
        return None if link is None else self._with_twins(link)

    async def put_link(
        self,
        caller: Caller,
        profile_id: int,
        external_id: str,
        draft: Change[LinkDraft, Link | None],
    ) -> tuple[Link, ProfileChange, bool]:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.EDIT)
        same = (link for link in entry.links.values() if link.external_id == external_id)
        stored = next(same, None)
        wanted = draft_after(draft, stored)
        if stored is None:
            wanted = self._settled(entry, wanted)
            self._check_free(entry, wanted)
            change = self._bump(entry)
            return self._add(entry, wanted), change, True
        changed = self._changed(entry, stored, wanted)
        if changed == stored:
            return stored, ProfileChange(profile_id, entry.profile.version), False
        change = self._bump(entry)
        return self._replace(entry, stored, changed), change, False

    async def order_links(
        self, caller: Caller, profile_id: int, link_ids: Sequence[int]
    ) -> ProfileChange:
        await trio.lowlevel.checkpoint()
        entry = self.enter(caller, profile_id, Action.EDIT)
        links = {link.id: link for link in entry.links.values()}
        if not links.keys() >= set(link_ids):
            raise NotFoundError.of("link")
        others = (link.position for link in links.values() if link.id not in link_ids)
        first = min(others, default=len(link_ids)) - len(link_ids)
        change = self._bump(entry)
        for position, link_id in enumerate(link_ids, first):
            if (link := links[link_id]).position != position:
                self._replace(entry, link, msgspec.structs.replace(link, position=position))
        return change

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
            draft = self._settled(entry, operation.draft(None))
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

    async def case_sensitive_handles(self, caller: Caller) -> frozenset[str]:
        await trio.lowlevel.checkpoint()
        return frozenset(
            entry.profile.handle
            for entry in self._profiles.values()
            if entry.profile.tenant_id == caller.tenant_id
            and any("case_sensitive" in each for each in self.slugs_of_domains(entry.profile.id))
        )

    async def import_rows(
        self,
        caller: Caller,
        rows: Sequence[ImportRow],
        if_exists: IfExists = "update",
        *,
        dry_run: bool = False,
        note: ImportNote | None = None,
    ) -> ImportResult:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "write")
        plan = ImportPlan(if_exists)
        for row in self._settled_rows(rows, plan):
            entry = self._profiles.get(self._handles.get(row.handle, 0))
            if entry is not None and not self._may_import(caller, entry):
                plan.reject(row, f"handle: {row.handle!r} is taken")
                continue
            links = {} if entry is None else entry.links
            external_id = row.fields.get("external_id") or None
            owners = (link.slug for link in links.values() if link.external_id == external_id)
            plan.add(row, links.get(row.slug), next(owners, ""))
        numbers = len(plan.created), len(plan.updated), plan.unchanged, plan.rejected
        if dry_run:
            return ImportResult(*numbers, [])
        if note is not None:
            await note(None, ImportResult(*numbers, []))
        return ImportResult(*numbers, list(self._carry_out(caller, plan).values()))

    def _settled_rows(self, rows: Sequence[ImportRow], plan: ImportPlan) -> Iterator[ImportRow]:
        for row in rows:
            allowed = self.slugs_of_domains(self._handles.get(row.handle, 0))
            try:
                yield row._replace(slug=settled_slug(row.slug, row.handle, allowed))
            except InvalidError as error:
                plan.reject(row, "; ".join(f"{each.field} {each.reason}" for each in error.errors))

    def _carry_out(self, caller: Caller, plan: ImportPlan) -> dict[int, ProfileChange]:
        """Make the links of a plan. Returns the profiles' changes by id."""
        changes: dict[int, ProfileChange] = {}

        def changed(handle: str) -> MemoryProfile:
            owner = self._handles.get(handle)
            entry = self._profiles[owner] if owner else self._create_empty(caller, handle)
            if entry.profile.id not in changes:
                changes[entry.profile.id] = self._bump(entry)
            return entry

        for row in plan.created:
            entry = changed(row.handle)
            link = self._add(entry, self._settled(entry, draft_of_row(row)))
            if row.created_at is not None:
                entry.links[link.slug] = msgspec.structs.replace(link, created_at=row.created_at)
        for row, link in plan.updated:
            entry = changed(row.handle)
            self._replace(entry, entry.links[row.slug], link)
        return changes

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
        complete = is_whole(entry)
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


_NUMBERS: Final = ("position", "clicks", "last_click")


def listed(links: Iterable[Link], query: LinkQuery, after: int, now: datetime) -> list[Link]:
    """Return the links of a question behind the last one of the page before, in order."""

    def key(link: Link) -> tuple[object, int]:
        value = sort_value(link, query.sort)
        return (int(value) if query.sort in _NUMBERS else value), link.id

    chosen = sorted((link for link in links if matches(link, query, now)), key=key)
    if query.descending:
        chosen.reverse()
    if not after:
        return chosen
    value = int(query.after_value) if query.sort in _NUMBERS else query.after_value
    before = (value, after)
    return [
        link for link in chosen if (key(link) < before if query.descending else key(link) > before)
    ]


def _page(items: Iterable[Profile], after: int, limit: int) -> ListPage:
    following = sorted((item for item in items if item.id > after), key=lambda item: item.id)
    return ListPage.of(following, limit)

"""Profiles and links in Postgres, for the console.

Guarantees, on top of those of `engine.links.ports.ProfileStore`:
- every change locks its profile's row first, so changes of one profile are serial, and `version` and
  `revision` have neither gaps nor repeats;
- the version that `if_version` is compared with cannot change before the transaction ends;
- an update that changes nothing writes nothing and announces nothing;
- a link that owns `/{slug}` owns it under its current slug, never under an earlier one.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller, require_scope
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.generated_slug import DEFAULT_LENGTH, generate_slug
from engine.links.link import Link, LinkDraft
from engine.links.link_clicks import ALL_TIME, NO_CLICKS, ClickPeriod, ClicksOfLinks
from engine.links.link_query import ALL, LinkQuery, with_clicks
from engine.links.ports import CountClicks, LinkChange, LinkChangeResult
from engine.links.profile import MAX_HISTORY, Profile, ProfileChange, ProfileDraft, draft_of
from engine.links.slugs.slug_rules import require_free_of_slugs
from engine.links.visitor_path import ParsedPath
from storage.accounts.access import MAX_ID, ProfileAccess, enter_link, enter_profile, validate_id
from storage.links.bulk_change import BulkChange
from storage.links.link_rows import (
    apply_draft,
    fetch_link,
    insert_link,
    map_unique_violations,
    remove_link,
    rewrite_link,
)
from storage.links.link_slugs import settled_draft, slug_below
from storage.links.listing import list_links
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

T = TypeVar("T")
SQL: Final = queries.load("links/profiles")


class PostgresProfileStore:
    """ProfileStore over a database that was opened as waypost_app. Without `count_clicks`, it is not asked for
    links' clicks."""

    def __init__(
        self,
        database: Database,
        slug_length: int = DEFAULT_LENGTH,
        count_clicks: CountClicks | None = None,
    ) -> None:
        self._database = database
        self._count_clicks = count_clicks
        self._make_slug = partial(generate_slug, slug_length, secrets.choice)

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            row = await connection.fetchrow(
                SQL["create_profile"],
                caller.tenant_id,
                draft.handle,
                draft.title,
                draft.raw_retention_days,
            )
            return _profile(row)

        require_scope(caller, "write")

        return await self._change(caller, run_once(caller, once, work))

    async def profile(
        self, caller: Caller, profile_id: int, action: Action = Action.READ
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            access = await enter_profile(connection, caller, profile_id, action)
            return _profile(await connection.fetchrow(SQL["profile"], access.tenant_id, profile_id))

        return await self._read(caller, work)

    async def list_profiles(
        self, caller: Caller, after: int, limit: int, handle: str | None = None
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(
                SQL["list_profiles"], min(after, MAX_ID), limit + 1, handle
            )
            return ListPage.of([_profile(row) for row in rows], limit)

        require_scope(caller, "read")

        return await self._read(caller, work)

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: Change[ProfileDraft, Profile],
        if_version: int | None = None,
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            stored = await _lock(connection, access, if_version)
            wanted = draft_after(draft, stored)
            if wanted == draft_of(stored):
                return stored
            if wanted.handle != stored.handle:
                require_free_of_slugs(await slug_below(connection, access, wanted.handle))
            row = await connection.fetchrow(
                SQL["update_profile"],
                access.tenant_id,
                profile_id,
                wanted.handle,
                wanted.title,
                wanted.raw_retention_days,
            )
            return _profile(row)

        return await self._change(caller, work)

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            access = await enter_profile(connection, caller, profile_id, Action.DELETE)
            return await delete_entered(connection, access, if_version)

        return await self._change(caller, work)

    async def create_link(
        self,
        caller: Caller,
        profile_id: int,
        draft: LinkDraft,
        once: IdempotentRequest[tuple[Link, ProfileChange]] | None = None,
    ) -> tuple[Link, ProfileChange]:
        async def work(connection: Connection) -> tuple[Link, ProfileChange]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            change = await next_version(connection, access)
            link = await insert_link(connection, access, draft, change.version, self._make_slug)
            return link, change

        return await self._change(caller, run_once(caller, once, work))

    async def link(self, caller: Caller, link_id: int, period: ClickPeriod | None = None) -> Link:
        async def work(connection: Connection) -> Link:
            access = await enter_link(connection, caller, link_id, Action.READ)
            link = await fetch_link(connection, access, link_id)
            if period is None:
                return link
            counted = await self._counted(connection, access, period, [link_id])
            return with_clicks(link, counted.get(link_id), period)

        return await self._read(caller, work)

    async def reset_counts(self, caller: Caller, link_id: int) -> tuple[Link, ProfileChange]:
        async def work(connection: Connection) -> tuple[Link, ProfileChange]:
            access = await enter_link(connection, caller, link_id, Action.EDIT)
            change = await next_version(connection, access)
            of_links = await self._counted(connection, access, ALL_TIME, [link_id])
            counted = of_links.get(link_id, NO_CLICKS)
            await connection.execute(
                SQL["reset_counts"], access.tenant_id, link_id, change.version, counted.clicks
            )
            link = await fetch_link(connection, access, link_id)
            return with_clicks(link, counted, ALL_TIME), change

        return await self._database.transaction(work, caller=caller, one_snapshot=True)

    async def list_links(
        self, caller: Caller, profile_id: int, after: int, limit: int, query: LinkQuery = ALL
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            counted: ClicksOfLinks = {}
            if query.period is not None:
                counted = await self._counted(connection, access, query.period, None)
            return await list_links(connection, access, query, counted, after, limit)

        return await self._read(caller, work)

    async def _counted(
        self,
        connection: Connection,
        access: ProfileAccess,
        period: ClickPeriod,
        links: Sequence[int] | None,
    ) -> ClicksOfLinks:
        if self._count_clicks is None:
            raise ValueError("this store was given no reader of clicks")
        key = access.tenant_id, access.profile_id
        return await self._count_clicks(connection, *key, period, links)

    async def link_at(self, caller: Caller, address: ParsedPath) -> Link:
        async def work(connection: Connection) -> Link:
            key = address.handle or "", address.slug
            link_id = await connection.fetchval(SQL["links_at"], *key)
            if link_id is None:
                raise NotFoundError.of("link")
            access = await enter_link(connection, caller, link_id, Action.READ)
            return await fetch_link(connection, access, link_id)

        return await self._read(caller, work)

    async def similar_link(self, caller: Caller, profile_id: int, draft: LinkDraft) -> Link | None:
        async def work(connection: Connection) -> Link | None:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            if draft.slug:
                slug = (await settled_draft(connection, access, draft)).slug or ""
                return await _find_link(connection, access, "link_with_slug", slug)
            return await _find_link(connection, access, "link_with_target", draft.target)

        return await self._read(caller, work)

    async def put_link(
        self,
        caller: Caller,
        profile_id: int,
        external_id: str,
        draft: Change[LinkDraft, Link | None],
    ) -> tuple[Link, ProfileChange, bool]:
        async def work(connection: Connection) -> tuple[Link, ProfileChange, bool]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            profile = await _lock(connection, access, None)
            stored = await _find_link(connection, access, "link_with_external_id", external_id)
            wanted = draft_after(draft, stored)
            if stored is None:
                change = await next_version(connection, access)
                link = await insert_link(
                    connection, access, wanted, change.version, self._make_slug
                )
                return link, change, True
            wanted = await settled_draft(connection, access, wanted, stored)
            if apply_draft(stored, wanted) == stored:
                return stored, ProfileChange(profile_id, profile.version), False
            change = await next_version(connection, access)
            link = await rewrite_link(connection, access, stored, wanted, change.version)
            return link, change, False

        return await self._change(caller, work)

    async def order_links(
        self, caller: Caller, profile_id: int, link_ids: Sequence[int]
    ) -> ProfileChange:
        async def work(connection: Connection) -> ProfileChange:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            change = await next_version(connection, access)
            ids = [validate_id(link_id, "link") for link_id in link_ids]
            known = await connection.fetchval(
                SQL["order_links"], access.tenant_id, profile_id, change.version, ids
            )
            if known != len(ids):
                raise NotFoundError.of("link")
            return change

        return await self._change(caller, work)

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: Change[LinkDraft, Link],
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        async def work(connection: Connection) -> tuple[Link, ProfileChange]:
            access = await enter_link(connection, caller, link_id, Action.EDIT)
            stored, unchanged = await _lock_link(connection, access, link_id, if_version)
            wanted = draft_after(draft, stored)
            wanted = await settled_draft(connection, access, wanted, stored)
            if apply_draft(stored, wanted) == stored:
                return stored, unchanged
            change = await next_version(connection, access)
            return await rewrite_link(connection, access, stored, wanted, change.version), change

        return await self._change(caller, work)

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> ProfileChange:
        async def work(connection: Connection) -> ProfileChange:
            access = await enter_link(connection, caller, link_id, Action.EDIT)
            await _lock_link(connection, access, link_id, if_version)
            change = await next_version(connection, access)
            await remove_link(connection, access, link_id, change.version)
            await _forget_removed(connection, access, change.version)
            return change

        return await self._change(caller, work)

    async def change_links(
        self,
        caller: Caller,
        profile_id: int,
        operations: Sequence[LinkChange],
        once: IdempotentRequest[tuple[list[LinkChangeResult], ProfileChange]] | None = None,
    ) -> tuple[list[LinkChangeResult], ProfileChange]:
        async def work(connection: Connection) -> tuple[list[LinkChangeResult], ProfileChange]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            version = (await _lock(connection, access, None)).version
            bulk = BulkChange(connection, access, version + 1, self._make_slug)
            outcomes = await bulk.change(operations)
            if not bulk.changed:
                return outcomes, ProfileChange(profile_id, version)
            change = await next_version(connection, access)
            await _forget_removed(connection, access, change.version)
            return outcomes, change

        return await self._change(caller, run_once(caller, once, work))

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)

    async def _change(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        with map_unique_violations():
            return await self._database.transaction(work, caller=caller)


async def delete_entered(
    connection: Connection, access: ProfileAccess, if_version: int | None
) -> Profile:
    """Delete the profile of `access`. Raises LostUpdateError."""
    await _lock(connection, access, if_version)
    return _profile(
        await connection.fetchrow(SQL["delete_profile"], access.tenant_id, access.profile_id)
    )


async def lock_profile(connection: Connection, access: ProfileAccess) -> Profile:
    """Lock the profile against changes until the transaction ends, and return it."""
    return _profile(
        await connection.fetchrow(SQL["lock_profile"], access.tenant_id, access.profile_id)
    )


async def _lock(connection: Connection, access: ProfileAccess, if_version: int | None) -> Profile:
    stored = await lock_profile(connection, access)
    require_version(stored.version, if_version)
    return stored


async def _lock_link(
    connection: Connection, access: ProfileAccess, link_id: int, if_version: int | None
) -> tuple[Link, ProfileChange]:
    """Lock a link's profile until the transaction ends. Returns the link and the profile's version."""
    row = await connection.fetchrow(SQL["lock_profile_of_link"], access.tenant_id, link_id)
    if row is None:
        raise NotFoundError.of("link")
    # In its own statement, because it must see what was committed during the wait for the lock.
    stored = await fetch_link(connection, access, link_id)
    require_version(stored.version, if_version)
    return stored, ProfileChange(row["id"], row["version"])


async def _find_link(
    connection: Connection, access: ProfileAccess, query: str, value: str
) -> Link | None:
    link_id = await connection.fetchval(SQL[query], access.tenant_id, access.profile_id, value)
    return None if link_id is None else await fetch_link(connection, access, link_id)


async def _forget_removed(connection: Connection, access: ProfileAccess, version: int) -> None:
    oldest = version - MAX_HISTORY
    await connection.execute(SQL["forget_removed"], access.tenant_id, access.profile_id, oldest)


async def next_version(connection: Connection, access: ProfileAccess) -> ProfileChange:
    """Give the profile its next version, and return the change to announce. Raises NotFoundError."""
    version = await connection.fetchval(SQL["bump_profile"], access.tenant_id, access.profile_id)
    if version is None:
        raise NotFoundError.of("profile")
    return ProfileChange(access.profile_id, version)


def _profile(row: asyncpg.Record | None) -> Profile:
    if row is None:
        raise NotFoundError.of("profile")
    return Profile(**dict(row))

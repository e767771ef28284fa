"""Profiles and links in Postgres, as the console changes them.

Guarantees, on top of those of `engine.links.ports.ProfileStore`:
- every change takes the lock of its profile's row first, so changes of one profile take turns and
  `version` and `revision` have neither gaps nor repeats;
- what is compared with `if_version` cannot change before the transaction ends;
- an update that changes nothing writes nothing, and nobody is told;
- a link that owns `/{slug}` owns it under the slug it has now, never under an earlier one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller, require_scope
from engine.common.errors import NotFoundError, WaypostError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.link import Link, LinkDraft
from engine.links.ports import LinkChange, LinkChangeResult
from engine.links.profile import MAX_HISTORY, Profile, ProfileChange, ProfileDraft, draft_of
from storage.accounts.access import MAX_ID, ProfileAccess, enter_link, enter_profile, validate_id
from storage.links.link_rows import (
    fetch_link,
    insert_link,
    link_of,
    map_unique_violations,
    remove_link,
    rewrite_link,
    wanted_link,
)
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

T = TypeVar("T")
SQL: Final = queries.load("links/profiles")


class PostgresProfileStore:
    """ProfileStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

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

    async def profile(self, caller: Caller, profile_id: int) -> Profile:
        async def work(connection: Connection) -> Profile:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            return _profile(await connection.fetchrow(SQL["profile"], place.tenant_id, profile_id))

        return await self._read(caller, work)

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(SQL["list_profiles"], min(after, MAX_ID), limit + 1)
            return ListPage.of([_profile(row) for row in rows], limit)

        require_scope(caller, "read")

        return await self._read(caller, work)

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: ProfileDraft,
        if_version: int | None = None,
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            stored = await _lock(connection, place, if_version)
            if draft == draft_of(stored):
                return stored
            row = await connection.fetchrow(
                SQL["update_profile"],
                place.tenant_id,
                profile_id,
                draft.handle,
                draft.title,
                draft.raw_retention_days,
            )
            return _profile(row)

        return await self._change(caller, work)

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            place = await enter_profile(connection, caller, profile_id, Action.DELETE)
            return await delete_entered(connection, place, if_version)

        return await self._change(caller, work)

    async def create_link(
        self,
        caller: Caller,
        profile_id: int,
        draft: LinkDraft,
        once: IdempotentRequest[tuple[Link, ProfileChange]] | None = None,
    ) -> tuple[Link, ProfileChange]:
        async def work(connection: Connection) -> tuple[Link, ProfileChange]:
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            change = await next_version(connection, place)
            return await insert_link(connection, place, draft, change.version), change

        return await self._change(caller, run_once(caller, once, work))

    async def link(self, caller: Caller, link_id: int) -> Link:
        async def work(connection: Connection) -> Link:
            place = await enter_link(connection, caller, link_id, Action.READ)
            return await fetch_link(connection, place, link_id)

        return await self._read(caller, work)

    async def list_links(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            await connection.execute(SQL["read_in_index_order"])
            rows = await connection.fetch(
                SQL["list_links"], place.tenant_id, profile_id, min(after, MAX_ID), limit + 1
            )
            return ListPage.of([link_of(row) for row in rows], limit)

        return await self._read(caller, work)

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: LinkDraft,
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        async def work(connection: Connection) -> tuple[Link, ProfileChange]:
            place = await enter_link(connection, caller, link_id, Action.EDIT)
            stored, unchanged = await _lock_link(connection, place, link_id, if_version)
            if wanted_link(stored, draft) == stored:
                return stored, unchanged
            change = await next_version(connection, place)
            return await rewrite_link(connection, place, stored, draft, change.version), change

        return await self._change(caller, work)

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> ProfileChange:
        async def work(connection: Connection) -> ProfileChange:
            place = await enter_link(connection, caller, link_id, Action.EDIT)
            await _lock_link(connection, place, link_id, if_version)
            change = await next_version(connection, place)
            await remove_link(connection, place, link_id, change.version)
            await _forget_removed(connection, place, change.version)
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
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            version = (await _lock(connection, place, None)).version
            outcomes, changed = [], False
            for operation in operations:
                try:
                    async with connection.transaction():
                        with map_unique_violations():
                            link, wrote = await _operate(connection, place, operation, version + 1)
                    outcomes.append(LinkChangeResult(link=link))
                    changed = changed or wrote
                except WaypostError as error:
                    outcomes.append(LinkChangeResult(error=error))
            if not changed:
                return outcomes, ProfileChange(profile_id, version)
            change = await next_version(connection, place)
            await _forget_removed(connection, place, change.version)
            return outcomes, change

        return await self._change(caller, run_once(caller, once, work))

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)

    async def _change(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        with map_unique_violations():
            return await self._database.transaction(work, caller=caller)


async def delete_entered(
    connection: Connection, place: ProfileAccess, if_version: int | None
) -> Profile:
    """Delete a profile whose place has been entered. Raises LostUpdateError."""
    await _lock(connection, place, if_version)
    return _profile(
        await connection.fetchrow(SQL["delete_profile"], place.tenant_id, place.profile_id)
    )


async def lock_profile(connection: Connection, place: ProfileAccess) -> Profile:
    """The profile, held against changes until the transaction ends."""
    return _profile(
        await connection.fetchrow(SQL["lock_profile"], place.tenant_id, place.profile_id)
    )


async def _lock(connection: Connection, place: ProfileAccess, if_version: int | None) -> Profile:
    stored = await lock_profile(connection, place)
    require_version(stored.version, if_version)
    return stored


async def _lock_link(
    connection: Connection, place: ProfileAccess, link_id: int, if_version: int | None
) -> tuple[Link, ProfileChange]:
    """The link, and its profile's version, which cannot move until the transaction ends."""
    row = await connection.fetchrow(SQL["lock_profile_of_link"], place.tenant_id, link_id)
    if row is None:
        raise NotFoundError.of("link")
    # A statement of its own: it sees what was committed while this one waited for the lock.
    stored = await fetch_link(connection, place, link_id)
    require_version(stored.version, if_version)
    return stored, ProfileChange(row["id"], row["version"])


async def _operate(
    connection: Connection, place: ProfileAccess, operation: LinkChange, revision: int
) -> tuple[Link | None, bool]:
    """One operation of many: the link as it is then, and whether anything was written."""
    if operation.op == "create":
        return await insert_link(connection, place, operation.draft(None), revision), True
    stored = await fetch_link(connection, place, validate_id(operation.link_id, "link"))
    if stored.profile_id != place.profile_id:
        raise NotFoundError.of("link")
    require_version(stored.version, operation.if_version)
    if operation.op == "delete":
        await remove_link(connection, place, stored.id, revision)
        return None, True
    draft = operation.draft(stored)
    if wanted_link(stored, draft) == stored:
        return stored, False
    return await rewrite_link(connection, place, stored, draft, revision), True


async def _forget_removed(connection: Connection, place: ProfileAccess, version: int) -> None:
    oldest = version - MAX_HISTORY
    await connection.execute(SQL["forget_removed"], place.tenant_id, place.profile_id, oldest)


async def next_version(connection: Connection, place: ProfileAccess) -> ProfileChange:
    """The profile's next version, and the news of it."""
    version = await connection.fetchval(SQL["bump_profile"], place.tenant_id, place.profile_id)
    if version is None:
        raise NotFoundError.of("profile")
    return ProfileChange(place.profile_id, version)


def _profile(row: asyncpg.Record | None) -> Profile:
    if row is None:
        raise NotFoundError.of("profile")
    return Profile(**dict(row))

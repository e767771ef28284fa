"""Profiles and links in Postgres, as the console changes them.

Guarantees, on top of those of `engine.ports.ProfileStore`:
- every change takes the lock of its profile's row first, so changes of one profile take turns and
  `version` and `revision` have neither gaps nor repeats;
- what is compared with `if_version` cannot change before the transaction ends;
- an update that changes nothing writes nothing, and nobody is told;
- a link that owns `/{slug}` owns it under the slug it has now, never under an earlier one.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import asyncpg
import msgspec

from engine.access import Action, Caller, demand_scope
from engine.errors import ConflictError, LostUpdateError, NotFoundError
from engine.link import Link, LinkDraft
from engine.ports import Page
from engine.profile import MAX_HISTORY, Change, Profile, ProfileDraft
from storage import sql
from storage.access import MAX_ID, Place, enter_link, enter_profile
from storage.postgres import Connection, Database

T = TypeVar("T")
SQL: Final = sql.load("profiles")
_TAKEN: Final = {
    "profiles_handle": ("handle", "is taken"),
    "links_slug": ("slug", "is taken in this profile"),
    "short_slugs_pkey": ("short", "is taken on the default domain"),
}


class Profiles:
    """ProfileStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_profile(self, caller: Caller, draft: ProfileDraft) -> Profile:
        async def work(connection: Connection) -> Profile:
            row = await connection.fetchrow(
                SQL["create_profile"], caller.tenant_id, draft.handle, draft.title
            )
            return _profile(row)

        demand_scope(caller, "write")

        return await self._change(caller, work)

    async def profile(self, caller: Caller, profile_id: int) -> Profile:
        async def work(connection: Connection) -> Profile:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            return _profile(await connection.fetchrow(SQL["profile"], place.tenant_id, profile_id))

        return await self._read(caller, work)

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> Page:
        async def work(connection: Connection) -> Page:
            rows = await connection.fetch(SQL["list_profiles"], min(after, MAX_ID), limit + 1)
            return _page([_profile(row) for row in rows], limit)

        demand_scope(caller, "read")

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
            if (draft.handle, draft.title) == (stored.handle, stored.title):
                return stored
            row = await connection.fetchrow(
                SQL["update_profile"], place.tenant_id, profile_id, draft.handle, draft.title
            )
            return _profile(row)

        return await self._change(caller, work)

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        async def work(connection: Connection) -> Profile:
            place = await enter_profile(connection, caller, profile_id, Action.DELETE)
            await _lock(connection, place, if_version)
            return _profile(
                await connection.fetchrow(SQL["delete_profile"], place.tenant_id, profile_id)
            )

        return await self._change(caller, work)

    async def create_link(
        self, caller: Caller, profile_id: int, draft: LinkDraft
    ) -> tuple[Link, Change]:
        async def work(connection: Connection) -> tuple[Link, Change]:
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            change = await _bump(connection, place)
            row = await connection.fetchrow(
                SQL["create_link"], place.tenant_id, profile_id, change.version, *_columns(draft)
            )
            assert row is not None
            short = draft.short is not False and await _claim(
                connection,
                (place.tenant_id, profile_id, row["id"]),
                draft.slug,
                must=bool(draft.short),
            )
            fields = msgspec.structs.asdict(draft) | dict(row) | {"short": short}
            return Link(profile_id=profile_id, version=1, **fields), change

        return await self._change(caller, work)

    async def link(self, caller: Caller, link_id: int) -> Link:
        async def work(connection: Connection) -> Link:
            place = await enter_link(connection, caller, link_id, Action.READ)
            return await _fetch_link(connection, place, link_id)

        return await self._read(caller, work)

    async def list_links(self, caller: Caller, profile_id: int, after: int, limit: int) -> Page:
        async def work(connection: Connection) -> Page:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            await connection.execute(SQL["read_in_index_order"])
            rows = await connection.fetch(
                SQL["list_links"], place.tenant_id, profile_id, min(after, MAX_ID), limit + 1
            )
            return _page([Link(**dict(row)) for row in rows], limit)

        return await self._read(caller, work)

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: LinkDraft,
        if_version: int | None = None,
    ) -> tuple[Link, Change]:
        async def work(connection: Connection) -> tuple[Link, Change]:
            place = await enter_link(connection, caller, link_id, Action.EDIT)
            stored, unchanged = await _lock_link(connection, place, link_id, if_version)
            short = stored.short if draft.short is None else draft.short
            wanted = msgspec.structs.replace(
                stored, **msgspec.structs.asdict(draft) | {"short": short}
            )
            if wanted == stored:
                return stored, unchanged
            change = await _bump(connection, place)
            row = await connection.fetchrow(
                SQL["update_link"], place.tenant_id, link_id, change.version, *_columns(draft)
            )
            assert row is not None
            short = await _move_short(connection, place, stored, wanted, bool(draft.short))
            return msgspec.structs.replace(wanted, **dict(row) | {"short": short}), change

        return await self._change(caller, work)

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> Change:
        async def work(connection: Connection) -> Change:
            place = await enter_link(connection, caller, link_id, Action.EDIT)
            await _lock_link(connection, place, link_id, if_version)
            change = await _bump(connection, place)
            tenant_id, oldest = place.tenant_id, change.version - MAX_HISTORY
            await connection.execute(SQL["delete_link"], tenant_id, link_id, change.version)
            await connection.execute(SQL["forget_removed"], tenant_id, place.profile_id, oldest)
            return change

        return await self._change(caller, work)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.run(work, caller=caller, read_only=True)

    async def _change(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        with _conflicts():
            return await self._database.run(work, caller=caller)


@contextmanager
def _conflicts() -> Iterator[None]:
    """Unique violations of names that people choose become ConflictErrors."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        taken = _TAKEN.get(error.constraint_name or "")
        if taken is None:
            raise
        raise ConflictError(*taken) from None


async def _lock(connection: Connection, place: Place, if_version: int | None) -> Profile:
    row = await connection.fetchrow(SQL["lock_profile"], place.tenant_id, place.profile_id)
    stored = _profile(row)
    _check_version(stored, if_version)
    return stored


async def _lock_link(
    connection: Connection, place: Place, link_id: int, if_version: int | None
) -> tuple[Link, Change]:
    """The link, and its profile's version, which cannot move until the transaction ends."""
    row = await connection.fetchrow(SQL["lock_profile_of_link"], place.tenant_id, link_id)
    if row is None:
        raise NotFoundError("there is no such link")
    # A statement of its own: it sees what was committed while this one waited for the lock.
    stored = await _fetch_link(connection, place, link_id)
    _check_version(stored, if_version)
    return stored, Change(row["id"], row["version"])


async def _bump(connection: Connection, place: Place) -> Change:
    version = await connection.fetchval(SQL["bump_profile"], place.tenant_id, place.profile_id)
    if version is None:
        raise NotFoundError("there is no such profile")
    return Change(place.profile_id, version)


async def _fetch_link(connection: Connection, place: Place, link_id: int) -> Link:
    row = await connection.fetchrow(SQL["link"], place.tenant_id, link_id)
    if row is None:
        raise NotFoundError("there is no such link")
    return Link(**dict(row))


async def _move_short(
    connection: Connection, place: Place, stored: Link, wanted: Link, must: bool
) -> bool:
    """Let the link own `/{slug}` as wanted; whether it does. A new slug is one statement, so that the
    log has it as part of the link's change."""
    if (wanted.short, wanted.slug) == (stored.short, stored.slug):
        return stored.short
    if stored.short and wanted.short:
        renamed = await connection.fetchval(
            SQL["rename_short" if must else "rename_free_short"],
            place.tenant_id,
            stored.id,
            wanted.slug,
        )
        if renamed is not None:
            return True
    if stored.short:
        await connection.execute(SQL["release_short"], place.tenant_id, stored.id)
        return False
    key = (place.tenant_id, stored.profile_id, stored.id)
    return wanted.short and await _claim(connection, key, wanted.slug, must=must)


async def _claim(
    connection: Connection, key: tuple[int, int, int], slug: str, *, must: bool
) -> bool:
    if must:
        await connection.execute(SQL["claim_short"], *key, slug)
        return True
    return await connection.fetchval(SQL["claim_free_short"], *key, slug) is not None


def _columns(draft: LinkDraft) -> tuple[object, ...]:
    return draft.slug, draft.target, draft.title, draft.status, draft.kind, draft.passthrough


def _profile(row: asyncpg.Record | None) -> Profile:
    if row is None:
        raise NotFoundError("there is no such profile")
    return Profile(**dict(row))


def _page(items: list[Profile] | list[Link], limit: int) -> Page:
    """Rows were asked for one more than the limit, to know whether there are more."""
    return Page(items[:limit], items[limit - 1].id if len(items) > limit else None)


def _check_version(stored: Profile | Link, if_version: int | None) -> None:
    if if_version is not None and stored.version != if_version:
        raise LostUpdateError(f"it has version {stored.version}, not {if_version}")

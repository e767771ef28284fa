"""Links in Postgres, row by row: what every change of a link comes down to.

The caller holds the lock of the links' profile, and has entered the tenant where it lives. `revision` is
the version that the profile has, or will have, with the change.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import msgspec

from engine.common.errors import ConflictError, NotFoundError
from engine.github.repository import LinkSync
from engine.links.health import LinkHealth
from engine.links.link import Link, LinkDraft
from storage.accounts.access import ProfileAccess
from storage.postgres import queries
from storage.postgres.database import Connection

SQL: Final = queries.load("links/profiles")
_GITHUB: Final = queries.load("github/github")
_TAKEN: Final = {
    "profiles_handle": ("handle", "is taken"),
    "links_slug": ("slug", "is taken in this profile"),
    "short_slugs_pkey": ("short", "is taken on the default domain"),
}


async def insert_link(
    connection: Connection, place: ProfileAccess, draft: LinkDraft, revision: int
) -> Link:
    row = await connection.fetchrow(
        SQL["create_link"], place.tenant_id, place.profile_id, revision, *_columns(draft)
    )
    assert row is not None
    short = draft.short is not False and await _claim(
        connection,
        (place.tenant_id, place.profile_id, row["id"]),
        draft.slug,
        must=bool(draft.short),
    )
    fields = msgspec.structs.asdict(draft) | dict(row) | {"short": short}
    link = Link(profile_id=place.profile_id, version=1, **fields)
    return await _keep_in_step(connection, place, link, None)


def wanted_link(stored: Link, draft: LinkDraft) -> Link:
    """What the draft makes of a stored link; equal to it when it changes nothing."""
    short = stored.short if draft.short is None else draft.short
    return msgspec.structs.replace(stored, **msgspec.structs.asdict(draft) | {"short": short})


async def rewrite_link(
    connection: Connection, place: ProfileAccess, stored: Link, draft: LinkDraft, revision: int
) -> Link:
    wanted = wanted_link(stored, draft)
    row = await connection.fetchrow(
        SQL["update_link"], place.tenant_id, stored.id, revision, *_columns(draft)
    )
    assert row is not None
    short = await _move_short(connection, place, stored, wanted, bool(draft.short))
    link = msgspec.structs.replace(wanted, **dict(row) | {"short": short})
    return await _keep_in_step(connection, place, link, stored)


async def remove_link(
    connection: Connection, place: ProfileAccess, link_id: int, revision: int
) -> None:
    await connection.execute(SQL["delete_link"], place.tenant_id, link_id, revision)


async def fetch_link(connection: Connection, place: ProfileAccess, link_id: int) -> Link:
    row = await connection.fetchrow(SQL["link"], place.tenant_id, link_id)
    if row is None:
        raise NotFoundError.of("link")
    return link_of(row)


def link_of(row: asyncpg.Record) -> Link:
    """A row of the queries `link` and `list_links`."""
    fields = dict(row)
    for name, kind in (("github", LinkSync), ("health", LinkHealth)):
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name], type=kind)
    return Link(**fields)


@contextmanager
def map_unique_violations() -> Iterator[None]:
    """Unique violations of names that people choose become ConflictErrors."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        taken = _TAKEN.get(error.constraint_name or "")
        if taken is None:
            raise
        raise ConflictError(*taken) from None


async def _keep_in_step(
    connection: Connection, place: ProfileAccess, link: Link, before: Link | None
) -> Link:
    """Begin, or stop, to ask GitHub what the link's target is, where that is another now."""
    if before is not None and (before.kind, before.target) == (link.kind, link.target):
        return link
    if before is not None and before.target != link.target:
        link = msgspec.structs.replace(link, health=None)
    key = place.tenant_id, link.id
    if before is not None:
        await connection.execute(_GITHUB["stop_sync"], *key)
    if link.kind != "github":
        return msgspec.structs.replace(link, github=None)
    due = await connection.fetchval(_GITHUB["start_sync"], *key, link.target)
    sync = LinkSync(state="queued", reason="", facts=None, synced_at=None, next_at=due, version=1)
    return msgspec.structs.replace(link, github=sync)


async def _move_short(
    connection: Connection, place: ProfileAccess, stored: Link, wanted: Link, must: bool
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


def _columns(draft: LinkDraft) -> list[object]:
    """The parameters of create_link and update_link behind the first three, in the order of LinkDraft."""
    return [getattr(draft, name) for name in LinkDraft.__struct_fields__ if name != "short"]

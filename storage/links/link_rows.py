"""Links in Postgres, row by row: the statements that every change of a link consists of.

The calling code has locked the links' profile and entered its tenant. `revision` is the version of the
profile that has the change.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
import msgspec

from engine.common.errors import ConflictError, NotFoundError
from engine.github.repository import LinkSync
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.health import LinkHealth
from engine.links.link import Link, LinkDraft
from engine.links.options import (
    NO_OPTIONS,
    OPTION_FIELDS,
    options_of,
    pack_options,
    unpack_options,
)
from storage.accounts.access import ProfileAccess
from storage.links.generated_links import insert_generated_links, no_free_slug
from storage.links.link_slugs import settled_draft
from storage.postgres import queries
from storage.postgres.database import Connection

SQL: Final = queries.load("links/profiles")
_GITHUB: Final = queries.load("github/github")
_TAKEN: Final = {
    "profiles_handle": ("handle", "is taken"),
    "links_slug": ("slug", "is taken in this profile"),
    "links_external_id": ("external_id", "is that of another link of this profile"),
    "short_slugs_pkey": ("short", "is taken on the default domain"),
}
_JSON: Final = (
    ("github", LinkSync),
    ("health", LinkHealth),
    ("engine_quarantine", EngineQuarantine),
)
# In the order of the parameters of create_link and update_link.
_COLUMNS: Final = (
    "slug", "target", "title", "status", "kind", "passthrough", "click_id", "external_id", "tags", "folder",
    "notes", "hidden", "password", "opening_clicks",
)  # fmt: skip


async def insert_link(
    connection: Connection,
    access: ProfileAccess,
    draft: LinkDraft,
    revision: int,
    make_slug: Callable[[], str],
) -> Link:
    """Insert a link. One without a slug gets one of `make_slug` that is free."""
    draft = await settled_draft(connection, access, draft)
    if draft.slug is not None:
        return await _insert(connection, access, draft, draft.slug, revision)
    (link,) = await insert_generated_links(connection, access, [draft], revision, make_slug)
    if link is None:
        raise no_free_slug()
    return await _follow_target(connection, access, link, None)


async def _insert(
    connection: Connection, access: ProfileAccess, draft: LinkDraft, slug: str, revision: int
) -> Link:
    draft = msgspec.structs.replace(draft, slug=slug)
    row = await connection.fetchrow(
        SQL["create_link"], access.tenant_id, access.profile_id, revision, *_columns(draft)
    )
    assert row is not None
    key = (access.tenant_id, access.profile_id, row["id"])
    short = draft.short is not False and await _claim(connection, key, slug, must=bool(draft.short))
    fields = msgspec.structs.asdict(draft) | dict(row) | {"short": short}
    link = Link(profile_id=access.profile_id, version=1, **fields)
    return await _follow_target(connection, access, link, None)


def apply_draft(stored: Link, draft: LinkDraft) -> Link:
    """Return the stored link with the draft's fields; equal to `stored` if the draft changes nothing."""
    kept = {
        name: getattr(stored, name)
        for name in ("slug", "short", "position")
        if getattr(draft, name) is None
    }
    return msgspec.structs.replace(stored, **msgspec.structs.asdict(draft) | kept)


async def rewrite_link(
    connection: Connection, access: ProfileAccess, stored: Link, draft: LinkDraft, revision: int
) -> Link:
    updated = apply_draft(stored, draft)
    row = await connection.fetchrow(
        SQL["update_link"], access.tenant_id, stored.id, revision, *_columns(updated)
    )
    assert row is not None
    short = await _move_short(connection, access, stored, updated, bool(draft.short))
    link = msgspec.structs.replace(updated, **dict(row) | {"short": short})
    return await _follow_target(connection, access, link, stored)


async def remove_link(
    connection: Connection, access: ProfileAccess, link_id: int, revision: int
) -> None:
    await connection.execute(SQL["delete_link"], access.tenant_id, link_id, revision)


async def fetch_link(connection: Connection, access: ProfileAccess, link_id: int) -> Link:
    row = await connection.fetchrow(SQL["link"], access.tenant_id, link_id)
    if row is None:
        raise NotFoundError.of("link")
    return link_of(row)


def link_of(row: asyncpg.Record | dict[str, Any]) -> Link:
    """Return the link in a row of the query `link` or `list_links`."""
    fields = dict(row)
    for name, kind in _JSON:
        if fields[name] is not None:
            fields[name] = msgspec.json.decode(fields[name], type=kind)
    fields["tags"] = tuple(fields["tags"])
    options = unpack_options(fields.pop("options")) or NO_OPTIONS
    return Link(**fields, **{name: getattr(options, name) for name in OPTION_FIELDS})


@contextmanager
def map_unique_violations() -> Iterator[None]:
    """Raise ConflictError for a handle, slug or short slug that Postgres refuses as not unique."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        conflict = _TAKEN.get(error.constraint_name or "")
        if conflict is None:
            raise
        raise ConflictError(*conflict) from None


async def _follow_target(
    connection: Connection, access: ProfileAccess, link: Link, before: Link | None
) -> Link:
    """Start or stop the synchronisation with GitHub and drop the link's health, if its target changed."""
    if before is not None and (before.kind, before.target) == (link.kind, link.target):
        return link
    if before is not None and before.target != link.target:
        link = msgspec.structs.replace(link, health=None)
    key = access.tenant_id, link.id
    if before is not None:
        await connection.execute(_GITHUB["stop_sync"], *key)
    if link.kind != "github":
        return msgspec.structs.replace(link, github=None)
    due = await connection.fetchval(_GITHUB["start_sync"], *key, link.target)
    sync = LinkSync(state="queued", reason="", facts=None, synced_at=None, next_at=due, version=1)
    return msgspec.structs.replace(link, github=sync)


async def _move_short(
    connection: Connection, access: ProfileAccess, stored: Link, updated: Link, must: bool
) -> bool:
    """Claim, rename or release `/{slug}`. Returns whether the link owns it.

    A rename is one statement, so that the audit log shows it as part of the link's change. With `must`, a
    slug of another link raises UniqueViolationError.
    """
    if (updated.short, updated.slug) == (stored.short, stored.slug):
        return stored.short
    if stored.short and updated.short:
        renamed = await connection.fetchval(
            SQL["rename_short" if must else "rename_free_short"],
            access.tenant_id,
            stored.id,
            updated.slug,
        )
        if renamed is not None:
            return True
    if stored.short:
        await connection.execute(SQL["release_short"], access.tenant_id, stored.id)
        return False
    key = (access.tenant_id, stored.profile_id, stored.id)
    return updated.short and await _claim(connection, key, updated.slug, must=must)


async def _claim(
    connection: Connection, key: tuple[int, int, int], slug: str, *, must: bool
) -> bool:
    if must:
        await connection.execute(SQL["claim_short"], *key, slug)
        return True
    return await connection.fetchval(SQL["claim_free_short"], *key, slug) is not None


def _columns(draft: LinkDraft | Link) -> list[object]:
    """Return the parameters of create_link and update_link after the first three."""
    return [
        *(getattr(draft, name) for name in _COLUMNS),
        pack_options(options_of(draft)),
        draft.position,
    ]

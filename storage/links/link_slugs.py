"""Slugs of links in Postgres, by the rules of their profile's domains.

The calling code has locked the profile, as every change of its domains does: so no domain stops allowing a slug
while a link gets it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.common.errors import InvalidError
from engine.links.imports.plan import ImportPlan
from engine.links.link import Link, LinkDraft
from engine.links.ports import ImportRow
from engine.links.slugs.slug_rules import (
    Features,
    has_another_door,
    needed_features,
    settled_short,
    settled_slug,
)
from storage.accounts.access import ProfileAccess
from storage.postgres import queries
from storage.postgres.database import Connection

SQL: Final = queries.load("links/link_slugs")


async def settled_draft(
    connection: Connection, access: ProfileAccess, draft: LinkDraft, stored: Link | None = None
) -> LinkDraft:
    """Return the draft with the slug that its link gets. `stored` is the link before. Raises InvalidError."""
    slug = draft.slug
    if slug is None or not needed_features(slug):
        return draft
    if stored is None or slug != stored.slug:
        rows = await connection.fetch(SQL["rules"], access.tenant_id, access.profile_id)
        slug = settled_slug(slug, rows[0]["handle"], [frozenset(row["slugs"]) for row in rows])
    short = settled_short(slug, draft.short, stored is not None and stored.short)
    return msgspec.structs.replace(draft, slug=slug, short=short)


async def settled_rows(
    connection: Connection, tenant_id: int, rows: Sequence[ImportRow], plan: ImportPlan
) -> Sequence[ImportRow]:
    """Return the rows of a file, each with the slug that its link gets. Rows whose slug no domain of their
    profile allows are rejected in `plan`."""
    handles = sorted({row.handle for row in rows if needed_features(row.slug)})
    if not handles:
        return rows
    allowed = await _allowed(connection, tenant_id, handles)
    settled = []
    for row in rows:
        try:
            slug = settled_slug(row.slug, row.handle, allowed.get(row.handle, ()))
        except InvalidError as error:
            plan.reject(row, "; ".join(f"{each.field} {each.reason}" for each in error.errors))
            continue
        settled.append(row._replace(slug=slug))
    return settled


async def _allowed(
    connection: Connection, tenant_id: int, handles: Sequence[str]
) -> dict[str, list[Features]]:
    """Return what each domain of profiles allows, by handle."""
    allowed: dict[str, list[Features]] = {}
    for row in await connection.fetch(SQL["rules_by_handle"], tenant_id, handles):
        allowed.setdefault(row["handle"], []).append(frozenset(row["slugs"]))
    return allowed


async def unreachable_slugs(
    connection: Connection, access: ProfileAccess, allowed: Sequence[Features], limit: int
) -> list[str]:
    """Return at most `limit` slugs of a profile that no domain would allow, if its domains allowed this."""
    slugs: list[str] = []
    after = 0
    while len(slugs) < limit:
        rows = await connection.fetch(
            SQL["other_slugs"], access.tenant_id, access.profile_id, after
        )
        if not rows:
            break
        after = rows[-1]["id"]
        slugs += [row["slug"] for row in rows if not has_another_door(row["slug"], allowed)]
    return slugs[:limit]


async def slug_below(connection: Connection, access: ProfileAccess, name: str) -> str | None:
    """Return a slug of the profile that begins with a name and a slash; None if there is none."""
    key = access.tenant_id, access.profile_id, name
    slug: str | None = await connection.fetchval(SQL["slug_below"], *key)
    return slug

"""Links whose slugs the engine makes, created many in one statement.

A statement claims `/{slug}` of the default domain first, and creates the links whose claim it got, so that a
slug that is taken undoes nothing: its link is tried again with another.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from engine.common.errors import ConflictError
from engine.links.link import Link, LinkDraft
from engine.links.options import options_of, pack_options
from storage.accounts.access import ProfileAccess
from storage.postgres import queries
from storage.postgres.database import Connection

SQL: Final = queries.load("links/profiles")
MAX_SLUG_ATTEMPTS: Final = 20
# In the order of the parameters of create_generated_links behind the slugs.
_COLUMNS: Final = (
    "target", "title", "status", "kind", "passthrough", "click_id", "external_id", "tags", "folder", "notes",
    "hidden", "password", "opening_clicks", "options", "position",
)  # fmt: skip


def no_free_slug() -> ConflictError:
    return ConflictError("slug", "finds no free one of this length: raise WAYPOST_SLUG_LENGTH")


async def insert_generated_links(
    connection: Connection,
    access: ProfileAccess,
    drafts: Sequence[LinkDraft],
    revision: int,
    make_slug: Callable[[], str],
) -> list[Link | None]:
    """Insert links without slugs, each under a free one. Returns them in their order: None for one that got no
    free slug in MAX_SLUG_ATTEMPTS attempts. Raises UniqueViolationError for an external id that is taken."""
    links: list[Link | None] = [None] * len(drafts)
    missing = list(range(len(drafts)))
    for _ in range(MAX_SLUG_ATTEMPTS):
        numbers = {make_slug(): number for number in missing}
        rows = await connection.fetch(
            SQL["create_generated_links"],
            access.tenant_id,
            access.profile_id,
            revision,
            list(numbers),
            [drafts[number].short is not False for number in numbers.values()],
            *_values([drafts[number] for number in numbers.values()]),
        )
        for row in rows:
            number = numbers[row["slug"]]
            fields = msgspec.structs.asdict(drafts[number]) | dict(row)
            links[number] = Link(profile_id=access.profile_id, version=1, **fields)
        missing = [number for number in missing if links[number] is None]
        if not missing:
            break
    return links


def _values(drafts: Sequence[LinkDraft]) -> list[list[Any]]:
    """Return the drafts' values, a list for each of _COLUMNS."""
    rows = [
        {name: getattr(draft, name, None) for name in _COLUMNS}
        | {"tags": ",".join(draft.tags), "options": pack_options(options_of(draft))}
        for draft in drafts
    ]
    return [[row[name] for row in rows] for name in _COLUMNS]

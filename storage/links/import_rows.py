"""Imports into Postgres: up to 5,000 links in one transaction of a few statements.

Every import locks handles and short slugs in sorted order, so that two imports wait for each other rather
than deadlock. The database layer repeats a transaction that deadlocks all the same.
"""

from collections.abc import Sequence
from typing import Final

from engine.accounts.access import Action, Caller, require_scope
from engine.links.ports import ImportResult, ImportRow
from engine.links.profile import ProfileChange
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("links/import_rows")
MAX_ROWS: Final = 5_000


class PostgresLinkImporter:
    """LinkImporter over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def import_rows(self, caller: Caller, rows: Sequence[ImportRow]) -> ImportResult:
        if len(rows) > MAX_ROWS:
            raise ValueError(f"at most {MAX_ROWS} rows at once, not {len(rows)}")
        handles = sorted({row.handle for row in rows})
        last = {(row.handle, row.slug): row for row in rows}

        tenant_id = caller.tenant_id

        async def work(connection: Connection) -> ImportResult:
            await connection.execute(SQL["create_profiles"], tenant_id, handles)
            locked = await connection.fetch(
                SQL["lock_profiles"], tenant_id, handles, caller.user_id, Action.EDIT.value.roles
            )
            profiles = {row["handle"]: (row["id"], row["version"] + 1) for row in locked}
            created, updated, changes = await _write(
                connection, tenant_id, profiles, [r for r in last.values() if r.handle in profiles]
            )
            rejected = [
                (row.line, f"handle: {row.handle!r} is taken")
                for row in rows
                if row.handle not in profiles
            ]
            unchanged = len(rows) - len(rejected) - created - updated
            return ImportResult(created, updated, unchanged, rejected, changes)

        require_scope(caller, "write")
        return await self._database.transaction(work, caller=caller)


async def _write(
    connection: Connection,
    tenant_id: int,
    profiles: dict[str, tuple[int, int]],
    rows: Sequence[ImportRow],
) -> tuple[int, int, list[ProfileChange]]:
    """Write the rows that differ. Returns the links created, the links updated and the profiles' changes."""
    written = await connection.fetch(
        SQL["write_links"],
        tenant_id,
        [profiles[row.handle][0] for row in rows],
        [profiles[row.handle][1] for row in rows],
        [row.slug for row in rows],
        [row.target for row in rows],
        [row.title for row in rows],
        [row.kind for row in rows],
    )
    if not written:
        return 0, 0, []
    created = sorted(
        (row["slug"], row["profile_id"], row["id"]) for row in written if row["created"]
    )
    await connection.execute(
        SQL["claim_free_shorts"],
        tenant_id,
        [slug for slug, _, _ in created],
        [profile_id for _, profile_id, _ in created],
        [link_id for _, _, link_id in created],
    )
    touched = sorted({row["profile_id"] for row in written})
    bumped = await connection.fetch(SQL["bump_profiles"], tenant_id, touched)
    return len(created), len(written) - len(created), [ProfileChange(*row) for row in bumped]

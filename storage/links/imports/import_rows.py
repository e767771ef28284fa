"""Imports into Postgres: up to 5,000 links in one transaction of a few statements.

Every import locks handles and short slugs in sorted order, so that two imports wait for each other rather
than deadlock. Rows that meet large links are planned and written in parts, so that few are in memory. The
database layer repeats a transaction that deadlocks all the same.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.accounts.access import Action, Caller, require_scope
from engine.links.imports.plan import IfExists, ImportPlan, draft_of_row
from engine.links.link import Link, LinkDraft
from engine.links.link_size import parts_of
from engine.links.options import options_of, pack_options
from engine.links.ports import ImportNote, ImportResult, ImportRow
from engine.links.profile import ProfileChange
from engine.links.slugs.slug_rules import needed_features
from storage.links.link_rows import link_of
from storage.links.link_slugs import settled_rows
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("links/imports/import_rows")
MAX_ROWS: Final = 5_000
# In the order of the parameters of write_links.
_COLUMNS: Final = (
    "slug", "target", "title", "status", "kind", "passthrough", "click_id", "external_id", "tags", "folder",
    "notes", "hidden", "password", "opening_clicks", "options", "position", "created_at",
)  # fmt: skip


class _DryRunError(Exception):
    """The end of a dry run, whose transaction is rolled back. `result` is what it would have done."""

    def __init__(self, result: ImportResult) -> None:
        super().__init__()
        self.result = result


class _Profile(NamedTuple):
    id: int
    next_version: int


class PostgresLinkImporter:
    """LinkImporter over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def case_sensitive_handles(self, caller: Caller) -> frozenset[str]:
        async def work(connection: Connection) -> frozenset[str]:
            rows = await connection.fetch(SQL["case_sensitive_handles"], caller.tenant_id)
            return frozenset(row["handle"] for row in rows)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def import_rows(
        self,
        caller: Caller,
        rows: Sequence[ImportRow],
        if_exists: IfExists = "update",
        *,
        dry_run: bool = False,
        note: ImportNote | None = None,
    ) -> ImportResult:
        if len(rows) > MAX_ROWS:
            raise ValueError(f"at most {MAX_ROWS} rows at once, not {len(rows)}")

        async def work(connection: Connection) -> ImportResult:
            plan = ImportPlan(if_exists)
            # First without locks, as rows that are rejected create no profile.
            settled = await settled_rows(connection, caller.tenant_id, rows, plan)
            profiles = await _lock_profiles(connection, caller, settled)
            settled = await settled_rows(connection, caller.tenant_id, settled, plan)
            batch = _RowBatch(connection, caller.tenant_id, profiles)
            result = await batch.import_rows(settled, plan)
            if dry_run:
                raise _DryRunError(result._replace(changes=[]))
            if note is not None:
                await note(connection, result)
            return result

        require_scope(caller, "write")
        try:
            return await self._database.transaction(work, caller=caller)
        except _DryRunError as end:
            return end.result


async def _lock_profiles(
    connection: Connection, caller: Caller, rows: Sequence[ImportRow]
) -> dict[str, _Profile]:
    """Return the profiles that the caller may change, by handle; those that are missing are created."""
    handles = sorted({row.handle for row in rows})
    await connection.execute(SQL["create_profiles"], caller.tenant_id, handles)
    locked = await connection.fetch(
        SQL["lock_profiles"], caller.tenant_id, handles, caller.user_id, Action.EDIT.value.roles
    )
    return {row["handle"]: _Profile(row["id"], row["version"] + 1) for row in locked}


class _RowBatch:
    """Batch of rows in its transaction. `profiles` are locked."""

    def __init__(
        self, connection: Connection, tenant_id: int, profiles: Mapping[str, _Profile]
    ) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._profiles = profiles

    async def import_rows(self, rows: Sequence[ImportRow], plan: ImportPlan) -> ImportResult:
        created = updated = 0
        touched: set[int] = set()
        async for part in self._parts(rows):
            await self._add(plan, part)
            touched |= await self._write(plan)
            created += len(plan.created)
            updated += len(plan.updated)
            plan.forget_written()
        bumped = []
        if touched:
            bumped = await self._connection.fetch(
                SQL["bump_profiles"], self._tenant_id, sorted(touched)
            )
        changes = [ProfileChange(*row) for row in bumped]
        return ImportResult(created, updated, plan.unchanged, plan.rejected, changes)

    async def _parts(self, rows: Sequence[ImportRow]) -> AsyncIterator[list[ImportRow]]:
        """Yield the rows in parts that are small with the stored links at their addresses."""
        await self._connection.execute(SQL["join_by_hash"])
        sizes = {
            (row["profile_id"], row["slug"]): row["chars"]
            for row in await self._connection.fetch(
                SQL["large_links"], self._tenant_id, *self._addresses(rows)
            )
        }

        def chars_of(row: ImportRow) -> int:
            profile = self._profiles.get(row.handle)
            return row.chars + (0 if profile is None else sizes.get((profile.id, row.slug), 0))

        for part in parts_of(rows, chars_of, MAX_ROWS):
            yield part

    def _addresses(self, rows: Sequence[ImportRow]) -> tuple[list[int], list[str]]:
        """Return the profiles' ids and the slugs of the rows, without those of other tenants' profiles."""
        mine = [row for row in rows if row.handle in self._profiles]
        return [self._profiles[row.handle].id for row in mine], [row.slug for row in mine]

    async def _add(self, plan: ImportPlan, rows: Sequence[ImportRow]) -> None:
        """Add rows to the plan."""
        connection = self._connection
        await connection.execute(SQL["join_by_hash"])
        records = await connection.fetch(
            SQL["stored_links"], self._tenant_id, *self._addresses(rows)
        )
        stored = {(record["profile_id"], record["slug"]): record for record in records}
        owners: dict[tuple[int, str], str] = {}
        mine = (row for row in rows if row.handle in self._profiles)
        if named := [row for row in mine if row.fields.get("external_id")]:
            owners = {
                (record["profile_id"], record["external_id"]): record["slug"]
                for record in await connection.fetch(
                    SQL["external_ids"],
                    self._tenant_id,
                    [self._profiles[row.handle].id for row in named],
                    [row.fields["external_id"] for row in named],
                )
            }
        await connection.execute(SQL["join_as_usual"])
        for row in rows:
            if row.handle not in self._profiles:
                plan.reject(row, f"handle: {row.handle!r} is taken")
                continue
            profile_id = self._profiles[row.handle].id
            record = stored.get((profile_id, row.slug))
            owner = owners.get((profile_id, row.fields.get("external_id", "")), "")
            plan.add(row, None if record is None else link_of(record), owner)

    async def _write(self, plan: ImportPlan) -> set[int]:
        """Write the links of a plan. Returns the ids of their profiles."""
        links: list[tuple[ImportRow, LinkDraft | Link]] = [
            *((row, draft_of_row(row)) for row in plan.created),
            *plan.updated,
        ]
        if not links:
            return set()
        values = [_values(row, link) for row, link in links]
        written = await self._connection.fetch(
            SQL["write_links"],
            self._tenant_id,
            [self._profiles[row.handle].id for row, _ in links],
            [self._profiles[row.handle].next_version for row, _ in links],
            *([each[name] for each in values] for name in _COLUMNS),
        )
        ids = {(row["profile_id"], row["slug"]): row["id"] for row in written}
        claims = sorted(
            (row.slug, self._profiles[row.handle].id)
            for row in plan.created
            if row.fields.get("short") is not False and not needed_features(row.slug)
        )
        await self._connection.execute(
            SQL["claim_free_shorts"],
            self._tenant_id,
            [slug for slug, _ in claims],
            [profile_id for _, profile_id in claims],
            [ids[profile_id, slug] for slug, profile_id in claims],
        )
        return {profile_id for profile_id, _ in ids}


def _values(row: ImportRow, link: LinkDraft | Link) -> dict[str, Any]:
    """Return a link's values by column."""
    values = {name: getattr(link, name, None) for name in _COLUMNS}
    created_at = link.created_at if isinstance(link, Link) else row.created_at
    return values | {
        "tags": ",".join(link.tags),
        "options": pack_options(options_of(link)),
        "created_at": created_at,
    }

"""Imports into Postgres: up to 5,000 links in one transaction of a few statements.

Every import locks handles and short slugs in sorted order, so that two imports wait for each other rather
than deadlock. Rows that meet large links are planned and written in parts, so that few are in memory. The
database layer repeats a transaction that deadlocks all the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

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
# Links of more are read part by part.
MAX_SMALL_BYTES: Final = 1_000
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
        # By profile and slug; and slugs by profile and external id.
        self._stored: dict[tuple[int, str], asyncpg.Record] = {}
        self._owners: dict[tuple[int, str], str] = {}

    async def import_rows(self, rows: Sequence[ImportRow], plan: ImportPlan) -> ImportResult:
        created = updated = 0
        touched: set[int] = set()
        await self._read(rows)
        for part in parts_of(rows, self._chars_of, MAX_ROWS):
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

    async def _read(self, rows: Sequence[ImportRow]) -> None:
        """Read what is stored at the rows' addresses, but the texts of large links."""
        mine = [row for row in rows if row.handle in self._profiles]
        named = [row for row in mine if row.fields.get("external_id")]
        connection = self._connection
        await connection.execute(SQL["join_by_hash"])
        records = await connection.fetch(
            SQL["stored_links"],
            self._tenant_id,
            [self._profiles[row.handle].id for row in mine],
            [row.slug for row in mine],
            MAX_SMALL_BYTES,
        )
        self._stored = {(record["profile_id"], record["slug"]): record for record in records}
        if named:
            records = await connection.fetch(
                SQL["external_ids"],
                self._tenant_id,
                [self._profiles[row.handle].id for row in named],
                [row.fields["external_id"] for row in named],
            )
            self._owners = {(row["profile_id"], row["external_id"]): row["slug"] for row in records}
        await connection.execute(SQL["join_as_usual"])

    def _record(self, row: ImportRow) -> asyncpg.Record | None:
        profile = self._profiles.get(row.handle)
        return None if profile is None else self._stored.get((profile.id, row.slug))

    def _chars_of(self, row: ImportRow) -> int:
        record = self._record(row)
        return row.chars + (0 if record is None else record["chars"])

    async def _add(self, plan: ImportPlan, rows: Sequence[ImportRow]) -> None:
        """Add rows to the plan."""
        records = [record for row in rows if (record := self._record(row)) is not None]
        large = [record["id"] for record in records if record["chars"] > MAX_SMALL_BYTES]
        texts = {}
        if large:
            large_texts = await self._connection.fetch(SQL["large_texts"], self._tenant_id, large)
            texts = {row["id"]: dict(row) for row in large_texts}
        for row in rows:
            if row.handle not in self._profiles:
                plan.reject(row, f"handle: {row.handle!r} is taken")
                continue
            stored = None
            if (record := self._record(row)) is not None:
                fields = dict(record) | texts.get(record["id"], {})
                del fields["chars"]
                stored = link_of(fields)
            external_id = row.fields.get("external_id", "")
            owner = self._owners.get((self._profiles[row.handle].id, external_id), "")
            plan.add(row, stored, owner)

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

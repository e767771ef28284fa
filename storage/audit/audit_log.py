"""Reading of the log of changes in Postgres. Triggers write it (storage/migrations/0004_audit.sql)."""

from typing import Any, Final

import orjson

from engine.accounts.access import Action, Caller, require_scope
from engine.audit.audit_log import ActivityEntry, ActivityFilter
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("audit/audit_log")


class PostgresActivityReader:
    """ActivityReader over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_profile(
        self, caller: Caller, profile_id: int, conditions: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ_ACTIVITY)
            rows = await _entries(
                connection, access.tenant_id, profile_id, conditions, before, limit
            )
            return await _page(connection, rows, limit, "members_emails", profile_id)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def of_tenant(
        self, caller: Caller, profile_id: int, conditions: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        tenant_id = caller.tenant_id

        async def work(connection: Connection) -> ListPage:
            if profile_id:
                chain = tenant_id, validate_id(profile_id, "profile")
                if await connection.fetchval(_SQL["is_there"], *chain):
                    await enter_profile(connection, caller, profile_id, Action.READ_ACTIVITY)
                elif not await connection.fetchval(_SQL["has_chain"], *chain):
                    raise NotFoundError("there is no log of this profile")
            rows = await _entries(connection, tenant_id, profile_id, conditions, before, limit)
            return await _page(connection, rows, limit, "users_emails", tenant_id)

        require_scope(caller, "read")
        return await self._database.transaction(work, caller=caller, read_only=True)


async def _entries(
    connection: Connection,
    tenant_id: int,
    profile_id: int,
    conditions: ActivityFilter,
    before: int,
    limit: int,
) -> list[Any]:
    """Return limit + 1 rows at most: the last one says whether there is a next page."""
    return await connection.fetch(
        _SQL["entries"],
        tenant_id,
        profile_id,
        min(before or MAX_ID, MAX_ID),
        limit + 1,
        *conditions,
    )


async def _page(
    connection: Connection, rows: list[Any], limit: int, emails_query: str, owner_id: int
) -> ListPage:
    users = {row["user_id"] for row in rows if row["user_id"] is not None}
    email_rows = (
        await connection.fetch(_SQL[emails_query], owner_id, sorted(users)) if users else []
    )
    emails_by_user: dict[int, str] = {row[0]: row[1] for row in email_rows}
    entries = [
        ActivityEntry(
            email=emails_by_user.get(row["user_id"]),
            before=_object(row["before"]),
            after=_object(row["after"]),
            **{k: v for k, v in row.items() if k not in ("before", "after")},
        )
        for row in rows
    ]
    return ListPage.of(entries, limit, "seq")


def _object(text: str | None) -> dict[str, Any] | None:
    return None if text is None else orjson.loads(text)

"""Sessions of the dashboard, in Postgres."""

from datetime import datetime
from typing import Final

from engine.accounts.access import Caller
from engine.accounts.account import MAX_SESSIONS, NewSession, Session, User
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from storage.accounts import tokens
from storage.accounts.access import MAX_ID, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("accounts/sessions")


class PostgresSessionStore:
    """SessionStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, token: str) -> tuple[Caller, int, datetime] | None:
        digest = tokens.digest(token)

        async def work(connection: Connection) -> tuple[Caller, int, datetime] | None:
            row = await connection.fetchrow(SQL["session_user_of"], digest)
            if row is None:
                return None
            caller = Caller(row["tenant_id"], row["user_id"])
            return caller, row["session_id"], row["expires_at"]

        return None if digest is None else await self._database.transaction(work, read_only=True)

    async def list_sessions(self, caller: Caller, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(
                SQL["list_sessions"],
                caller.tenant_id,
                caller.user_id,
                min(after, MAX_ID),
                limit + 1,
            )
            sessions = [Session(**dict(row)) for row in rows]
            return ListPage.of(sessions, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def end_session(self, caller: Caller, session_id: int) -> None:
        async def work(connection: Connection) -> None:
            user_key = caller.tenant_id, caller.user_id
            if await connection.fetchval(SQL["end_session"], *user_key, session_id) is None:
                raise NotFoundError.of("session")

        validate_id(session_id, "session")
        await self._database.transaction(work, caller=caller)


async def create_session(
    connection: Connection, user: User, lifetime_s: int, user_agent: str
) -> NewSession:
    """Create a session in the transaction that checked the user. Ends the oldest session above MAX_SESSIONS."""
    token = tokens.new("wps_")
    user_key = user.tenant_id, user.id
    await connection.execute(SQL["delete_old"], *user_key, MAX_SESSIONS - 1)
    row = await connection.fetchrow(
        SQL["begin_session"], *user_key, tokens.require_digest(token), lifetime_s, user_agent
    )
    assert row is not None
    return NewSession(user, Session(**dict(row)), token)


async def end_other_sessions(connection: Connection, caller: Caller, session_id: int) -> None:
    """End all of the caller's sessions except `session_id` (0: all)."""
    user_key = caller.tenant_id, caller.user_id
    await connection.execute(SQL["end_other_sessions"], *user_key, session_id)

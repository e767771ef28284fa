"""Set-up of the first account and resets of forgotten passwords, in Postgres.

A token is used by the statement that deletes it, under a lock on its user: of two requests with one token, one
gets it. A new password ends every session of the user and every other token.
"""

from datetime import datetime, timedelta
from typing import Final

import asyncpg

from engine.accounts.access import Caller
from engine.accounts.account import NewSession, User
from engine.accounts.recovery import (
    GENERATED_EMAIL,
    MAX_TOKENS,
    RESET_ATTEMPTS,
    RESET_JOB,
    RESET_LIFETIME,
    SETUP_LIFETIME,
    IssuedToken,
    RecoveryPurpose,
    SetupDraft,
    email_taken_error,
    unknown_token_error,
)
from storage.accounts import sessions, tokens
from storage.accounts.passwords import PasswordHasher
from storage.postgres import queries
from storage.postgres.database import Connection, Database

SQL: Final = queries.load("accounts/recovery")
_LIFETIMES: Final[dict[RecoveryPurpose, timedelta]] = {
    "reset": RESET_LIFETIME,
    "setup": SETUP_LIFETIME,
}


class PostgresRecoveryStore:
    """RecoveryStore over a database that was opened as waypost_app. Sessions last `lifetime_s`."""

    def __init__(self, database: Database, passwords: PasswordHasher, lifetime_s: int) -> None:
        self._database = database
        self._passwords = passwords
        self._lifetime_s = lifetime_s

    async def setup_needed(self) -> bool:
        async def work(connection: Connection) -> bool:
            return await _generated_owner(connection) is not None

        return await self._database.transaction(work, read_only=True)

    async def set_up(self, draft: SetupDraft, user_agent: str, request_id: str) -> NewSession:
        async def work(connection: Connection) -> NewSession:
            owner = await _use(connection, draft.code, "setup", request_id)
            row = await connection.fetchrow(
                SQL["set_up"], *owner, draft.name, draft.email, password_hash
            )
            await _end_all(connection, owner)
            assert row is not None
            user = User(**dict(row))
            return await sessions.create_session(connection, user, self._lifetime_s, user_agent)

        password_hash = await self._hash(draft.code, "setup", draft.password)
        try:
            return await self._database.transaction(work)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "users_email":
                raise
            raise email_taken_error() from None

    async def request_reset(self, email: str) -> None:
        async def work(connection: Connection) -> None:
            row = await connection.fetchrow(SQL["user_at"], email)
            if row is None:
                return
            tenant_id, user_id = row
            await connection.fetchrow(SQL["become"], str(tenant_id), str(user_id), "")
            await connection.execute(
                SQL["enqueue_mail"], tenant_id, user_id, RESET_JOB, RESET_ATTEMPTS
            )

        await self._database.transaction(work)

    async def reset(self, token: str, password: str, request_id: str) -> Caller:
        async def work(connection: Connection) -> Caller:
            user = await _use(connection, token, "reset", request_id)
            await connection.execute(SQL["set_password"], *user, password_hash)
            await _end_all(connection, user)
            return Caller(*user)

        password_hash = await self._hash(token, "reset", password)
        return await self._database.transaction(work)

    async def _hash(self, token: str, purpose: RecoveryPurpose, password: str) -> str:
        """Return the password's hash, once it is known that the token works: hashing takes a core."""

        async def find(connection: Connection) -> None:
            await _user_of(connection, token, purpose)

        await self._database.transaction(find, read_only=True)
        return await self._passwords.hash(password)


async def issue_setup_code(database: Database) -> IssuedToken | None:
    """Make a set-up code, or return None if the engine is set up. `database` is opened as waypost_app."""

    async def work(connection: Connection) -> IssuedToken | None:
        owner = await _generated_owner(connection)
        return None if owner is None else await issue(connection, owner, "setup")

    return await database.transaction(work)


async def issue_reset_token(database: Database, email: str) -> IssuedToken | None:
    """Make a reset token for the account of an address; None: there is none. `database` is opened as
    waypost_app."""

    async def work(connection: Connection) -> IssuedToken | None:
        row = await connection.fetchrow(SQL["user_at"], email)
        if row is None:
            return None
        await connection.fetchrow(SQL["become"], *map(str, row), "")
        return await issue(connection, (row["tenant_id"], row["user_id"]), "reset")

    return await database.transaction(work)


async def issue(
    connection: Connection, user: tuple[int, int], purpose: RecoveryPurpose
) -> IssuedToken | None:
    """Make a token for a user (tenant id, user id), in a transaction that may change their tenant's rows.

    Returns None if there is no such user.
    """
    email: str | None = await connection.fetchval(SQL["email"], *user)
    if email is None:
        return None
    token = tokens.new("wpo_")
    await connection.execute(SQL["delete_old"], *user, purpose, MAX_TOKENS - 1)
    expires_at: datetime = await connection.fetchval(
        SQL["issue"], *user, purpose, tokens.require_digest(token), _LIFETIMES[purpose]
    )
    return IssuedToken(email, token, expires_at)


async def _generated_owner(connection: Connection) -> tuple[int, int] | None:
    """Act as the first owner from here on. Returns their ids, or None if they were set up."""
    row = await connection.fetchrow(SQL["first_owner"])
    if row is None:
        return None
    owner: tuple[int, int] = tuple(row)
    await connection.fetchrow(SQL["become"], *map(str, owner), "")
    email = await connection.fetchval(SQL["email"], *owner)
    return owner if email == GENERATED_EMAIL else None


async def _user_of(connection: Connection, token: str, purpose: RecoveryPurpose) -> tuple[int, int]:
    digest = tokens.digest(token)
    row = digest and await connection.fetchrow(SQL["token_user"], digest, purpose)
    if not row:
        raise unknown_token_error(purpose)
    return row["tenant_id"], row["user_id"]


async def _use(
    connection: Connection, token: str, purpose: RecoveryPurpose, request_id: str
) -> tuple[int, int]:
    """Use up a token, and act as its user from here on. Raises NotFoundError."""
    user = await _user_of(connection, token, purpose)
    await connection.fetchrow(SQL["become"], *map(str, user), request_id)
    await connection.fetchval(SQL["lock_user"], *user)
    used = await connection.fetchval(SQL["use"], *user, purpose, tokens.require_digest(token))
    if used is None:
        raise unknown_token_error(purpose)
    return user


async def _end_all(connection: Connection, user: tuple[int, int]) -> None:
    await connection.execute(SQL["delete_all"], *user)
    await sessions.end_other_sessions(connection, Caller(*user), 0)

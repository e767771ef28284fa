"""Users in Postgres: logins, names and passwords.

A login locks the user's row and begins a session only if the checked password is still the user's. A change of
password takes the same lock, so it ends every session that the old password began.
"""

from contextlib import suppress
from typing import Final

import asyncpg

from engine.accounts.access import Caller
from engine.accounts.account import NewSession, User, UserDraft
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.versions import require_version
from storage.accounts import sessions
from storage.accounts.passwords import PasswordHasher
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

_SQL: Final = queries.load("accounts/accounts")


class _PasswordChangedError(Exception):
    """A signal that a user's password was changed between the check and the login."""


class PostgresAccountStore:
    """AccountStore over a database that was opened as waypost_app. Sessions last `lifetime_s`."""

    def __init__(self, database: Database, passwords: PasswordHasher, lifetime_s: int) -> None:
        self._database = database
        self._passwords = passwords
        self._lifetime_s = lifetime_s

    async def login(
        self,
        email: str,
        password: str,
        user_agent: str,
        once: IdempotentRequest[NewSession] | None = None,
    ) -> NewSession | None:
        async def find(connection: Connection) -> asyncpg.Record | None:
            return await connection.fetchrow(_SQL["login_of"], email.lower())

        login_row = await self._database.transaction(find, read_only=True)
        stored_hash = login_row["password_hash"] if login_row else None
        if not await self._passwords.check(password, stored_hash) or login_row is None:
            return None
        new_hash = None
        if self._passwords.is_outdated(login_row["password_hash"]):
            new_hash = await self._passwords.hash(password)
        caller = Caller(login_row["tenant_id"], login_row["user_id"])

        async def work(connection: Connection) -> NewSession:
            user_key = caller.tenant_id, caller.user_id
            row = await connection.fetchrow(_SQL["lock_password"], *user_key, stored_hash)
            if row is None:
                raise _PasswordChangedError
            if new_hash is not None:
                await connection.execute(_SQL["set_password"], *user_key, new_hash)
            return await sessions.create_session(
                connection, User(**dict(row)), self._lifetime_s, user_agent
            )

        with suppress(_PasswordChangedError):
            return await self._database.transaction(run_once(caller, once, work), caller=caller)
        return None

    async def user(self, caller: Caller) -> User:
        async def work(connection: Connection) -> User:
            return _user(await connection.fetchrow(_SQL["user"], caller.tenant_id, caller.user_id))

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def update_user(
        self, caller: Caller, draft: Change[UserDraft, User], if_version: int | None = None
    ) -> User:
        async def work(connection: Connection) -> User:
            user_key = caller.tenant_id, caller.user_id
            stored = _user(await connection.fetchrow(_SQL["lock_user"], *user_key))
            require_version(stored.version, if_version)
            name = draft_after(draft, stored).name
            if name == stored.name:
                return stored
            return _user(await connection.fetchrow(_SQL["rename"], *user_key, name))

        return await self._database.transaction(work, caller=caller)

    async def change_password(
        self, caller: Caller, current: str, new: str, session_id: int
    ) -> bool:
        user_key = caller.tenant_id, caller.user_id

        async def find(connection: Connection) -> str | None:
            stored_hash: str | None = await connection.fetchval(_SQL["password_hash"], *user_key)
            return stored_hash

        stored_hash = await self._database.transaction(find, caller=caller, read_only=True)
        if not await self._passwords.check(current, stored_hash):
            return False
        new_hash = await self._passwords.hash(new)

        async def work(connection: Connection) -> bool:
            if await connection.fetchrow(_SQL["lock_password"], *user_key, stored_hash) is None:
                return False
            await connection.execute(_SQL["set_password"], *user_key, new_hash)
            await sessions.end_other_sessions(connection, caller, session_id)
            return True

        return await self._database.transaction(work, caller=caller)


def _user(row: asyncpg.Record | None) -> User:
    if row is None:
        raise NotFoundError.of("user")
    return User(**dict(row))

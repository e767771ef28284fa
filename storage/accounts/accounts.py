"""Users in Postgres: logging in, names and passwords.

A session begins only while the password that was checked is still the user's: both take the user's
row lock, so whoever changes their password ends every session that the old one has begun.
"""

from typing import Final

import asyncpg

from engine.accounts.access import Caller
from engine.accounts.account import NewSession, User, UserDraft
from engine.common.errors import NotFoundError
from engine.common.versions import require_version
from storage.accounts import sessions
from storage.accounts.passwords import PasswordHasher
from storage.postgres import queries
from storage.postgres.database import Connection, Database

_SQL: Final = queries.load("accounts/accounts")


class PostgresAccountStore:
    """AccountStore over a database that was opened as waypost_app. Sessions last `lifetime_s`."""

    def __init__(self, database: Database, passwords: PasswordHasher, lifetime_s: int) -> None:
        self._database = database
        self._passwords = passwords
        self._lifetime_s = lifetime_s

    async def login(self, email: str, password: str, user_agent: str) -> NewSession | None:
        async def find(connection: Connection) -> asyncpg.Record | None:
            return await connection.fetchrow(_SQL["login_of"], email.lower())

        found = await self._database.transaction(find, read_only=True)
        stored = found["password_hash"] if found else None
        if not await self._passwords.check(password, stored) or found is None:
            return None
        better = None
        if self._passwords.is_outdated(found["password_hash"]):
            better = await self._passwords.hash(password)
        caller = Caller(found["tenant_id"], found["user_id"])

        async def work(connection: Connection) -> NewSession | None:
            whose = caller.tenant_id, caller.user_id
            row = await connection.fetchrow(_SQL["lock_password"], *whose, stored)
            if row is None:
                return None
            if better is not None:
                await connection.execute(_SQL["set_password"], *whose, better)
            return await sessions.create_session(
                connection, User(**dict(row)), self._lifetime_s, user_agent
            )

        return await self._database.transaction(work, caller=caller)

    async def user(self, caller: Caller) -> User:
        async def work(connection: Connection) -> User:
            return _user(await connection.fetchrow(_SQL["user"], caller.tenant_id, caller.user_id))

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def update_user(
        self, caller: Caller, draft: UserDraft, if_version: int | None = None
    ) -> User:
        async def work(connection: Connection) -> User:
            whose = caller.tenant_id, caller.user_id
            stored = _user(await connection.fetchrow(_SQL["lock_user"], *whose))
            require_version(stored.version, if_version)
            if draft.name == stored.name:
                return stored
            return _user(await connection.fetchrow(_SQL["rename"], *whose, draft.name))

        return await self._database.transaction(work, caller=caller)

    async def change_password(
        self, caller: Caller, current: str, new: str, session_id: int
    ) -> bool:
        whose = caller.tenant_id, caller.user_id

        async def find(connection: Connection) -> str | None:
            stored: str | None = await connection.fetchval(_SQL["password_hash"], *whose)
            return stored

        stored = await self._database.transaction(find, caller=caller, read_only=True)
        if not await self._passwords.check(current, stored):
            return False
        wanted = await self._passwords.hash(new)

        async def work(connection: Connection) -> bool:
            if await connection.fetchrow(_SQL["lock_password"], *whose, stored) is None:
                return False
            await connection.execute(_SQL["set_password"], *whose, wanted)
            await sessions.end_others(connection, caller, session_id)
            return True

        return await self._database.transaction(work, caller=caller)


def _user(row: asyncpg.Record | None) -> User:
    if row is None:
        raise NotFoundError.of("user")
    return User(**dict(row))

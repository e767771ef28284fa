"""API keys and the first owner, in Postgres.

A key is `wp_` and 256 random bits, so a plain SHA-256 of it is safe to store and fast to find; the
password, which people choose or may reuse, is kept as argon2id. Neither can be read back.
"""

import hashlib
import secrets
from typing import Final, NamedTuple

import argon2
import trio

from engine.access import Caller
from engine.errors import ExpiredError
from storage import sql
from storage.postgres import Connection, Database

SQL: Final = sql.load("keys")
_MAX_KEY_CHARS: Final = 200
_PREFIX_CHARS: Final = 8  # `wp_` and 30 of 256 bits


class OwnerCredentials(NamedTuple):
    """What the first owner signs in with; known to nobody else from here on."""

    caller: Caller
    email: str
    password: str
    api_key: str


class Keys:
    """KeyStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authenticate(self, key: str) -> Caller | None:
        if len(key) > _MAX_KEY_CHARS or not key.isascii():
            return None
        digest = _digest(key)

        async def work(connection: Connection) -> Caller | None:
            row = await connection.fetchrow(SQL["authenticate"], digest)
            if row is None:
                return None
            if row["expired"]:
                raise ExpiredError("this key has expired")
            return Caller(row["tenant_id"], row["user_id"], row["key_id"], tuple(row["scopes"]))

        return await self._database.run(work, read_only=True)


async def first_owner(database: Database) -> Caller | None:
    """Whom the command line acts for, None before `ensure_owner`. `database`: opened as waypost_app."""

    async def work(connection: Connection) -> Caller | None:
        row = await connection.fetchrow(SQL["first_owner"])
        return Caller(*row) if row else None

    return await database.run(work, read_only=True)


async def ensure_owner(database: Database, email: str) -> OwnerCredentials | None:
    """Make the first tenant with a user and an API key; None when there is a tenant already.

    Of several calls at the same time, exactly one gets credentials. `database`: opened as
    waypost_app.
    """
    if await first_owner(database) is not None:
        return None
    password = secrets.token_urlsafe(18)
    api_key = f"wp_{secrets.token_urlsafe(32)}"
    password_hash = await trio.to_thread.run_sync(argon2.PasswordHasher().hash, password)

    async def work(connection: Connection) -> OwnerCredentials | None:
        await connection.execute(SQL["lock_owner"])
        if await connection.fetchrow(SQL["first_owner"]) is not None:
            return None
        tenant_id = await connection.fetchval(SQL["new_tenant_id"])
        await connection.execute(SQL["create_tenant"], tenant_id, email)
        user_id = await connection.fetchval(SQL["create_user"], tenant_id, email, password_hash)
        await connection.execute(
            SQL["create_key"], tenant_id, user_id, _digest(api_key), "first owner", prefix(api_key)
        )
        return OwnerCredentials(Caller(tenant_id, user_id), email, password, api_key)

    return await database.run(work)


def prefix(key: str) -> str:
    """What may be shown of a key, to tell it from others."""
    return key[:_PREFIX_CHARS]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()

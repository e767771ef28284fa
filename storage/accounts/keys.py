"""API keys and the first owner, in Postgres.

A key is `wp_` and 256 random bits, so its plain SHA-256 is safe to store and fast to find. The first owner's
password is stored as an argon2id hash. Neither can be read back.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import argon2
import asyncpg
import trio

from engine.accounts.access import Caller, require_scope
from engine.accounts.api_key import MAX_KEYS, ApiKey, KeyDraft, NewKey, require_scopes
from engine.common.errors import ConflictError, ExpiredError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from storage.accounts import tokens
from storage.accounts.access import MAX_ID, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

SQL: Final = queries.load("accounts/keys")


class OwnerCredentials(NamedTuple):
    """The first owner's credentials. The database holds only hashes of the password and the key."""

    caller: Caller
    email: str
    password: str
    api_key: str


class PostgresApiKeyStore:
    """ApiKeyStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authenticate(self, key: str) -> Caller | None:
        digest = tokens.digest(key)

        async def work(connection: Connection) -> Caller | None:
            row = await connection.fetchrow(SQL["authenticate"], digest)
            if row is None:
                return None
            if row["expired"]:
                raise ExpiredError("this key has expired")
            return Caller(
                row["tenant_id"],
                row["user_id"],
                row["key_id"],
                tuple(row["scopes"]),
                origins=tuple(row["origins"]),
            )

        return None if digest is None else await self._database.transaction(work, read_only=True)

    async def create_key(
        self, caller: Caller, draft: KeyDraft, once: IdempotentRequest[NewKey] | None = None
    ) -> NewKey:
        text = tokens.new("wp_")

        async def work(connection: Connection) -> NewKey:
            user_key = caller.tenant_id, caller.user_id
            await connection.execute(SQL["lock_keys_of"], *user_key)
            if await connection.fetchval(SQL["count_keys"], *user_key) >= MAX_KEYS:
                raise key_limit_error()
            row = await connection.fetchrow(
                SQL["create_scoped_key"],
                *user_key,
                tokens.require_digest(text),
                draft.label,
                tokens.token_prefix(text),
                draft.scopes,
                draft.expires_at,
                draft.origins,
            )
            return NewKey(_key(row), text)

        require_scopes(caller, draft.scopes)
        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def list_keys(self, caller: Caller, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            rows = await connection.fetch(
                SQL["list_keys"], caller.tenant_id, caller.user_id, min(after, MAX_ID), limit + 1
            )
            keys = [_key(row) for row in rows]
            return ListPage.of(keys, limit)

        require_scope(caller, "read")
        return await self._database.transaction(work, caller=caller, read_only=True)

    async def revoke_key(self, caller: Caller, key_id: int) -> None:
        async def work(connection: Connection) -> None:
            full_key_id = caller.tenant_id, caller.user_id, validate_id(key_id, "key")
            if await connection.fetchval(SQL["revoke_key"], *full_key_id) is None:
                raise NotFoundError.of("key")

        require_scope(caller, "admin")
        await self._database.transaction(work, caller=caller)

    async def allows_origin(self, origin: str) -> bool:
        async def work(connection: Connection) -> bool:
            return bool(await connection.fetchval(SQL["allows_origin"], origin))

        return await self._database.transaction(work, read_only=True)

    async def record_last_used(self, keys: Sequence[int], sessions: Sequence[int]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(SQL["record_last_used"], sorted(keys), sorted(sessions))

        await self._database.transaction(work)


async def first_owner(database: Database) -> Caller | None:
    """Return the user that the command line acts for, or None before ensure_owner().

    `database` must be opened as waypost_app.
    """

    async def work(connection: Connection) -> Caller | None:
        row = await connection.fetchrow(SQL["first_owner"])
        return Caller(*row) if row else None

    return await database.transaction(work, read_only=True)


async def ensure_owner(
    database: Database,
    email: str,
    hasher: argon2.PasswordHasher | None = None,
    keep: Callable[[OwnerCredentials], None] = lambda _: None,
) -> OwnerCredentials | None:
    """Make the first tenant with a user and an API key. Returns None if a tenant exists already.

    Of concurrent calls, exactly one gets credentials. `database` must be opened as waypost_app. `hasher`
    hashes the password, by default with the parameters of RFC 9106. `keep` is called before the commit, once
    for each attempt at it, and what it raises undoes all: credentials that nobody keeps are lost.
    """
    hasher = hasher or argon2.PasswordHasher()
    if await first_owner(database) is not None:
        return None
    password = secrets.token_urlsafe(18)
    api_key = tokens.new("wp_")
    password_hash = await trio.to_thread.run_sync(hasher.hash, password)

    async def work(connection: Connection) -> OwnerCredentials | None:
        await connection.execute(SQL["lock_owner"])
        if await connection.fetchrow(SQL["first_owner"]) is not None:
            return None
        tenant_id = await connection.fetchval(SQL["new_tenant_id"])
        await connection.execute(SQL["create_tenant"], tenant_id, email)
        user_id = await connection.fetchval(SQL["create_user"], tenant_id, email, password_hash)
        await connection.execute(
            SQL["create_key"],
            tenant_id,
            user_id,
            tokens.require_digest(api_key),
            "first owner",
            tokens.token_prefix(api_key),
        )
        credentials = OwnerCredentials(Caller(tenant_id, user_id), email, password, api_key)
        keep(credentials)
        return credentials

    return await database.transaction(work)


def key_limit_error() -> ConflictError:
    return ConflictError("keys", f"must not be more than {MAX_KEYS} working ones; revoke one first")


def _key(row: asyncpg.Record | None) -> ApiKey:
    assert row is not None
    return ApiKey(**dict(row) | {"scopes": tuple(row["scopes"]), "origins": tuple(row["origins"])})

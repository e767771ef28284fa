"""Domains in Postgres, for the console."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller, require
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.domain import MAX_DOMAINS, Domain, DomainDraft, NewDomainDraft
from storage.accounts.access import MAX_ID, ProfileAccess, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

SQL: Final = queries.load("links/domains")
T = TypeVar("T")


class PostgresDomainStore:
    """DomainStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_domain(
        self,
        caller: Caller,
        profile_id: int,
        draft: NewDomainDraft,
        once: IdempotentRequest[Domain] | None = None,
    ) -> Domain:
        async def work(connection: Connection) -> Domain:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_DOMAINS)
            await connection.execute(SQL["lock_profile"], access.tenant_id, profile_id)
            row = access.tenant_id, profile_id, draft.host, *columns(draft), new_token()
            try:
                domain_id = await connection.fetchval(SQL["create_domain"], *row)
            except asyncpg.UniqueViolationError:
                raise host_taken() from None
            if domain_id is None:
                raise domain_limit_error()
            await connection.execute(SQL["create_look"], access.tenant_id, domain_id)
            return await _fetch(connection, access, domain_id)

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def domain(self, caller: Caller, domain_id: int) -> Domain:
        async def work(connection: Connection) -> Domain:
            access = await enter_domain(connection, caller, domain_id, Action.READ)
            return await _fetch(connection, access, domain_id)

        return await self._read(caller, work)

    async def list_domains(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            key = access.tenant_id, profile_id, min(after, MAX_ID)
            rows = await connection.fetch(SQL["list_domains"], *key, limit + 1)
            return ListPage.of([Domain(**row) for row in rows], limit)

        return await self._read(caller, work)

    async def update_domain(
        self,
        caller: Caller,
        domain_id: int,
        draft: Change[DomainDraft, Domain],
        if_version: int | None = None,
    ) -> Domain:
        async def work(connection: Connection) -> Domain:
            access = await enter_domain(connection, caller, domain_id, Action.MANAGE_DOMAINS)
            stored = await _lock(connection, access, domain_id, if_version)
            wanted = columns(draft_after(draft, stored))
            if wanted == (stored.root_target, stored.not_found_target):
                return stored
            await connection.execute(SQL["update_domain"], access.tenant_id, domain_id, *wanted)
            return await _fetch(connection, access, domain_id)

        return await self._database.transaction(work, caller=caller)

    async def delete_domain(
        self, caller: Caller, domain_id: int, if_version: int | None = None
    ) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_domain(connection, caller, domain_id, Action.MANAGE_DOMAINS)
            await _lock(connection, access, domain_id, if_version)
            await connection.execute(SQL["delete_domain"], access.tenant_id, domain_id)

        await self._database.transaction(work, caller=caller)

    async def look_again(self, caller: Caller, domain_id: int) -> Domain:
        async def work(connection: Connection) -> Domain:
            access = await enter_domain(connection, caller, domain_id, Action.MANAGE_DOMAINS)
            await _lock(connection, access, domain_id, None)
            await connection.execute(SQL["look_again"], access.tenant_id, domain_id)
            return await _fetch(connection, access, domain_id)

        return await self._database.transaction(work, caller=caller)

    async def is_verified(self, host: str) -> bool:
        async def work(connection: Connection) -> bool:
            return bool(await connection.fetchval(SQL["is_verified"], host))

        return await self._database.transaction(work, read_only=True)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


def new_token() -> str:
    """Return the random text that proves a domain."""
    return secrets.token_hex(16)


def host_taken() -> ConflictError:
    return ConflictError("host", "is one of your domains already")


def domain_limit_error() -> ConflictError:
    return ConflictError("domains", f"the profile has {MAX_DOMAINS}; delete one first")


def columns(draft: DomainDraft) -> tuple[str | None, str | None]:
    """Return the values of a draft that can be changed."""
    return draft.root_target, draft.not_found_target


async def enter_domain(
    connection: Connection, caller: Caller, domain_id: int, action: Action
) -> ProfileAccess:
    row = await connection.fetchrow(SQL["enter_domain"], validate_id(domain_id, "domain"))
    if row is None:
        raise NotFoundError.of("domain")
    require(caller, row["role"], action)
    return ProfileAccess(row["tenant_id"], row["profile_id"], row["role"])


async def _fetch(connection: Connection, access: ProfileAccess, domain_id: int) -> Domain:
    row: Any = await connection.fetchrow(SQL["domain"], access.tenant_id, domain_id)
    if row is None:
        raise NotFoundError.of("domain")
    return Domain(**row)


async def _lock(
    connection: Connection, access: ProfileAccess, domain_id: int, if_version: int | None
) -> Domain:
    await connection.execute(SQL["lock_domain"], access.tenant_id, domain_id)
    # In its own statement, because it must see what was committed during the wait for the lock.
    stored = await _fetch(connection, access, domain_id)
    require_version(stored.version, if_version)
    return stored

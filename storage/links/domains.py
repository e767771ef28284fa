"""Domains in Postgres, for the console."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller, require
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.domain import MAX_DOMAINS, Domain, DomainAddress, DomainDraft, NewDomainDraft
from engine.links.slugs.slug_rules import MAX_NAMED, SlugFeature, unreachable_reason
from storage.accounts.access import MAX_ID, ProfileAccess, enter_profile, validate_id
from storage.links.link_slugs import unreachable_slugs
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
            return ListPage.of([_domain(row) for row in rows], limit)

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
            await connection.execute(SQL["lock_profile"], access.tenant_id, access.profile_id)
            stored = await _lock(connection, access, domain_id, if_version)
            changed = draft_after(draft, stored)
            wanted = columns(changed)
            if wanted == columns(stored):
                return stored
            await _require_reachable(connection, access, stored, changed.slugs)
            await connection.execute(SQL["update_domain"], access.tenant_id, domain_id, *wanted)
            return await _fetch(connection, access, domain_id)

        return await self._database.transaction(work, caller=caller)

    async def delete_domain(
        self, caller: Caller, domain_id: int, if_version: int | None = None
    ) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_domain(connection, caller, domain_id, Action.MANAGE_DOMAINS)
            await connection.execute(SQL["lock_profile"], access.tenant_id, access.profile_id)
            stored = await _lock(connection, access, domain_id, if_version)
            await _require_reachable(connection, access, stored, ())
            await connection.execute(SQL["delete_domain"], access.tenant_id, domain_id)

        await self._database.transaction(work, caller=caller)

    async def look_again(self, caller: Caller, domain_id: int) -> Domain:
        async def work(connection: Connection) -> Domain:
            access = await enter_domain(connection, caller, domain_id, Action.MANAGE_DOMAINS)
            await _lock(connection, access, domain_id, None)
            await connection.execute(SQL["look_again"], access.tenant_id, domain_id)
            return await _fetch(connection, access, domain_id)

        return await self._database.transaction(work, caller=caller)

    async def domain_at(self, caller: Caller, host: str) -> DomainAddress:
        async def work(connection: Connection) -> DomainAddress:
            row = await connection.fetchrow(SQL["domain_at"], host)
            if row is None:
                raise NotFoundError.of("domain")
            return DomainAddress(row["handle"], frozenset(row["slugs"]))

        return await self._read(caller, work)

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


def columns(draft: DomainDraft | Domain) -> tuple[str | None, str | None, tuple[SlugFeature, ...]]:
    """Return the values that can be changed, in the order of the queries' parameters."""
    return draft.root_target, draft.not_found_target, draft.slugs


def slugs_still_needed(slugs: Sequence[str]) -> ConflictError:
    return ConflictError("slugs", unreachable_reason(slugs))


def _domain(row: asyncpg.Record) -> Domain:
    return Domain(
        **{**row, "slugs": tuple(row["slugs"]), "blocked_targets": tuple(row["blocked_targets"])}
    )


async def _require_reachable(
    connection: Connection, access: ProfileAccess, stored: Domain, slugs: Sequence[SlugFeature]
) -> None:
    """Raise ConflictError if links would answer at no domain, once this one allows these slugs only."""
    if set(stored.slugs) <= set(slugs):
        return
    key = access.tenant_id, access.profile_id, stored.id
    rows = await connection.fetch(SQL["allowed_slugs"], *key)
    allowed = [frozenset(slugs), *(frozenset(row["slugs"]) for row in rows)]
    lost = await unreachable_slugs(connection, access, allowed, MAX_NAMED + 1)
    if lost:
        raise slugs_still_needed(lost)


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
    return _domain(row)


async def _lock(
    connection: Connection, access: ProfileAccess, domain_id: int, if_version: int | None
) -> Domain:
    await connection.execute(SQL["lock_domain"], access.tenant_id, domain_id)
    # In its own statement, because it must see what was committed during the wait for the lock.
    stored = await _fetch(connection, access, domain_id)
    require_version(stored.version, if_version)
    return stored

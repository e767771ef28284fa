"""Conversion hooks in Postgres. A token is stored as its SHA-256, signing secrets are stored as they are."""

from typing import Any, Final

import msgspec

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.experiments.conversion_hook import (
    ConversionHook,
    HookDraft,
    HookFieldPaths,
    ResolvedHook,
)
from storage.accounts import tokens
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once

_SQL: Final = queries.load("experiments/conversion_hooks")
MAX_HOOKS: Final = 20


class PostgresConversionHookStore:
    """ConversionHookStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_hook(
        self,
        caller: Caller,
        profile_id: int,
        draft: HookDraft,
        once: IdempotentRequest[tuple[ConversionHook, str]] | None = None,
    ) -> tuple[ConversionHook, str]:
        token = tokens.new("wph_")

        async def work(connection: Connection) -> tuple[ConversionHook, str]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            if await connection.fetchval(_SQL["count_hooks"], *access[:2]) >= MAX_HOOKS:
                raise ConflictError(
                    "hooks", f"must be at most {MAX_HOOKS} in a profile; delete one first"
                )
            digest = tokens.require_digest(token)
            row = await connection.fetchrow(
                _SQL["create_hook"], *access[:2], digest, *_columns(draft)
            )
            return _hook(row), token

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def list_hooks(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                _SQL["list_hooks"], *access[:2], min(after, MAX_ID), limit + 1
            )
            results = [_hook(row) for row in rows]
            return ListPage.of(results, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def update_hook(
        self, caller: Caller, profile_id: int, hook_id: int, draft: Change[HookDraft, HookDraft]
    ) -> ConversionHook:
        async def work(connection: Connection) -> ConversionHook:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            key = *access[:2], validate_id(hook_id, "hook")
            row = await connection.fetchrow(_SQL["lock_hook"], *key)
            if row is None:
                raise NotFoundError.of("hook")
            wanted = draft_after(draft, _draft(row))
            return _hook(await connection.fetchrow(_SQL["update_hook"], *key, *_columns(wanted)))

        return await self._database.transaction(work, caller=caller)

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            key = *access[:2], validate_id(hook_id, "hook")
            if await connection.fetchval(_SQL["delete_hook"], *key) is None:
                raise NotFoundError.of("hook")

        await self._database.transaction(work, caller=caller)

    async def hook_of(self, token: str) -> ResolvedHook | None:
        digest = tokens.digest(token)

        async def work(connection: Connection) -> ResolvedHook | None:
            row = await connection.fetchrow(_SQL["hook_of"], digest)
            if row is None:
                return None
            return ResolvedHook(
                row["tenant_id"], row["profile_id"], row["name"], row["shop"], _fields(row),
                row["value_factor"], tuple(row["signing_secrets"]),
            )  # fmt: skip

        return None if digest is None else await self._database.transaction(work, read_only=True)


def _columns(draft: HookDraft) -> tuple[object, ...]:
    fields = msgspec.json.encode(draft.fields).decode()
    return draft.label, draft.name, draft.shop, fields, draft.value_factor, draft.secrets


def _draft(row: Any) -> HookDraft:
    return HookDraft(
        label=row["label"], name=row["name"], shop=row["shop"], fields=_fields(row),
        value_factor=row["value_factor"], secrets=row["signing_secrets"],
    )  # fmt: skip


def _hook(row: Any) -> ConversionHook:
    return ConversionHook(**dict(row) | {"fields": _fields(row)})


def _fields(row: Any) -> HookFieldPaths:
    return msgspec.json.decode(row["fields"], type=HookFieldPaths)

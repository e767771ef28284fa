"""Conversion hooks in memory: the twin of storage.experiments.conversion_hooks."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import trio

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.experiments.conversion_hook import ConversionHook, HookDraft, ResolvedHook
from storage.accounts import tokens
from storage.experiments.conversion_hooks import MAX_HOOKS
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


class _StoredHook(NamedTuple):
    id: int
    profile_id: int
    created_at: datetime
    draft: HookDraft

    def hook(self) -> ConversionHook:
        draft = self.draft
        return ConversionHook(
            id=self.id, profile_id=self.profile_id, created_at=self.created_at, label=draft.label,
            name=draft.name, shop=draft.shop, fields=draft.fields,
            value_factor=draft.value_factor, secrets=len(draft.secrets),
        )  # fmt: skip


class MemoryConversionHookStore:
    """ConversionHookStore without a server, over the profiles of another twin."""

    def __init__(self, profiles: MemoryProfiles, now: Callable[[], datetime] = _now) -> None:
        self._profiles = profiles
        self._now = now
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        self._hooks: dict[bytes, _StoredHook] = {}

    async def create_hook(
        self,
        caller: Caller,
        profile_id: int,
        draft: HookDraft,
        once: IdempotentRequest[tuple[ConversionHook, str]] | None = None,
    ) -> tuple[ConversionHook, str]:
        await trio.lowlevel.checkpoint()

        def work() -> tuple[ConversionHook, str]:
            return self._create_hook(caller, profile_id, draft)

        return self._idempotency.run_once(caller, once, work)

    def _create_hook(
        self, caller: Caller, profile_id: int, draft: HookDraft
    ) -> tuple[ConversionHook, str]:
        self._profiles.team(caller, profile_id, Action.EDIT)
        if sum(hook.profile_id == profile_id for hook in self._hooks.values()) >= MAX_HOOKS:
            raise ConflictError(
                "hooks", f"must be at most {MAX_HOOKS} in a profile; delete one first"
            )
        token = tokens.new("wph_")
        stored = _StoredHook(next(self._ids), profile_id, self._now(), draft)
        self._hooks[tokens.require_digest(token)] = stored
        return stored.hook(), token

    async def list_hooks(self, caller: Caller, profile_id: int, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        results = [
            stored.hook()
            for stored in self._hooks.values()
            if stored.profile_id == profile_id and stored.id > after
        ]
        return ListPage.of(results, limit)

    async def update_hook(
        self, caller: Caller, profile_id: int, hook_id: int, draft: Change[HookDraft, HookDraft]
    ) -> ConversionHook:
        await trio.lowlevel.checkpoint()
        digest, stored = self._find(caller, profile_id, hook_id)
        self._hooks[digest] = stored._replace(draft=draft_after(draft, stored.draft))
        return self._hooks[digest].hook()

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None:
        await trio.lowlevel.checkpoint()
        digest, _ = self._find(caller, profile_id, hook_id)
        del self._hooks[digest]

    def _find(self, caller: Caller, profile_id: int, hook_id: int) -> tuple[bytes, _StoredHook]:
        self._profiles.team(caller, profile_id, Action.EDIT)
        for digest, stored in self._hooks.items():
            if (stored.profile_id, stored.id) == (profile_id, hook_id):
                return digest, stored
        raise NotFoundError.of("hook")

    async def hook_of(self, token: str) -> ResolvedHook | None:
        await trio.lowlevel.checkpoint()
        stored = self._hooks.get(tokens.digest(token) or b"")
        team = None if stored is None else self._profiles.team_of(stored.profile_id)
        if stored is None or team is None:
            return None
        draft = stored.draft
        return ResolvedHook(
            team[0].tenant_id, stored.profile_id, draft.name, draft.shop, draft.fields,
            draft.value_factor, tuple(draft.secrets),
        )  # fmt: skip

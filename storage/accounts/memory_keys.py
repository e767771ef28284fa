"""API keys in memory: the twin of storage.accounts.keys."""

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import trio

from engine.accounts.access import Caller, require_scope
from engine.accounts.api_key import MAX_KEYS, ApiKey, KeyDraft, NewKey, require_scopes
from engine.common.errors import ExpiredError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from storage.accounts import tokens
from storage.accounts.keys import key_limit_error
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryApiKeyStore:
    """ApiKeyStore without a server. A key that is not in `_keys` is revoked."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._callers: dict[bytes, Caller] = {}
        self._keys: dict[int, ApiKey] = {}
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)

    def add(self, key: str, caller: Caller, expires_at: datetime | None = None) -> Caller:
        """Add a key that acts for the user, within the caller's scopes."""
        api_key = caller._replace(key_id=next(self._ids))
        assert api_key.key_id is not None
        self._callers[tokens.require_digest(key)] = api_key
        self._keys[api_key.key_id] = ApiKey(
            id=api_key.key_id,
            prefix=tokens.token_prefix(key),
            label="",
            scopes=caller.scopes,
            created_at=self._now(),
            last_used_at=None,
            expires_at=expires_at,
            origins=caller.origins,
        )
        return api_key

    async def authenticate(self, key: str) -> Caller | None:
        await trio.lowlevel.checkpoint()
        digest = tokens.digest(key)
        caller = None if digest is None else self._callers.get(digest)
        if caller is None or caller.key_id not in self._keys:
            return None
        if not self._works(self._keys[caller.key_id]):
            raise ExpiredError("this key has expired")
        return caller

    async def create_key(
        self, caller: Caller, draft: KeyDraft, once: IdempotentRequest[NewKey] | None = None
    ) -> NewKey:
        await trio.lowlevel.checkpoint()
        require_scopes(caller, draft.scopes)
        return self._idempotency.run_once(caller, once, lambda: self._create_key(caller, draft))

    def _create_key(self, caller: Caller, draft: KeyDraft) -> NewKey:
        if sum(self._works(key) for key in self._of(caller)) >= MAX_KEYS:
            raise key_limit_error()
        text = tokens.new("wp_")
        scopes = msgspec.convert(draft.scopes, tuple)
        new_caller = self.add(
            text,
            Caller(caller.tenant_id, caller.user_id, scopes=scopes, origins=tuple(draft.origins)),
        )
        assert new_caller.key_id is not None
        key = msgspec.structs.replace(
            self._keys[new_caller.key_id], label=draft.label, expires_at=draft.expires_at
        )
        self._keys[key.id] = key
        return NewKey(key, text)

    async def list_keys(self, caller: Caller, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "read")
        keys = [key for key in self._of(caller) if key.id > after]
        return ListPage.of(keys, limit)

    async def revoke_key(self, caller: Caller, key_id: int) -> None:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "admin")
        if key_id not in [key.id for key in self._of(caller)]:
            raise NotFoundError.of("key")
        del self._keys[key_id]

    async def allows_origin(self, origin: str) -> bool:
        await trio.lowlevel.checkpoint()
        return any(origin in key.origins for key in self._keys.values() if self._works(key))

    async def record_last_used(self, keys: Sequence[int], sessions: Sequence[int]) -> None:
        """Record the keys only: another twin has the sessions."""
        await trio.lowlevel.checkpoint()
        now = self._now()
        for key in [self._keys[key_id] for key_id in keys if key_id in self._keys]:
            if key.last_used_at is None or now - key.last_used_at > timedelta(minutes=1):
                self._keys[key.id] = msgspec.structs.replace(key, last_used_at=now)

    def _of(self, caller: Caller) -> list[ApiKey]:
        """Return the caller's keys that are not revoked, in the order of their ids."""
        key_ids = {c.key_id for c in self._callers.values() if c.user_id == caller.user_id}
        return [key for key_id, key in self._keys.items() if key_id in key_ids]

    def _works(self, key: ApiKey) -> bool:
        return key.expires_at is None or key.expires_at > self._now()

"""Cache of valid API keys.

A key that was valid stays valid for `CACHE_S` without asking the store. So a key that another process
revoked works for up to `CACHE_S` more; in the process that revokes it, it ends at once. The cache holds only
SHA-256 hashes of keys. An invalid key is looked up each time.
"""

import hashlib
from collections import OrderedDict
from typing import Final

import trio

from engine.accounts.access import Caller
from engine.accounts.ports import ApiKeyStore

CACHE_S: Final = 5.0
MAX_KEYS: Final = 1024


class KeyCache:
    """Callers of API keys, from memory or from the store."""

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store
        self._callers: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._revocations = 0

    async def authenticate(self, text: str) -> Caller | None:
        """Return the key's caller, or None for an unknown key. Raises ExpiredError, UnavailableError."""
        known = self.cached(text)
        if known is not None:
            return known
        digest = _digest(text)
        started_at, revocations = trio.current_time(), self._revocations
        caller = await self._store.authenticate(text)
        self._callers.pop(digest, None)
        # A lookup that began before a revocation may have found the very key that was revoked.
        if caller is not None and revocations == self._revocations:
            self._callers[digest] = (caller, started_at + CACHE_S)
            if len(self._callers) > MAX_KEYS:
                self._callers.popitem(last=False)
        return caller

    def cached(self, text: str) -> Caller | None:
        """Return the key's caller if it was valid within CACHE_S."""
        cached = self._callers.get(_digest(text))
        return cached[0] if cached is not None and trio.current_time() < cached[1] else None

    def forget(self, key_id: int) -> None:
        """Drop a key. Call when it has just been revoked."""
        self._revocations += 1
        for digest, (caller, _) in list(self._callers.items()):
            if caller.key_id == key_id:
                del self._callers[digest]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()

"""Caches of valid credentials: API keys, and tokens of shares.

A credential that was valid stays valid for `CACHE_S` without asking the store. So one that another process
revoked works for up to `CACHE_S` more; in the process that revokes it, it ends at once. A cache holds only
SHA-256 hashes of credentials. An invalid one is looked up each time.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import trio

from engine.accounts.access import Caller
from engine.accounts.ports import ApiKeyStore
from engine.stats.dashboards.ports import ShareStore
from engine.stats.dashboards.share import ResolvedShare

CACHE_S: Final = 5.0
MAX_KEYS: Final = 1024  # of one cache
T = TypeVar("T")


class CredentialCache(Generic[T]):
    """Cache of what credentials stand for, filled by `look_up`; `id_of` returns a credential's id."""

    def __init__(
        self, look_up: Callable[[str], Awaitable[T | None]], id_of: Callable[[T], int | None]
    ) -> None:
        self._look_up = look_up
        self._id_of = id_of
        self._known: OrderedDict[bytes, tuple[T, float]] = OrderedDict()
        self._revocations = 0

    async def authenticate(self, text: str) -> T | None:
        """Return what a credential stands for; None: it is unknown. Raises ExpiredError, UnavailableError."""
        known = self.cached(text)
        if known is not None:
            return known
        digest = _digest(text)
        started_at, revocations = trio.current_time(), self._revocations
        value = await self._look_up(text)
        self._known.pop(digest, None)
        # A lookup that began before a revocation may have found the very credential that was revoked.
        if value is not None and revocations == self._revocations:
            self._known[digest] = (value, started_at + CACHE_S)
            if len(self._known) > MAX_KEYS:
                self._known.popitem(last=False)
        return value

    def cached(self, text: str) -> T | None:
        """Return what a credential stands for if it was valid within CACHE_S."""
        cached = self._known.get(_digest(text))
        return cached[0] if cached is not None and trio.current_time() < cached[1] else None

    def forget(self, id_: int) -> None:
        """Drop a credential by its id. Call when it has just been revoked."""
        self._revocations += 1
        for digest, (value, _) in list(self._known.items()):
            if self._id_of(value) == id_:
                del self._known[digest]


class KeyCache(CredentialCache[Caller]):
    """Callers of API keys."""

    def __init__(self, store: ApiKeyStore) -> None:
        super().__init__(lambda text: store.authenticate(text), lambda caller: caller.key_id)
        self.allows_origin = store.allows_origin


class ShareCache(CredentialCache[ResolvedShare]):
    """Shares of tokens."""

    def __init__(self, store: ShareStore) -> None:
        super().__init__(lambda token: store.share_of(token), lambda resolved: resolved.share.id)
        self.allows_origin = store.allows_origin


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("ascii")).digest()

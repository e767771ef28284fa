"""API keys in memory: the twin of storage.keys."""

import hashlib
import itertools

import trio

from engine.ports import ApiKey


class MemoryKeys:
    """KeyStore without a server."""

    def __init__(self) -> None:
        self._keys: dict[bytes, ApiKey] = {}
        self._ids = itertools.count(1)

    def add(self, key: str, tenant_id: int) -> ApiKey:
        """Let `key` act for the tenant."""
        api_key = ApiKey(next(self._ids), tenant_id)
        self._keys[hashlib.sha256(key.encode()).digest()] = api_key
        return api_key

    async def authenticate(self, key: str) -> ApiKey | None:
        await trio.lowlevel.checkpoint()
        return self._keys.get(hashlib.sha256(key.encode(errors="replace")).digest())

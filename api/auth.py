"""Who asks: `Authorization: Bearer KEY` names a tenant.

A key that was good is taken as good for `CACHE_S` more, without asking the store: so long does a
revoked key live on. Only SHA-256 sums of keys are held. What is no good is asked for each time.
"""

import hashlib
import re
from collections import OrderedDict
from typing import Final

import trio
from quart import g, request
from werkzeug.exceptions import Unauthorized

from engine.ports import ApiKey, KeyStore

CACHE_S: Final = 5.0
CACHE_KEYS: Final = 1024
_BEARER: Final = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE | re.ASCII)


def tenant() -> int:
    """The tenant of the request being handled."""
    tenant_id: int = g.tenant_id
    return tenant_id


class Keys:
    """Judges requests by their key."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._good: OrderedDict[bytes, tuple[ApiKey, float]] = OrderedDict()

    async def check(self) -> None:
        """Before a request under `/v1`: find its tenant, or raise Unauthorized."""
        if not (request.path == "/v1" or request.path.startswith("/v1/")):
            return
        headers = request.headers.getlist("Authorization")
        match = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
        if match is None:
            raise Unauthorized("send the header `Authorization: Bearer KEY`")
        key = await self._find(match[1])
        if key is None:
            raise Unauthorized("this key is unknown")
        g.tenant_id = key.tenant_id

    async def _find(self, text: str) -> ApiKey | None:
        digest = hashlib.sha256(text.encode("ascii")).digest()
        cached = self._good.get(digest)
        if cached is not None and trio.current_time() < cached[1]:
            return cached[0]
        asked_at = trio.current_time()
        key = await self._store.authenticate(text)
        self._good.pop(digest, None)
        if key is not None:
            self._good[digest] = (key, asked_at + CACHE_S)
            if len(self._good) > CACHE_KEYS:
                self._good.popitem(last=False)
        return key

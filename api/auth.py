"""Who asks: `Authorization: Bearer KEY` names a user, their tenant and the key's scopes.

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

from api.problems import REQUEST_ID
from engine.access import Caller
from engine.errors import ExpiredError
from engine.ports import KeyStore

CACHE_S: Final = 5.0
CACHE_KEYS: Final = 1024
_BEARER: Final = re.compile(r"bearer +([!-~]{1,256})", re.IGNORECASE | re.ASCII)


def caller() -> Caller:
    """Who sent the request being handled."""
    found: Caller = g.caller
    return found


class Keys:
    """Judges requests by their key."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._good: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    async def check(self) -> None:
        """Before a request under `/v1`: find its caller, or raise Unauthorized."""
        if not (request.path == "/v1" or request.path.startswith("/v1/")):
            return
        headers = request.headers.getlist("Authorization")
        match = _BEARER.fullmatch(headers[0].strip()) if len(headers) == 1 else None
        if match is None:
            raise Unauthorized("send the header `Authorization: Bearer KEY`")
        try:
            found = await self._find(match[1])
        except ExpiredError as error:
            raise Unauthorized(str(error)) from None
        if found is None:
            raise Unauthorized("this key is unknown")
        g.caller = found._replace(request_id=str(request.scope.get(REQUEST_ID, "")))

    async def _find(self, text: str) -> Caller | None:
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

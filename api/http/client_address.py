"""Client address of a console request."""

from functools import lru_cache
from typing import Final

from quart import request

from api.http.protocol import Scope
from engine.visits.client_address import client_address

# The same few clients send most requests, so their parsed addresses are cached.
_client_address: Final = lru_cache(maxsize=1_024)(client_address)


def address(trusted_hops: int) -> str:
    """Return the client's address. `X-Forwarded-For` counts only as far as trusted proxies wrote it."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return _client_address(request.remote_addr or "", forwarded, trusted_hops)


def address_of(scope: Scope, trusted_hops: int) -> str:
    """Return address() of a request that is no request of Quart's yet."""
    client = scope.get("client")
    forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    peer = client[0] if client else "<local>"
    return _client_address(peer, forwarded.decode("latin1"), trusted_hops)

"""Client address of a console request."""

from functools import lru_cache
from typing import Final

from quart import request

from engine.visits.client_address import client_address

# The same few clients send most requests, so their parsed addresses are cached.
_client_address: Final = lru_cache(maxsize=1_024)(client_address)


def address(trusted_hops: int) -> str:
    """Return the client's address. `X-Forwarded-For` counts only as far as trusted proxies wrote it."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return _client_address(request.remote_addr or "", forwarded, trusted_hops)

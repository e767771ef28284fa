"""Where a request of the console comes from."""

from functools import lru_cache
from typing import Final

from quart import request

from engine.visits.client_address import client_address

# The few who ask now ask again and again.
_client_address: Final = lru_cache(maxsize=1_024)(client_address)


def address(trusted_hops: int) -> str:
    """The client's address, by the word of trusted proxies alone."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return _client_address(request.remote_addr or "", forwarded, trusted_hops)

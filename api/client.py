"""Where a request of the console comes from."""

from quart import request

from engine.client_address import client_address


def address(trusted_hops: int) -> str:
    """The client's address, by the word of trusted proxies alone."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-For"))
    return client_address(request.remote_addr or "", forwarded, trusted_hops)

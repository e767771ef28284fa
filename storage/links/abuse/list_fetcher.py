"""Client for blocklists: on the public internet only, bounded in bytes and redirects.

storage/http/public_network.py makes the connections and checks each address, of each hop too.
"""

from ssl import SSLContext
from typing import Final

import ada_url
import httpcore

from engine.links.abuse.fetched_list import MAX_HOPS, MAX_LIST_BYTES, MAX_TAG_CHARS, Fetched
from storage.http.public_network import (
    Connect,
    PublicNetwork,
    RefusedError,
    Resolver,
    TooLongError,
    deny_private,
    request_url,
)

USER_AGENT: Final = "Waypost/0.1 (blocklists, once an hour)"
_HEAD_BYTES: Final = 32 * 1024
_TOO_LONG: Final = f"it has more than {MAX_LIST_BYTES // 1024**2} MiB"


class HttpListFetcher:
    """ListFetcher over HTTP/1.1, for one trio run. Each fetch has connections of its own."""

    def __init__(
        self,
        *,
        resolver: Resolver | None = None,
        connect: Connect | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self._network = PublicNetwork(
            deny_private, resolver, connect, max_wire_bytes=MAX_LIST_BYTES + _HEAD_BYTES
        )

    async def fetch(self, url: str, tag: str) -> Fetched:
        async with httpcore.AsyncConnectionPool(
            ssl_context=self._tls, max_connections=2, network_backend=self._network
        ) as pool:
            try:
                for _ in range(MAX_HOPS + 1):
                    outcome = await _fetch_once(pool, url, tag)
                    if isinstance(outcome, Fetched):
                        return outcome
                    url = outcome
                return Fetched("failed", reason=f"it redirects more than {MAX_HOPS} times")
            except RefusedError:
                return Fetched("failed", reason="it is not on the public internet")
            except TooLongError:
                return Fetched("failed", reason=_TOO_LONG)
            except ValueError:
                return Fetched("failed", reason="it redirects to what is no http or https URL")
            except (httpcore.NetworkError, httpcore.TimeoutException, OSError):
                return Fetched(
                    "failed", reason="it could not be connected to, or the connection was lost"
                )
            except (httpcore.ProtocolError, httpcore.UnsupportedProtocol):
                return Fetched("failed", reason="it does not answer in HTTP/1.1")


async def _fetch_once(pool: httpcore.AsyncConnectionPool, url: str, tag: str) -> Fetched | str:
    """Return what one request brings, or the URL to which it redirects."""
    parsed = ada_url.URL(url)
    headers = [
        ("Host", parsed.host), ("User-Agent", USER_AGENT), ("Accept", "text/plain, */*;q=0.5"),
        ("Accept-Encoding", "identity"),
    ]  # fmt: skip
    if tag:
        headers.append(("If-None-Match", tag))
    async with pool.stream("GET", request_url(parsed), headers=headers) as response:
        if response.status == 304:
            return Fetched("unchanged")
        if response.status in (301, 302, 303, 307, 308):
            return _web_url(_header(response, b"location"), url)
        if response.status != 200:
            return Fetched("failed", reason=f"it answers {response.status}")
        body = await response.aread()  # bounded by the network
        if len(body) > MAX_LIST_BYTES:
            raise TooLongError
        fetched_tag = _header(response, b"etag")
        return Fetched("new", body, fetched_tag if len(fetched_tag) <= MAX_TAG_CHARS else "")


def _web_url(location: str, base: str) -> str:
    """Return the URL that a redirect leads to. Raises ValueError for one of another scheme."""
    url = ada_url.URL(location, base)
    if url.protocol not in ("http:", "https:") or not location:
        raise ValueError(location)
    return url.href


def _header(response: httpcore.Response, wanted: bytes) -> str:
    values = [value for name, value in response.headers if name.lower() == wanted]
    text = values[0].decode("utf-8", "replace") if values else ""
    return text if text.isascii() and text.isprintable() else ""

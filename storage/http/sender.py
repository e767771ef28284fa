"""Requests to webhook receivers: on the public internet only, one request per attempt.

Guarantees, besides those of storage/http/public_network.py:
- no redirect is followed, no cookie kept, no proxy taken from the environment: httpcore does none of that;
- nothing is decompressed;
- connections are kept for KEEP_S, shorter than servers keep them, so that they are not found closed.

httpcore searches all connections of a pool at each request. Each origin (scheme, host and port) therefore has
its own pool, which is closed once unused.

The calling code bounds the time, by cancelling.
"""

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final

import ada_url
import httpcore
import trio

from engine.webhooks.delivery import KEPT_RESPONSE_BYTES, AttemptResult
from engine.webhooks.public_address import is_loopback
from storage.http.public_network import (
    MAX_WIRE_BYTES,
    Connect,
    PublicNetwork,
    RefusedError,
    Resolver,
    TooLongError,
    deny_private,
    request_url,
)

MAX_CONNECTIONS: Final = 128  # to one origin
KEEP_S: Final = 2.0
MAX_ERROR_CHARS: Final = 200


class HttpWebhookSender:
    """WebhookSender over HTTP/1.1, for one trio run. `loopback` allows this machine's own addresses too.

    `resolver` returns the addresses of a host, `connect` connects to an address; `tls` is for receivers whose
    certificates are not signed by a public authority.
    """

    def __init__(
        self,
        *,
        loopback: bool = False,
        resolver: Resolver | None = None,
        connect: Connect | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        self._tls = tls or httpcore.default_ssl_context()
        self._network = PublicNetwork(is_loopback if loopback else deny_private, resolver, connect)
        self._pools: OrderedDict[str, _Pool] = OrderedDict()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        parsed = ada_url.URL(url)
        request_headers = [
            (b"Host", parsed.host.encode("ascii")),
            (b"Content-Length", b"%d" % len(body)),
        ]
        request_headers += [
            (name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()
        ]
        pool = self._pool(parsed.origin)
        try:
            async with pool.connections.stream(
                b"POST", request_url(parsed), headers=[*request_headers, (b"Accept-Encoding", b"identity")],
                content=body,
            ) as response:  # fmt: skip
                return await _read(response)
        except RefusedError as error:
            return AttemptResult(None, str(error))
        except TooLongError:
            return AttemptResult(
                None, f"the head of the answer is longer than {MAX_WIRE_BYTES} bytes"
            )
        except httpcore.ConnectError as error:
            return AttemptResult(None, _error_text("could not connect", error))
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            return AttemptResult(None, _error_text("did not answer in HTTP/1.1", error))
        except (httpcore.NetworkError, OSError) as error:
            return AttemptResult(None, _error_text("the connection was lost", error))
        finally:
            pool.users -= 1
            pool.unused_since_s = trio.current_time()
            await self._close_unused()

    async def close(self) -> None:
        while self._pools:
            await self._pools.popitem()[1].connections.aclose()

    def _pool(self, origin: str) -> "_Pool":
        """Return the origin's pool, counted as used and moved behind the pools used earlier."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = _Pool(
                httpcore.AsyncConnectionPool(
                    ssl_context=self._tls,
                    max_connections=MAX_CONNECTIONS,
                    max_keepalive_connections=MAX_CONNECTIONS,
                    keepalive_expiry=KEEP_S,
                    network_backend=self._network,
                )
            )
        pool.users += 1
        self._pools.move_to_end(origin)
        return pool

    async def _close_unused(self) -> None:
        """Close pools unused for KEEP_S, oldest use first, up to the first that is in use or too young."""
        now = trio.current_time()
        while self._pools:
            origin, pool = next(iter(self._pools.items()))
            if pool.users or now < pool.unused_since_s + KEEP_S:
                return
            del self._pools[origin]
            with trio.CancelScope(shield=True):
                await pool.connections.aclose()


@dataclass(slots=True)
class _Pool:
    """Connections to one origin. `users` is the number of requests in flight."""

    connections: httpcore.AsyncConnectionPool
    users: int = 0
    unused_since_s: float = 0.0


async def _read(response: httpcore.Response) -> AttemptResult:
    """Return the status and the body's first bytes. A body over MAX_WIRE_BYTES costs the connection."""
    body_start = b""
    error = "redirects are not followed" if 300 <= response.status < 400 else ""
    # A body that breaks off does not change the result: the status decides.
    with suppress(TooLongError, httpcore.NetworkError, httpcore.ProtocolError):
        async for chunk in response.aiter_stream():
            body_start += chunk[: KEPT_RESPONSE_BYTES - len(body_start)]
    retry_after = next((v for n, v in response.headers if n.lower() == b"retry-after"), b"")
    return AttemptResult(
        response.status, error, body_start, retry_after[:64].decode("ascii", "replace")
    )


def _error_text(summary: str, error: BaseException) -> str:
    """Return one printable line: the summary, and the first error text in the chain of causes."""
    reason = ""
    cause: BaseException | None = error
    while cause is not None:
        reason = reason or str(cause)
        cause = cause.__cause__ or cause.__context__
    text = f"{summary}: {reason}" if reason else summary
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_ERROR_CHARS]

"""HTTP to receivers that somebody else has named: only to the public internet, and never more than asked for.

Guarantees, besides those of storage/http/public_network.py:
- no redirect is followed, no cookie kept, no proxy taken from the environment: httpcore does none of that;
- nothing is decompressed;
- connections are kept for KEEP_S, shorter than servers do, so that they are not found closed.

A pool looks through all of its connections at each request, so each origin has one of its own, closed when
it is not used any more.

How long it all may take is up to the caller, who cancels.
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
    """Sender over HTTP/1.1. `loopback`: this machine's own addresses are allowed too. Used in one trio run.

    `resolver` gives the addresses of a host, `connect` makes a connection to one; `tls` is for receivers whose
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
        sent = [(b"Host", parsed.host.encode("ascii")), (b"Content-Length", b"%d" % len(body))]
        sent += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        pool = self._pool(parsed.origin)
        try:
            async with pool.connections.stream(
                b"POST", request_url(parsed), headers=[*sent, (b"Accept-Encoding", b"identity")],
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
            return AttemptResult(None, _said("could not connect", error))
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            return AttemptResult(None, _said("did not answer in HTTP/1.1", error))
        except (httpcore.NetworkError, OSError) as error:
            return AttemptResult(None, _said("the connection was lost", error))
        finally:
            pool.users -= 1
            pool.unused_since_s = trio.current_time()
            await self._close_unused()

    async def close(self) -> None:
        while self._pools:
            await self._pools.popitem()[1].connections.aclose()

    def _pool(self, origin: str) -> "_Pool":
        """The origin's, in use from here on; those used last stand last."""
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
        """One that is in use stands for those behind it: they are looked at later."""
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
    """Connections to one origin, and how many requests are under way there."""

    connections: httpcore.AsyncConnectionPool
    users: int = 0
    unused_since_s: float = 0.0


async def _read(response: httpcore.Response) -> AttemptResult:
    """The status and the first bytes. A rest that is too long costs the connection."""
    kept = b""
    error = "redirects are not followed" if 300 <= response.status < 400 else ""
    # What breaks off behind the status has said what counts.
    with suppress(TooLongError, httpcore.NetworkError, httpcore.ProtocolError):
        async for chunk in response.aiter_stream():
            kept += chunk[: KEPT_RESPONSE_BYTES - len(kept)]
    retry_after = next((v for n, v in response.headers if n.lower() == b"retry-after"), b"")
    return AttemptResult(response.status, error, kept, retry_after[:64].decode("ascii", "replace"))


def _said(what: str, error: BaseException) -> str:
    """One printable line of what went wrong: the first of a chain of causes that says so."""
    reason = ""
    cause: BaseException | None = error
    while cause is not None:
        reason = reason or str(cause)
        cause = cause.__cause__ or cause.__context__
    text = f"{what}: {reason}" if reason else what
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_ERROR_CHARS]

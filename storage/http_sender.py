"""HTTP to receivers that somebody else has named: only to the public internet, and never more than asked for.

Guarantees, besides those of storage/public_network.py:
- no redirect is followed, no cookie kept, no proxy taken from the environment: httpcore does none of that;
- nothing is decompressed;
- connections are kept for KEEP_S, shorter than servers do, so that they are not found closed.

How long it all may take is up to the caller, who cancels.
"""

from collections.abc import Mapping
from contextlib import suppress
from ssl import SSLContext
from typing import Final

import ada_url
import httpcore

from engine.delivery import KEPT_BYTES, Answer
from engine.public_address import is_loopback
from storage.public_network import (
    MAX_WIRE_BYTES,
    Connect,
    PublicNetwork,
    RefusedError,
    Resolver,
    TooLongError,
    nowhere_else,
    request_url,
)

MAX_CONNECTIONS: Final = 512
MAX_KEPT: Final = 128
KEEP_S: Final = 2.0
MAX_ERROR_CHARS: Final = 200


class HttpSender:
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
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_KEPT,
            keepalive_expiry=KEEP_S,
            network_backend=PublicNetwork(
                is_loopback if loopback else nowhere_else, resolver, connect
            ),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parsed = ada_url.URL(url)
        sent = [(b"Host", parsed.host.encode("ascii")), (b"Content-Length", b"%d" % len(body))]
        sent += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        try:
            async with self._pool.stream(
                b"POST", request_url(parsed), headers=[*sent, (b"Accept-Encoding", b"identity")],
                content=body,
            ) as response:  # fmt: skip
                return await _read(response)
        except RefusedError as error:
            return Answer(None, str(error))
        except TooLongError:
            return Answer(None, f"the head of the answer is longer than {MAX_WIRE_BYTES} bytes")
        except httpcore.ConnectError as error:
            return Answer(None, _said("could not connect", error))
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
            return Answer(None, _said("did not answer in HTTP/1.1", error))
        except (httpcore.NetworkError, OSError) as error:
            return Answer(None, _said("the connection was lost", error))

    async def close(self) -> None:
        await self._pool.aclose()


async def _read(response: httpcore.Response) -> Answer:
    """The status and the first bytes. A rest that is too long costs the connection."""
    kept = b""
    error = "redirects are not followed" if 300 <= response.status < 400 else ""
    # What breaks off behind the status has said what counts.
    with suppress(TooLongError, httpcore.NetworkError, httpcore.ProtocolError):
        async for chunk in response.aiter_stream():
            kept += chunk[: KEPT_BYTES - len(kept)]
    retry_after = next((v for n, v in response.headers if n.lower() == b"retry-after"), b"")
    return Answer(response.status, error, kept, retry_after[:64].decode("ascii", "replace"))


def _said(what: str, error: BaseException) -> str:
    """One printable line of what went wrong: the first of a chain of causes that says so."""
    reason = ""
    cause: BaseException | None = error
    while cause is not None:
        reason = reason or str(cause)
        cause = cause.__cause__ or cause.__context__
    text = f"{what}: {reason}" if reason else what
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_ERROR_CHARS]

"""HTTP to receivers that somebody else has named: only to the public internet, and never more than asked for.

Guarantees:
- a host's name is looked up once for a connection, every address that it has must be a public one, and the
  connection is made to one of these very addresses: what the name says a moment later does not matter.
  Host header and TLS go by the name;
- no redirect is followed, no cookie kept, no proxy taken from the environment: httpcore does none of that;
- of an answer no more than MAX_WIRE_BYTES are read from the wire, head and all, nor decompressed;
- connections are kept for KEEP_S, shorter than servers do, so that they are not found closed.

How long it all may take is up to the caller, who cancels.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from ssl import SSLContext
from typing import Any, Final

import ada_url
import httpcore
import trio

from engine.delivery import KEPT_BYTES, Answer
from engine.public_address import allowed_address, is_loopback

MAX_CONNECTIONS: Final = 512
MAX_KEPT: Final = 128
KEEP_S: Final = 2.0
MAX_TRIED: Final = 4
CONNECT_S: Final = 4.0  # for an address, when there is another one to try
MAX_WIRE_BYTES: Final = 32 * 1024
MAX_LOOKUPS: Final = 32
CLOSE_S: Final = 1.0
MAX_ERROR_CHARS: Final = 200

Resolver = Callable[[str, int], Awaitable[list[str]]]
Connect = Callable[[str, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]
_lookups: trio.CapacityLimiter | None = None


class RefusedError(Exception):
    """The host's name leads to where nothing may be sent."""


class TooLongError(Exception):
    """The answer has more bytes than are read."""


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
            network_backend=_Network(
                resolver or look_up, connect or httpcore.TrioBackend().connect_tcp, loopback
            ),
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parsed = ada_url.URL(url)
        sent = [(b"Host", parsed.host.encode("ascii")), (b"Content-Length", b"%d" % len(body))]
        sent += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        try:
            async with self._pool.stream(
                b"POST", _target(parsed), headers=[*sent, (b"Accept-Encoding", b"identity")],
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


async def look_up(host: str, port: int) -> list[str]:
    """By the system's resolver, in a thread; at most MAX_LOOKUPS at once, one that hangs included."""
    global _lookups
    if _lookups is None:
        _lookups = trio.CapacityLimiter(MAX_LOOKUPS)
    found = await trio.to_thread.run_sync(
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
        abandon_on_cancel=True,
        limiter=_lookups,
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _target(url: ada_url.URL) -> httpcore.URL:
    port = int(url.port) if url.port else None
    return httpcore.URL(
        scheme=url.protocol.removesuffix(":").encode("ascii"),
        host=url.hostname.strip("[]").encode("ascii"),
        port=port,
        target=(url.pathname + url.search).encode("ascii"),
    )


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


class _Network(httpcore.AsyncNetworkBackend):
    """Makes connections to addresses that were judged, and to no other."""

    def __init__(self, resolver: Resolver, connect: Connect, loopback: bool) -> None:
        self._resolver = resolver
        self._connect = connect
        self._loopback = loopback

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await self._judged(host, port)
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return _Capped(await self._connect(address, port, CONNECT_S))
        return _Capped(await self._connect(last, port, None))

    async def _judged(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolver(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} is not known ({error.strerror})") from error
        except UnicodeError as error:
            raise httpcore.ConnectError(f"{host} is no host's name") from error
        if not found:
            raise httpcore.ConnectError(f"{host} has no address")
        for address in found:
            if not allowed_address(address) and not (self._loopback and is_loopback(address)):
                # Which one it is would tell what somebody's own names stand for.
                raise RefusedError(f"{host} has an address that is not on the public internet")
        return found[:MAX_TRIED]


class _Capped(httpcore.AsyncNetworkStream):
    """A connection of which no more than MAX_WIRE_BYTES are read after each request."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._left_bytes = MAX_WIRE_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._left_bytes <= 0:
            raise TooLongError
        data = await self._inner.read(min(max_bytes, self._left_bytes), timeout)
        self._left_bytes -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._left_bytes = MAX_WIRE_BYTES
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """A receiver that takes no farewell is left without one."""
        with trio.move_on_after(CLOSE_S):
            await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _Capped(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

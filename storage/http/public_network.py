"""Connections to what somebody else has named: to the public internet only, and bounded in bytes.

Guarantees:
- a host's name is looked up once for a connection, every address that it has must be a public one, and the
  connection is made to one of these very addresses: what the name says a moment later does not matter.
  Host header and TLS go by the name;
- no more than MAX_WIRE_BYTES are read after each request, head and all, as they come out of TLS;
- a look-up that hangs has its thread until the resolver gives up, though nobody waits for it any more. So that
  others find one, there are as many as a courier has requests in flight, and each network has its own.

How long it all may take is up to the caller, who cancels.
"""

import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ssl import SSLContext
from typing import Any, Final

import ada_url
import httpcore
import trio

from engine.webhooks.public_address import allowed_address

MAX_TRIED: Final = 4
CONNECT_S: Final = 4.0  # for an address, when there is another one to try
MAX_WIRE_BYTES: Final = 32 * 1024
MAX_LOOKUPS: Final = 256
CLOSE_S: Final = 1.0

Resolver = Callable[[str, int], Awaitable[list[str]]]
Connect = Callable[[str, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class RefusedError(Exception):
    """The host's name leads to where nothing may be sent."""


class TooLongError(Exception):
    """The answer has more bytes than are read."""


def system_resolver(most: int = MAX_LOOKUPS) -> Resolver:
    """The system's, in threads; at most so many at once, those that hang included."""
    limiter = trio.CapacityLimiter(most)

    async def look_up(host: str, port: int) -> list[str]:
        found = await trio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=limiter,
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    return look_up


def request_url(url: ada_url.URL) -> httpcore.URL:
    port = int(url.port) if url.port else None
    return httpcore.URL(
        scheme=url.protocol.removesuffix(":").encode("ascii"),
        host=url.hostname.strip("[]").encode("ascii"),
        port=port,
        target=(url.pathname + url.search).encode("ascii"),
    )


def deny_private(address: str) -> bool:
    """No address is allowed besides public ones."""
    return False


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Makes connections to addresses that were judged, and to no other."""

    def __init__(
        self,
        also: Callable[[str], bool],
        resolver: Resolver | None = None,
        connect: Connect | None = None,
    ) -> None:
        """`also` says which addresses are allowed besides public ones; `resolver` gives the addresses of a
        host, `connect` makes a connection to one."""
        self._also = also
        self._resolver = resolver or system_resolver()
        self._connect = connect or httpcore.TrioBackend().connect_tcp

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await self._allowed_addresses(host, port)
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return _Capped(await self._connect(address, port, CONNECT_S))
        return _Capped(await self._connect(last, port, None))

    async def _allowed_addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await self._resolver(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} is not known ({error.strerror})") from error
        except UnicodeError as error:
            raise httpcore.ConnectError(f"{host} is no host's name") from error
        if not found:
            raise httpcore.ConnectError(f"{host} has no address")
        for address in found:
            if not allowed_address(address) and not self._also(address):
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
        try:
            return _Capped(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            # Cancelled in the midst of it, httpcore forgets the connection and leaves it open.
            with trio.CancelScope(shield=True):
                await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

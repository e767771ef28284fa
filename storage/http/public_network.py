"""Connections to hosts that members name: to the public internet only, and bounded in bytes.

Guarantees:
- a host's name is looked up once for a connection, all its addresses must be public, and the connection is made
  to one of these addresses: later changes of the name do not matter. Host header and TLS use the name;
- at most MAX_WIRE_BYTES of a response are read, head included, counted after decryption, unless a network is
  made for larger ones;
- a look-up that hangs keeps its thread until the resolver gives up, even if its request was cancelled. Each
  network has its own threads, as many as a courier has requests in flight, so that other look-ups find one.

The calling code bounds the time, by cancelling.
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

MAX_ADDRESSES: Final = 4
CONNECT_S: Final = 4.0  # for an address, when there is another one to try
MAX_WIRE_BYTES: Final = 32 * 1024
MAX_LOOKUPS: Final = 256
CLOSE_S: Final = 1.0

Resolver = Callable[[str, int], Awaitable[list[str]]]
Connect = Callable[[str, int, float | None], Awaitable[httpcore.AsyncNetworkStream]]


class RefusedError(Exception):
    """The host has an address that is not allowed."""


class TooLongError(Exception):
    """The response has more bytes than MAX_WIRE_BYTES."""


def system_resolver(max_lookups: int = MAX_LOOKUPS) -> Resolver:
    """Return the system's resolver in threads, for at most `max_lookups` at once, hanging ones included."""
    limiter = trio.CapacityLimiter(max_lookups)

    async def look_up(host: str, port: int) -> list[str]:
        addresses = await trio.to_thread.run_sync(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
            abandon_on_cancel=True,
            limiter=limiter,
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in addresses))

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
    """Allow no address besides public ones."""
    return False


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Network that connects to allowed addresses only."""

    def __init__(
        self,
        allow: Callable[[str], bool],
        resolver: Resolver | None = None,
        connect: Connect | None = None,
        *,
        max_wire_bytes: int = MAX_WIRE_BYTES,
    ) -> None:
        """Create the network. `allow` tells which addresses are allowed besides public ones, `resolver` returns
        the addresses of a host, `connect` connects to an address."""
        self._allow = allow
        self._max_wire_bytes = max_wire_bytes
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
        *first_addresses, last_address = await self._allowed_addresses(host, port)
        for address in first_addresses:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return _Capped(await self._connect(address, port, CONNECT_S), self._max_wire_bytes)
        return _Capped(await self._connect(last_address, port, None), self._max_wire_bytes)

    async def _allowed_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolver(host, port)
        except OSError as error:
            raise httpcore.ConnectError(f"{host} is not known ({error.strerror})") from error
        except UnicodeError as error:
            raise httpcore.ConnectError(f"{host} is not a host name") from error
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            if not allowed_address(address) and not self._allow(address):
                # Do not name the address: that would reveal what private host names resolve to.
                raise RefusedError(f"{host} has an address that is not on the public internet")
        return addresses[:MAX_ADDRESSES]


class _Capped(httpcore.AsyncNetworkStream):
    """A connection that reads at most `max_bytes` after each request."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = self._left_bytes = max_bytes

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._left_bytes <= 0:
            raise TooLongError
        data = await self._inner.read(min(max_bytes, self._left_bytes), timeout)
        self._left_bytes -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._left_bytes = self._max_bytes
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the connection, without TLS's farewell if that takes longer than CLOSE_S."""
        with trio.move_on_after(CLOSE_S):
            await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
            return _Capped(inner, self._max_bytes)
        except BaseException:
            # httpcore forgets a connection whose handshake is cancelled, and leaves it open.
            with trio.CancelScope(shield=True):
                await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

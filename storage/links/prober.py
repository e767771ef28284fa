"""Probes of links' targets: on the public internet only, and no more of a response than its head.

storage/http/public_network.py makes the connections and checks each address. The prober follows no redirect:
the calling code sends a probe to each hop, so that every hop's address is checked. A response's body is not
read: the connection is closed instead.
"""

import errno
import socket
from ssl import SSLContext
from typing import Final

import ada_url
import httpcore

from engine.links.health import GET_BYTES, Probe, ProbeResult
from storage.http.public_network import (
    Connect,
    PublicNetwork,
    RefusedError,
    Resolver,
    TooLongError,
    deny_private,
    request_url,
)

USER_AGENT: Final = "Waypost/0.1 (link check, once a day)"
MAX_CONNECTIONS: Final = 64
MAX_KEPT: Final = 16
KEEP_S: Final = 2.0
# Errors of this machine's network, not of the target.
_LOCAL_ERRORS: Final = frozenset(
    {errno.ENETUNREACH, errno.ENETDOWN, errno.EMFILE, errno.EADDRNOTAVAIL}
)


class HttpProber:
    """Prober over HTTP/1.1, for one trio run. `everywhere` allows private addresses too."""

    def __init__(
        self,
        *,
        everywhere: bool = False,
        resolver: Resolver | None = None,
        connect: Connect | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        allow = allow_private if everywhere else deny_private
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_KEPT,
            keepalive_expiry=KEEP_S,
            network_backend=PublicNetwork(allow, resolver, connect),
        )

    async def send(self, probe: Probe) -> ProbeResult:
        url = ada_url.URL(probe.url)
        headers = [
            ("Host", url.host), ("User-Agent", USER_AGENT), ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
        ]  # fmt: skip
        if probe.method == "GET":
            headers.append(("Range", f"bytes=0-{GET_BYTES - 1}"))
        try:
            async with self._pool.stream(
                probe.method, request_url(url), headers=headers
            ) as response:
                if probe.method == "HEAD":
                    await response.aread()  # empty; keeps the connection usable
                return ProbeResult(response.status, _location(response))
        except RefusedError:
            return ProbeResult(None, reason="it is not on the public internet", local_error=True)
        except TooLongError:
            return ProbeResult(None, reason="the head of its answer is too long")
        except httpcore.ConnectError as error:
            return _unconnected(error)
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol):
            return ProbeResult(None, reason="it does not answer in HTTP/1.1", transient=True)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError):
            return ProbeResult(None, reason="the connection was lost", transient=True)

    async def close(self) -> None:
        await self._pool.aclose()


def allow_private(address: str) -> bool:
    return True


def _location(response: httpcore.Response) -> str:
    values = [value for name, value in response.headers if name.lower() == b"location"]
    return values[0].decode("utf-8", "replace") if values else ""


def _unconnected(error: httpcore.ConnectError) -> ProbeResult:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, socket.gaierror):
        if cause.errno == socket.EAI_NONAME:
            return ProbeResult(None, reason="its host is not known", transient=True)
        return ProbeResult(None, reason="its host's name could not be looked up", local_error=True)
    if cause is not None and cause.errno in _LOCAL_ERRORS:
        return ProbeResult(None, reason="there is no way to it from here", local_error=True)
    if "certificate" in str(error).lower():
        return ProbeResult(None, reason="its certificate is not good", transient=True)
    return ProbeResult(None, reason="it could not be connected to", transient=True)

"""Listening sockets, bound by the parent and handed to its children.

The parent keeps them open, so that visitors who arrive while an edge is being restarted wait in the kernel's
queue instead of being refused.
"""

import socket
from typing import Final

from engine.common.errors import WaypostError

BACKLOG: Final = 4096
DEFER_S: Final = 1


def listen(
    host: str, port: int, count: int, what: str, *, deferred: bool = False
) -> list[socket.socket]:
    """`count` sockets on the same address; port 0 takes any free one. Raises WaypostError.

    `deferred` has the kernel hand over a connection with its first bytes, or after a second without:
    accepted before them, it would cost a read in vain, a place in an epoll set and a wake-up more.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise WaypostError(f"cannot listen on {host} ({what}): {_reason(error)}") from None
    family, kind, protocol, _, address = found[0]
    sockets: list[socket.socket] = []
    try:
        if count > 1:
            # Alone first: sharing must not hide that somebody else has the port.
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                address = probe.getsockname()
        for _ in range(count):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if count > 1:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if deferred:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
            one.bind(address)
            one.listen(BACKLOG)
    except OSError as error:
        for one in sockets:
            one.close()
        raise WaypostError(f"cannot listen on {host}:{port} ({what}): {_reason(error)}") from None
    return sockets


def url_of(listener: socket.socket) -> str:
    """How people on this machine reach it."""
    address = listener.getsockname()
    host, port = str(address[0]), int(address[1])
    if host in ("0.0.0.0", "::"):  # noqa: S104  # told apart, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

"""Listening sockets, bound by the launcher and inherited by its children.

The launcher keeps them open, so that the kernel queues visitors who arrive while an edge is being restarted,
instead of refusing them.
"""

import socket
from typing import Final

from engine.common.errors import WaypostError

BACKLOG: Final = 4096
DEFER_S: Final = 1


def listen(
    host: str, port: int, count: int, purpose: str, *, deferred: bool = False
) -> list[socket.socket]:
    """Return `count` listening sockets on one address; port 0 takes a free port. Raises WaypostError.

    With `deferred`, the kernel hands over a connection with its first bytes, or after a second without them.
    This saves an early read without data, an entry in the epoll set and a wake-up.
    """
    try:
        addresses = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as error:
        raise WaypostError(f"cannot listen on {host} ({purpose}): {_reason(error)}") from None
    family, kind, protocol, _, address = addresses[0]
    sockets: list[socket.socket] = []
    try:
        if count > 1:
            # Bind without SO_REUSEPORT first, to notice another program that shares its port.
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                address = probe.getsockname()
        for _ in range(count):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if count > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if deferred:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
            sock.bind(address)
            sock.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise WaypostError(
            f"cannot listen on {host}:{port} ({purpose}): {_reason(error)}"
        ) from None
    return sockets


def url_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket for clients on this machine."""
    address = listener.getsockname()
    host, port = str(address[0]), int(address[1])
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

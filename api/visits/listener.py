"""The visitors' listening socket: descriptors of connections, and a short 503 when there are too many."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_MINIMAL_503: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
    b"Retry-After: 1\r\nContent-Length: 0\r\n\r\n"
)


class Listener:
    """A listening socket, made non-blocking."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.descriptor = listening.fileno()
        # socket.accept() makes a socket object, which costs as much as the rest of a short connection:
        # a system call for the socket's name and 3 µs of Python. Only the descriptor is needed.
        self._accept: Callable[[], tuple[int, object]] = listening._accept  # type: ignore[attr-defined]
        listening.setblocking(False)
        with contextlib.suppress(OSError):
            # Inherited by every accepted socket.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def accept(self) -> tuple[int, str]:
        """Return (a connection's descriptor, not blocking, its peer's address or empty for a unix socket).

        Raises BlockingIOError when no connection waits, another OSError for one that is gone or cannot be
        accepted.
        """
        fd, address = self._accept()
        os.set_blocking(fd, False)
        return fd, str(address[0]) if isinstance(address, tuple) else ""


def is_exhausted(error: OSError) -> bool:
    """Return whether no connection can be accepted at the moment, rather than only this one."""
    return error.errno in _EXHAUSTED


def turn_away(fd: int) -> None:
    """Send a 503 and close."""
    with contextlib.suppress(OSError):
        os.write(fd, _MINIMAL_503)
        os.read(fd, 16 * 1024)  # left unread, it makes the close a reset
    os.close(fd)

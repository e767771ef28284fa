"""The visitors' listening socket: descriptors of connections, and a short no when there are too many."""

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
    """Takes a socket over and makes it non-blocking."""

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.descriptor = listening.fileno()
        # `accept` makes a socket object of it, which costs as much as all else that we do for a short
        # connection: a look at the socket's name and 3 µs of Python. A descriptor is all that is needed.
        self._accept: Callable[[], tuple[int, object]] = listening._accept  # type: ignore[attr-defined]
        listening.setblocking(False)
        with contextlib.suppress(OSError):
            # Inherited by every accepted socket.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def accept(self) -> tuple[int, str]:
        """A connection's descriptor, not blocking, and its peer's address, empty for a unix socket.

        Raises BlockingIOError when none waits, another OSError for one that is gone or cannot be taken.
        """
        fd, address = self._accept()
        os.set_blocking(fd, False)
        return fd, str(address[0]) if isinstance(address, tuple) else ""


def is_exhausted(error: OSError) -> bool:
    """Whether no connection can be taken at the moment, rather than this one."""
    return error.errno in _EXHAUSTED


def turn_away(fd: int) -> None:
    """Say 503 and close."""
    with contextlib.suppress(OSError):
        os.write(fd, _MINIMAL_503)
        os.read(fd, 16 * 1024)  # left unread, it makes the close a reset
    os.close(fd)

"""Handover of a process to its successor: a socket pair between the launcher and each process that hands over.

A process that is asked to stop says so and serves on, while the launcher starts its successor on the same
listening sockets. When the successor says that it serves, or HANDOVER_S has passed, the launcher lets the
predecessor go by closing its end. Where the whole engine stops, the launcher closes it at once.
"""

import contextlib
import socket
from typing import Final

import trio

VARIABLE: Final = "WAYPOST_HANDOVER"
HANDOVER_S: Final = 30.0
LEAVES: Final = b"L"
SERVES: Final = b"S"


class Handover:
    """The end of a process. Without a launcher that hands over (`descriptor` -1), nothing is waited for."""

    def __init__(self, descriptor: int) -> None:
        self._socket: socket.socket | None = None
        if descriptor >= 0:
            self._socket = socket.socket(fileno=descriptor)
            self._socket.setblocking(False)

    def say_serving(self) -> None:
        """Tell the launcher that visitors are served."""
        self._say(SERVES)

    async def leave(self) -> None:
        """Tell the launcher that this process ends, and return when a successor serves, at the latest after
        HANDOVER_S."""
        if self._socket is None:
            return
        self._say(LEAVES)
        with trio.move_on_after(HANDOVER_S), contextlib.suppress(OSError):
            await trio.lowlevel.wait_readable(self._socket)

    def _say(self, word: bytes) -> None:
        if self._socket is not None:
            with contextlib.suppress(
                OSError
            ):  # the launcher has ended, or does not listen any more
                self._socket.send(word)

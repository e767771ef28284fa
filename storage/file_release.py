"""Freeing of files that have no name any more, in a thread.

The last close of an unlinked file frees its space, which takes some 16 ms for a segment of 64 MiB, and visitors
would wait for it. One thread closes the files one after the other, and ends when there are none.
"""

import contextlib
import os
from collections import deque
from threading import Lock
from typing import Any

import outcome
from trio.lowlevel import start_thread_soon


class FileReleaser:
    """Closes descriptors in a thread. `waiting` are those that are not closed yet."""

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self._closing = False
        self._lock = Lock()

    def close(self, descriptor: int) -> None:
        """Close a descriptor some time soon; the caller must not use it any more."""
        with self._lock:
            self.waiting.append(descriptor)
            if self._closing:
                return
            self._closing = True
        start_thread_soon(self._close_all, _ignore)

    def _close_all(self) -> None:
        while True:
            with self._lock:
                if not self.waiting:
                    self._closing = False
                    return
                descriptor = self.waiting.popleft()
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _ignore(result: outcome.Outcome[Any]) -> None:
    """Drop the result of the thread, which has none."""

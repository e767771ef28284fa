"""Standstills during a run: the longest times without an answer to visitors, and without a commit of clicks."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Self

import asyncpg
import uvloop

INTERVAL_S: Final = 0.1
_CONNECT_S: Final = 1.0
# Changes with each fold; the journals of ended edges leave the table. It waits for $1 seconds.
_FOLDED: Final = """SELECT sums.folded, sums.journals, pg_sleep($1)::text FROM
    (SELECT coalesce(sum(folded), 0) AS folded, count(*) AS journals FROM waypost.journals) AS sums"""


class Longest:
    """The longest time in which a value stayed the same, in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._value: Any = None
        self._since = clock()

    def note(self, value: Any) -> None:
        now = self._clock()
        self.seconds = max(self.seconds, now - self._since)
        if value is not None and value != self._value:
            self._value, self._since = value, now


class StandstillWatch:
    """Two threads that watch while the context is open. `answered()` is the number of answers so far.

    `database_url()` is the URL of the present primary, which tells the watermarks.
    """

    def __init__(self, answered: Callable[[], int], database_url: Callable[[], str]) -> None:
        self.visitors, self.counting = Longest(), Longest()
        self._answered = answered
        self._database_url = database_url
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_visitors),
            threading.Thread(target=self._watch_counting),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _watch_visitors(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.visitors.note(self._answered())

    def _watch_counting(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            # An internal error of the driver: the connection was lost between two of its steps.
            with contextlib.suppress(
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ):
                uvloop.run(self._read_watermarks())
            self.counting.note(None)

    async def _read_watermarks(self) -> None:
        """Note the watermarks over one connection, until it is lost."""
        connection = await asyncpg.connect(self._database_url(), timeout=_CONNECT_S)
        try:
            while not self._ended.is_set():
                self.counting.note(
                    tuple(await connection.fetchrow(_FOLDED, INTERVAL_S, timeout=_CONNECT_S) or ())
                )
        finally:
            connection.terminate()

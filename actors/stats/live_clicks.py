"""The latest live clicks of a profile in a console, numbered, so that a stream can be resumed."""

from collections import deque
from typing import Final, NamedTuple

import trio

from engine.stats.live import LiveClick, LiveUpdate

MAX_KEPT: Final = 500  # clicks of a profile
MAX_UPDATES: Final = 10_000  # whose counts are of the last minute
MINUTE_S: Final = 60


class NumberedClick(NamedTuple):
    """A live click and its number, ascending over all profiles of a console."""

    number: int
    click: LiveClick


class ProfileClickFeed:
    """The clicks of one profile that were received after number `last`."""

    def __init__(self, last: int) -> None:
        self._clicks: deque[NumberedClick] = deque()
        self._complete_after = last
        self._counts: deque[tuple[float, tuple[int, int, int]]] = deque()
        self.announced = trio.Event()  # once workers know that the profile is subscribed
        self.left_at: float | None = None  # by the last of its subscribers

    def add(self, update: LiveUpdate, last: int) -> list[NumberedClick]:
        """Add the clicks of an update, numbered from `last` + 1. Returns them."""
        self._counts.append((trio.current_time(), update.counts))
        if len(self._counts) > MAX_UPDATES:
            self._counts.popleft()
        numbered = [NumberedClick(n, click) for n, click in enumerate(update.clicks, last + 1)]
        self._clicks += numbered
        while len(self._clicks) > MAX_KEPT:
            self._complete_after = self._clicks.popleft().number
        return numbered

    def lose(self, last: int) -> None:
        """Note that updates were lost after number `last`."""
        self._complete_after = last + 1

    def after(self, number: int) -> list[NumberedClick] | None:
        """Return the clicks after a number; None if some are no longer kept."""
        if number < self._complete_after:
            return None
        return [click for click in self._clicks if click.number > number]

    def minute(self) -> tuple[int, int, int]:
        """Return the clicks, views and bots of the updates of the last minute."""
        since = trio.current_time() - MINUTE_S
        while self._counts and self._counts[0][0] < since:
            self._counts.popleft()
        clicks, views, bots = (sum(counts[n] for _, counts in self._counts) for n in range(3))
        return clicks, views, bots

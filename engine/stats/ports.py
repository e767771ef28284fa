"""The ports of statistics: what doors ask of the counts, and of clicks as they come."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, Protocol

from engine.clicks.dimension import TEXT_COLUMNS
from engine.stats.live import LiveUpdate
from engine.stats.query import StatsQuery
from engine.stats.result import Stats


class StatsReader(Protocol):
    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Of a profile of that tenant's; that the caller may see it is found out before.

        Raises InvalidError for what would take too long, SlowQueryError for what did; both say what to narrow.
        """

    async def version(self) -> str:
        """A text that is another one after each commit of counts, of whatever tenant. Who changes counts
        otherwise moves a journal's `dimension_counted_at`."""


# Of an exported click. `link` 0 is the page, `kind` click or view, `visitor_class` as the dimension kind has it,
# and head; what is not known is None.
CLICK_COLUMNS: Final = (
    "time", "link", "kind", "visitor_class",
    *(dimension.name.lower() for dimension in TEXT_COLUMNS.values()),
    "trigger",
)  # fmt: skip


class ClickExport(Protocol):
    def clicks(
        self, tenant_id: int, profile_id: int, start: datetime, end: datetime
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Raw clicks of [start, end), some at once, day by day, as far as they are kept; each beside
        CLICK_COLUMNS."""


WATCH_S: Final = 15.0  # how long a profile counts as watched after somebody said so
MAX_WATCHED: Final = 1_000


class LiveChannel(Protocol):
    """News of clicks as they are committed, for profiles that somebody watches. Some may get lost."""

    async def subscribe(self, profiles: Sequence[int]) -> None:
        """Somebody watches these, for the next WATCH_S."""

    async def subscribed_profiles(self) -> frozenset[int]:
        """At most MAX_WATCHED of them."""

    async def publish(self, news: Sequence[LiveUpdate]) -> None: ...

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[LiveUpdate]]:
        """News of all that are watched, for as long as the context is open."""

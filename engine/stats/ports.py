"""Ports of stats: counts, raw clicks and live updates."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, Protocol

from engine.clicks.dimension import TEXT_COLUMNS
from engine.stats.live import LiveUpdate
from engine.stats.query import StatsQuery
from engine.stats.result import Stats


class StatsReader(Protocol):
    """Answers of stats queries."""

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Answer a query about a profile of the tenant. The route must have checked the caller's access.

        Raises InvalidError if the query would take too long, and SlowQueryError if it did; both say what to
        narrow.
        """

    async def version(self) -> str:
        """Return the stats version: another text after each commit of counts, of any tenant.

        Code that changes counts without a fold must move a journal's `recounted_at`.
        """


# Columns of an exported click. `link` 0: the page. `kind`: click or view. `visitor_class`: a value of the
# dimension kind, or head. An unknown value is None.
CLICK_COLUMNS: Final = (
    "time", "link", "kind", "visitor_class",
    *(dimension.name.lower() for dimension in TEXT_COLUMNS.values()),
    "trigger",
)  # fmt: skip


class ClickExport(Protocol):
    """Exports of raw clicks."""

    def clicks(
        self, tenant_id: int, profile_id: int, start: datetime, end: datetime
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        """Yield the raw clicks of [start, end) that are still kept, in chunks, day by day.

        The values of a click stand in the order of CLICK_COLUMNS.
        """


SUBSCRIPTION_S: Final = 15.0  # how long a profile stays subscribed without a renewal
MAX_SUBSCRIBED: Final = 1_000


class LiveChannel(Protocol):
    """Live updates of clicks as they are committed, for subscribed profiles. Some may get lost."""

    async def subscribe(self, profiles: Sequence[int]) -> None:
        """Subscribe the profiles for the next SUBSCRIPTION_S."""

    async def subscribed_profiles(self) -> frozenset[int]:
        """Return the subscribed profiles, MAX_SUBSCRIBED at most."""

    async def publish(self, updates: Sequence[LiveUpdate]) -> None: ...

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[LiveUpdate]]:
        """Iterate over live updates of all profiles for as long as the context is open."""

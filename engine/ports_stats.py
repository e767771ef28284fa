"""The ports of statistics: what doors ask of the counts, and of clicks as they come."""

from typing import Protocol

from engine.rollup import Stats
from engine.stats_query import StatsQuery


class StatsReader(Protocol):
    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        """Of a profile of that tenant's; that the caller may see it is found out before.

        Raises InvalidError for what would take too long, SlowQueryError for what did; both say what to narrow.
        """

    async def watermark(self) -> str:
        """A text that is another one after each commit of counts, of whatever tenant. Who changes counts
        otherwise moves a journal's `summarised_at`."""

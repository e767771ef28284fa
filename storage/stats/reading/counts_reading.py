"""Answers from stored counts: packed clicks, and the tables of hot days.

engine/stats/plan.py decides which rows answer a query, storage/stats/reading/statements.py has their SQL, this
module executes the statements, and engine/stats/merge.py makes an answer of the sums. Packed clicks are summed
by storage/stats/packed_sums.py. If the period has a hot day, Postgres adds, orders and limits the sums of both;
else the packed clicks are the whole answer. Python cuts intervals by the zone's clock and Postgres only sums
between instants, so totals are exact on days of 23 and 25 hours too.
"""

from engine.stats import merge
from engine.stats.merge import SumKey, Sums
from engine.stats.packed.column_sums import ColumnSums
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.plan import CountsPlan, CountsStatement, visitors_bound
from engine.stats.ports import ProfileKey
from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, Stats, StatsRow
from storage.postgres.database import Connection
from storage.stats.reading import statements
from storage.stats.reading.snapshot_clicks import SnapshotClicks
from storage.stats.reading.visitor_sketches import VisitorSketchReader

TotalsByStatement = dict[tuple[ProfileKey, CountsStatement], Sums]


class CountsReading:
    """The reading of one answer from stored counts, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        profile: ProfileKey,
        query: StatsQuery,
        planned: CountsPlan,
        snapshot: SnapshotClicks,
        totals: TotalsByStatement,
    ) -> None:
        self._connection = connection
        self._profile = profile
        self._query = query
        self._plan = planned
        self._snapshot = snapshot
        self._known_totals = totals
        self._links: tuple[int, ...] | None = None

    async def stats(self) -> Stats:
        period = await self._snapshot.of(self._profile, self._query, self._plan)
        # No table has own events.
        self._has_tables = period.has_tables and not self._query.of_events
        self._clicks = period.sums
        self._sketches = VisitorSketchReader(self._connection, self._profile, self._clicks)
        if self._plan.links is not None:
            self._links = merge.links_of(await self._counts(self._plan.links))
        rows, following = await self._rows()
        totals = await self._totals(rows)
        return Stats(rows=rows, as_of=period.as_of, totals=totals, next=following)

    async def _rows(self) -> tuple[tuple[StatsRow, ...], GroupCursor | None]:
        groups, following = None, None
        if self._plan.groups is not None:
            groups, following = await self._groups(self._plan.groups)
        series = self._plan.series
        if series is None:
            return merge.group_rows(self._query, groups or {}), following
        if groups is not None:
            if not groups:
                return (), None
            series = merge.of_groups(series, groups)
        sums = await self._sums(series)
        return merge.series_rows(self._query, series.split.starts, sums, groups), following

    async def _groups(self, statement: CountsStatement) -> tuple[Sums, GroupCursor | None]:
        sums = await self._counts(statement)
        merge.check_sortable(self._query, sums)
        if statement.sketches is not None:  # of these groups only
            few = merge.of_links(merge.of_groups(statement, sums), self._links)
            await self._add_visitors(few, sums, await self._clicks.packed(few, visitors=True))
        return merge.first_groups(self._query, statement, sums)

    async def _totals(self, rows: tuple[StatsRow, ...]) -> MetricValues:
        if self._plan.totals is None:
            return merge.total_of_rows(rows)
        key = self._profile, merge.of_links(self._plan.totals, self._links)
        if key not in self._known_totals:
            self._known_totals[key] = await self._sums(self._plan.totals)
        return merge.total(self._query, self._known_totals[key])

    async def _sums(self, statement: CountsStatement) -> Sums:
        """Return the sums of a statement with their visitors."""
        statement = merge.of_links(statement, self._links)
        packed = await self._clicks.packed(statement, visitors=statement.sketches is not None)
        sums = await self._with_tables(statement, packed)
        await self._add_visitors(statement, sums, packed)
        return sums

    async def _counts(self, statement: CountsStatement) -> Sums:
        """Return the sums of a statement without their visitors."""
        statement = merge.of_links(statement, self._links)
        return await self._with_tables(
            statement, await self._clicks.packed(statement, visitors=False)
        )

    async def _with_tables(self, statement: CountsStatement, packed: list[ColumnSums]) -> Sums:
        if not self._has_tables:
            return merge.packed_sums(packed, statement)
        pending = await self._clicks.pending(statement)
        text, values = statements.counts(self._profile, statement, (*packed, *pending))
        rows = await self._connection.fetch(text, *values)
        return {SumKey(*row[:3]): MetricValues(*row[3:7]) for row in rows}

    async def _add_visitors(
        self, statement: CountsStatement, sums: Sums, packed: list[ColumnSums]
    ) -> None:
        """Add the visitors of tables, of hot days' deltas and of packed clicks to sums."""
        if statement.sketches is None:
            return
        if self._has_tables:
            await self._sketches.add_visitors(statement, sums)
            bound = visitors_bound(statement)
            if bound is not None:
                bounds = await self._with_tables(bound, [])
                await self._sketches.add_visitors(bound, bounds)
                merge.bound_visitors(sums, bounds)
        merge.add_counted_visitors(sums, packed)

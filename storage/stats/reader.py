"""Statistics from the rollups, as the console asks for them.

A question is answered from both sides of the daily aggregation: quarters of an hour that are not compacted
yet, and whole UTC months, days and parts of days that are (engine/stats/plan.py). Python cuts intervals by
the zone's clock, Postgres only sums between moments, so totals are exact on days of 23 and 25 hours too.
All of an answer comes from one snapshot, under the tenant's row-level security. Postgres ends each statement
at the time limit of statistics.

Visitors of different UTC days are different, so they add up; within one day their sketches are merged, here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from engine.accounts.access import Caller
from engine.clicks.dimension import ALL_LINKS, OTHER, Dimension
from engine.common.errors import FieldError, InvalidError, SlowQueryError
from engine.stats import period
from engine.stats import plan as stats_plan
from engine.stats.plan import PeriodPlan
from engine.stats.query import MAX_ROWS, Filter, RowSelection, StatsQuery, select_rows
from engine.stats.result import MetricValues, Stats, StatsRow
from engine.stats.sketch import union_size
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.crossed import crossed

_SQL: Final = queries.load("stats/stats")
# Values of one dimension that are sorted by visitors, which takes the sketches of all.
MAX_SORTED: Final = 5_000
# Links whose own rows are read, where another dimension is in play.
MAX_LINKS: Final = 20_000


class SumKey(NamedTuple):
    """What a sum is of: row of the answer from 1, link and value where asked for."""

    link: int | None
    value: str | None
    row: int


class PostgresStatsReader:
    """`StatsReader` on Postgres, for the app's role. `timeout_ms` bounds each statement."""

    def __init__(self, database: Database, timeout_ms: int = 2_000) -> None:
        self._database = database
        self._timeout_ms = timeout_ms

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        async def work(connection: Connection) -> Stats:
            await connection.execute(_SQL["limits"], str(self._timeout_ms))
            try:
                return await _answer(connection, tenant_id, profile_id, query)
            except asyncpg.QueryCanceledError:
                raise SlowQueryError(
                    "this takes too long to count; ask for a shorter period, a longer interval, "
                    "fewer groups or a lower limit"
                ) from None

        return await self._database.transaction(work, caller=Caller(tenant_id, 0), read_only=True)

    async def version(self) -> str:
        async def work(connection: Connection) -> str:
            return str(await connection.fetchval(_SQL["watermark"]))

        return await self._database.transaction(work, read_only=True)


async def _answer(
    connection: Connection, tenant_id: int, profile_id: int, query: StatsQuery
) -> Stats:
    read = select_rows(query)
    if read is None:
        return await crossed(connection, tenant_id, profile_id, query)
    found = _RollupQuery(connection, tenant_id, profile_id, query, read)
    await found.find_links()
    as_of = await connection.fetchval(_SQL["as_of"])
    rows = await found.rows()
    return Stats(rows=rows, as_of=as_of, totals=await found.totals(rows))


class _RollupQuery:
    """One question to the rollups, in one transaction."""

    def __init__(
        self, connection: Connection, tenant_id: int, profile_id: int, query: StatsQuery, read: RowSelection
    ) -> None:  # fmt: skip
        self._connection = connection
        self._place = (tenant_id, profile_id)
        self._query = query
        self._read = read
        self._tz = period.zone(query.tz)
        self._links: list[int] = [ALL_LINKS if read.link is None else read.link]
        grouped = set(query.groups)
        self._by_link = Dimension.LINK in grouped and read.each_link
        self._by_value = read.dimension in grouped
        self._visitors = "visitors" in query.metrics

    async def find_links(self) -> None:
        """The links whose own rows are to be read: those that have any in the period."""
        if self._read.each_link:
            every = RowSelection(Dimension.LINK, self._read.link_filters)
            links = await self._counts(
                every, self._whole(), by_value=True, limit=MAX_LINKS + 1, order="value"
            )
            if len(links) > MAX_LINKS:
                reason = (
                    f"takes at most {MAX_LINKS} links beside another dimension; ask for one link, "
                    "or for a shorter period"
                )
                raise InvalidError([FieldError("link", reason)])
            self._links = [int(key.value) for key in links if key.value and key.value != OTHER]

    async def rows(self) -> tuple[StatsRow, ...]:
        query = self._query
        if not query.groups:
            starts = stats_plan.boundaries(query.start, query.end, query.interval, self._tz)
            return await self._series(starts, None)
        tops = await self._top()
        if not query.by_time:
            return tuple(self._row(None, key, counted) for key, counted in tops.items())
        starts = stats_plan.boundaries(query.start, query.end, query.interval, self._tz)
        return await self._series(starts, list(tops))

    async def totals(self, rows: Sequence[StatsRow]) -> MetricValues:
        if not self._query.groups and not self._visitors:
            return MetricValues(
                sum(row.clicks for row in rows),
                sum(row.views for row in rows),
                sum(row.bots for row in rows),
            )
        plain = msgspec.structs.replace(self._query, groups=())
        several = self._visitors or Dimension.VARIANT in self._query.groups
        read = select_rows(plain) if self._query.groups and several else None
        if read is not None:
            # Who came by two values of a dimension is one visitor, and what shows two variants one click or
            # view: that is told without the groups.
            whole = _RollupQuery(self._connection, *self._place, plain, read)
            await whole.find_links()
            return await whole._total()
        return await self._total()

    async def _total(self) -> MetricValues:
        found = await self._counted(self._whole(), None)
        return found.get(
            SumKey(None, None, 1), MetricValues(0, 0, 0, 0 if self._visitors else None)
        )

    async def _top(self) -> dict[SumKey, MetricValues]:
        """The groups of the whole period, the first of them in the order asked for."""
        query = self._query
        plan = self._whole()
        by_visitors = query.order == "visitors"
        limit = MAX_SORTED + 1 if by_visitors else query.limit
        found = await self._counts(
            self._read, plan, self._by_value, self._by_link, limit=limit, order=query.order
        )
        if by_visitors and len(found) > MAX_SORTED:
            reason = f"takes at most {MAX_SORTED} groups by visitors; filter, or order by clicks"
            raise InvalidError([FieldError("order", reason)])
        if self._visitors:
            tops = list(found)
            await self._add_visitors(found, plan, self._among(tops), links=_links_of(tops))
        if by_visitors:
            ordered = sorted(found.items(), key=lambda item: item[1].visitors or 0)
            if query.descending:
                ordered.reverse()
            found = dict(ordered[: query.limit])
        return found

    async def _series(
        self, starts: tuple[datetime, ...], groups: list[SumKey] | None
    ) -> tuple[StatsRow, ...]:
        """Rows by time; with `groups`, of those only, and in their order where times are the same."""
        if groups is not None and not groups:
            return ()
        plan = PeriodPlan(starts, (), (), ())
        if self._visitors or not self._query.fine:
            plan = stats_plan.plan(self._query.end, starts)
        found = await self._counted(plan, groups, fine=self._query.fine)
        if groups is None:
            rank = {SumKey(None, None, 0): 0}
        else:
            rank = {key._replace(row=0): place for place, key in enumerate(groups)}
        shown = sorted(
            (key.row, place, key)
            for key in found
            if (place := rank.get(key._replace(row=0))) is not None
        )
        times = [
            period.interval_start_utc(start, self._query.interval, self._tz).astimezone(self._tz)
            for start in starts[:1]
        ] + [start.astimezone(self._tz) for start in starts[1:]]
        return tuple(self._row(times[row - 1], key, found[key]) for row, _, key in shown)

    async def _counted(
        self, plan: PeriodPlan, groups: list[SumKey] | None, *, fine: bool = False
    ) -> dict[SumKey, MetricValues]:
        """With `fine`, by quarters of an hour: of the plan, rows' starts are enough without visitors."""
        by_value, by_link = (
            self._by_value and groups is not None,
            self._by_link and groups is not None,
        )
        among = None if groups is None else self._among(groups)
        links = None if groups is None else _links_of(groups)
        found = await self._counts(
            self._read,
            plan,
            by_value,
            by_link,
            among=among,
            links=links,
            limit=MAX_ROWS * 10,
            order="",
            fine=fine,
        )
        if self._visitors:
            await self._add_visitors(found, plan, among, by_value, by_link, links, fine=fine)
        return found

    def _whole(self) -> PeriodPlan:
        return stats_plan.plan(self._query.end, (self._query.start,))

    def _among(self, keys: list[SumKey]) -> list[str] | None:
        return [key.value or "" for key in keys] if self._by_value else None

    def _row(self, time: datetime | None, key: SumKey, counted: MetricValues) -> StatsRow:
        values = tuple(
            str(key.link) if one is Dimension.LINK and self._by_link else key.value or ""
            for one in self._query.groups
        )
        return StatsRow(
            time, counted.clicks, counted.views, counted.bots,
            counted.visitors if self._visitors else None, values,
        )  # fmt: skip

    async def _counts(
        self, read: RowSelection, plan: PeriodPlan, by_value: bool, by_link: bool = False, *,
        limit: int, order: str, among: list[str] | None = None, links: list[int] | None = None,
        fine: bool = False,
    ) -> dict[SumKey, MetricValues]:  # fmt: skip
        values = [*self._common(read, plan, among, links), by_link, by_value]
        if fine:
            rows = await self._connection.fetch(_SQL["quarters"], *values)
        else:
            parts = plan.parts
            values += [
                [one.first for one in plan.months], [one.end for one in plan.months],
                [one.first for one in plan.days], [one.end for one in plan.days],
                [one.day for one in parts], [one.first for one in parts],
                [one.end for one in parts], [one.row for one in parts],
                order, self._query.descending, limit,
            ]  # fmt: skip
            rows = await self._connection.fetch(_SQL["counts"], *values)
        return {SumKey(*row[:3]): MetricValues(*row[3:7]) for row in rows}

    def _common(
        self, read: RowSelection, plan: PeriodPlan, among: list[str] | None, links: list[int] | None
    ) -> list[Any]:
        if links is None:
            links = self._links if read is self._read else [ALL_LINKS]
        return [
            *self._place, links, int(read.dimension), self._query.start, self._query.end,
            list(plan.starts), *_conditions(read.filters), among,
        ]  # fmt: skip

    async def _add_visitors(
        self, found: dict[SumKey, MetricValues], plan: PeriodPlan, among: list[str] | None,
        by_value: bool | None = None, by_link: bool | None = None,
        links: list[int] | None = None, *, fine: bool = False,
    ) -> None:  # fmt: skip
        """Put what must be merged of sketches on top of what is added up already."""
        by_value = self._by_value if by_value is None else by_value
        by_link = self._by_link if by_link is None else by_link
        hourly = fine and self._query.interval == "hour"
        parts = _by_day(plan) if hourly else ([] if fine else [p[:3] for p in plan.inner])
        if hourly:
            # Of an hour, its quarters' own visitors say nothing.
            for key, counted in found.items():
                found[key] = MetricValues(counted.clicks, counted.views, counted.bots, 0)
        rows = await self._connection.fetch(
            _SQL["sketches"], *self._common(self._read, plan, among, links), by_link,
            [day for day, _, _ in parts], [first for _, first, _ in parts], [end for *_, end in parts],
        )  # fmt: skip
        more: defaultdict[SumKey, int] = defaultdict(int)
        for link, value, row, _, sketches in rows:
            more[SumKey(link, value if by_value else None, row)] += union_size(sketches)
        for key, visitors in more.items():
            if (before := found.get(key)) is not None:
                found[key] = MetricValues(
                    before.clicks, before.views, before.bots, (before.visitors or 0) + visitors
                )


def _links_of(keys: Iterable[SumKey]) -> list[int] | None:
    """None where groups are not by link."""
    return sorted({key.link for key in keys if key.link is not None}) or None


def _by_day(plan: PeriodPlan) -> list[tuple[date, int, int]]:
    """What is asked of each day, in one piece."""
    days: dict[date, tuple[int, int]] = {}
    for day, first, end, _ in plan.parts:
        known = days.get(day, (first, end))
        days[day] = (min(first, known[0]), max(end, known[1]))
    return [(day, *piece) for day, piece in days.items()]


def _conditions(filters: Sequence[Filter]) -> tuple[str | None, list[str] | None, list[str] | None]:
    """The one value, those that are not wanted, and what must be in it, in lower case of ASCII."""
    equal = next((one.value for one in filters if one.operator == "="), None)
    unequal = [one.value for one in filters if one.operator == "!="]
    parts = [ascii_lower(one.value) for one in filters if one.operator == "~="]
    return equal, unequal or None, parts or None


_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def ascii_lower(text: str) -> str:
    """As Postgres' lower() in the collation C."""
    return text.translate(_LOWER)

"""Stats in memory: the twin of storage/stats/reader.py, which reads each click and counts visitors exactly."""

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    ClickKind,
    VisitorClass,
    time_of,
)
from engine.clicks.dimension import Dimension
from engine.stats import calendar, hour_of_week, period
from engine.stats.dimension_counts import dimension_values
from engine.stats.ordering import RowGroup, order_groups
from engine.stats.parameters.filter_values import CASELESS
from engine.stats.ports import CLICK_COLUMNS, ProfileKey
from engine.stats.query import Filter, StatsQuery, compared_query
from engine.stats.result import MetricValues, Stats
from storage.stats.memory_click_tables import MemoryClickTables


class MemoryStatsReader:
    """QueryReader over the clicks of a memory ledger."""

    def __init__(self, counts: MemoryClickTables) -> None:
        self._counts = counts

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        await trio.lowlevel.checkpoint()
        clicks = [
            click
            for _, click in self._counts.clicks
            if (click.tenant_id, click.profile_id) == (tenant_id, profile_id)
        ]
        return answered(clicks, query, self._counts.committed_at)

    async def versions(self, profiles: Sequence[ProfileKey]) -> dict[ProfileKey, str]:
        await trio.lowlevel.checkpoint()
        clicks = Counter(ProfileKey(c.tenant_id, c.profile_id) for _, c in self._counts.clicks)
        return {profile: str(clicks[profile]) for profile in profiles}


class MemoryClickExport:
    """ClickExport over the clicks of a memory ledger."""

    def __init__(self, counts: MemoryClickTables) -> None:
        self._counts = counts

    async def clicks(
        self, tenant_id: int, profile_id: int, start: datetime, end: datetime
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        for _, click in self._counts.clicks:
            at = time_of(click.at_us)
            if (click.tenant_id, click.profile_id) == (tenant_id, profile_id) and start <= at < end:
                await trio.lowlevel.checkpoint()
                yield [_exported(click, at)]


def _exported(click: Click, at: datetime) -> tuple[Any, ...]:
    visitor_class = VisitorClass(click.classification & CLASS_MASK)
    # A HEAD is not counted and has no values, but an export has it with them.
    click = click._replace(classification=VisitorClass.HUMAN)
    columns: dict[str, Any] = {
        dimension.name.lower(): next(iter(values(click, dimension)), None)
        for dimension in Dimension
        if dimension
    }
    columns |= {
        "time": at,
        "kind": ClickKind(click.kind).name.lower(),
        "properties": ", ".join(filter(None, values(click, Dimension.PROPERTY))),
        "visitor_class": "human"
        if visitor_class is VisitorClass.UNCLASSIFIED
        else visitor_class.name.lower(),
    }
    return tuple(columns[column] or None for column in CLICK_COLUMNS)


def answered(clicks: Sequence[Click], query: StatsQuery, as_of: datetime | None) -> Stats:
    """Return the answer by brute force, from all clicks of one profile, with its comparison."""
    stats = counted((c for c in clicks if query.start <= moment(c) < query.end), query, as_of)
    if query.comparison is None:
        return stats
    groups = tuple(dict.fromkeys(row.values for row in stats.rows))
    before = compared_query(query, query.comparison, groups)
    compared = (c for c in clicks if before.start <= moment(c) < before.end)
    return msgspec.structs.replace(stats, compared=counted(compared, before, as_of))


def counted(clicks: Iterable[Click], query: StatsQuery, as_of: datetime | None) -> Stats:
    """Return the answer by brute force, from clicks of one profile within the period."""
    if query.by_hour_of_week:
        return hour_of_week.folded(query, counted(clicks, hour_of_week.hourly(query), as_of))
    tz = period.zone(query.tz)
    totals, groups = _Sum(), defaultdict[RowGroup, _Sum](_Sum)
    for click in clicks:
        if (click.kind == ClickKind.EVENT) != query.of_events or not _passes(click, query.filters):
            continue
        # A click with several values of a dimension counts in each that passes the filters.
        totals.add(click)
        start = None
        if query.by_time:
            # Datetimes of one zone compare by the clock on the wall, so only UTC tells a doubled hour apart.
            start = calendar.interval_start(
                moment(click), query.interval, tz, query.week_start
            ).astimezone(UTC)
        for values in _combinations(click, query):
            groups[RowGroup(start, values)].add(click)
    counts = {key: sums.counted(query) for key, sums in groups.items() if sums.any}
    rows, following = order_groups(counts, query, tz)
    return Stats(rows=rows, totals=totals.counted(query), as_of=as_of, next=following)


class _Sum:
    def __init__(self) -> None:
        self.clicks = self.views = self.bots = 0
        self._visitors: set[tuple[int, bytes]] = set()

    def add(self, click: Click) -> None:
        visitor_class = click.classification & CLASS_MASK
        if visitor_class in BOT_CLASSES:
            self.bots += click.kind != ClickKind.EVENT
        elif visitor_class in COUNTED_CLASSES:
            if click.kind != ClickKind.VIEW:  # a click, or an own event
                self.clicks += 1
            else:
                self.views += 1
            if click.visitor_id:
                self._visitors.add((click.at_us // 86_400_000_000, click.visitor_id))

    @property
    def any(self) -> bool:
        return self.clicks + self.views + self.bots > 0

    def counted(self, query: StatsQuery) -> MetricValues:
        visitors = len(self._visitors) if "visitors" in query.metrics else None
        return MetricValues(self.clicks, self.views, self.bots, visitors)


def moment(click: Click) -> datetime:
    """Return the start of the quarter of an hour that the click is in."""
    return time_of(click.at_us - click.at_us % 900_000_000)


def _passes(click: Click, filters: Iterable[Filter]) -> bool:
    """Return whether the click fulfils all conditions: with `!=` by all of its values, else by any."""
    for condition in filters:
        each = [passes(condition, value) for value in values(click, condition.dimension)]
        if not each or not (all(each) if condition.operator == "!=" else any(each)):
            return False
    return True


def passes(condition: Filter, value: str) -> bool:
    """Return whether a value fulfils the condition."""
    caseless = condition.dimension in CASELESS
    same = (_lower(value) == _lower(v) if caseless else value == v for v in condition.values)
    if condition.operator == "=":
        return any(same)
    if condition.operator == "!=":
        return not any(same)
    return any(_lower(part) in _lower(value) for part in condition.values)


def _lower(text: str) -> str:
    """Return the text with ASCII letters in lower case: A and a are alike, Ä and ä are not."""
    return "".join(c.lower() if c.isascii() else c for c in text)


def _combinations(click: Click, query: StatsQuery) -> Iterator[tuple[str, ...]]:
    combinations: list[tuple[str, ...]] = [()]
    for dimension in query.groups:
        filters = query.filters_of(dimension)
        passing = [v for v in values(click, dimension) if all(passes(f, v) for f in filters)]
        combinations = [(*before, value) for before in combinations for value in passing]
    yield from combinations


def values(click: Click, dimension: Dimension) -> tuple[str, ...]:
    """Return the click's values of a dimension: one, but for variants of experiments."""
    if dimension is Dimension.LINK:
        return (str(click.link_id),)
    if click.classification & CLASS_MASK not in COUNTED_CLASSES | BOT_CLASSES:
        return ()
    return tuple(value for number, value in dimension_values(click) if number == dimension)

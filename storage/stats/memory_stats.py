"""The in-memory twin of storage/stats/reader.py: each click is looked at anew, and visitors are counted exactly."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import trio

from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    ClickKind,
    VisitorClass,
)
from engine.clicks.dimension import Dimension
from engine.stats import calendar, period
from engine.stats.dimension_counts import dimension_values
from engine.stats.ordering import RowGroup, order_groups
from engine.stats.ports import CLICK_COLUMNS
from engine.stats.query import Filter, StatsQuery
from engine.stats.result import MetricValues, Stats
from storage.clicks.memory_ledger import MemoryClickTables

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryStatsReader:
    """`StatsReader` over the clicks of a memory ledger."""

    def __init__(self, counts: MemoryClickTables) -> None:
        self._counts = counts

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        await trio.lowlevel.checkpoint()
        clicks = [
            click
            for _, click in self._counts.clicks
            if (click.tenant_id, click.profile_id) == (tenant_id, profile_id)
            and query.start <= moment(click) < query.end
        ]
        return counted(clicks, query, self._counts.committed_at)

    async def version(self) -> str:
        await trio.lowlevel.checkpoint()
        return " ".join(str(journal.folded) for journal in self._counts.journals.values())


class MemoryClickExport:
    """`ClickExport` over the same clicks."""

    def __init__(self, counts: MemoryClickTables) -> None:
        self._counts = counts

    async def clicks(
        self, tenant_id: int, profile_id: int, start: datetime, end: datetime
    ) -> AsyncGenerator[list[tuple[Any, ...]], None]:
        for _, click in self._counts.clicks:
            at = _EPOCH + timedelta(microseconds=click.at_us)
            if (click.tenant_id, click.profile_id) == (tenant_id, profile_id) and start <= at < end:
                await trio.lowlevel.checkpoint()
                yield [_exported(click, at)]


def _exported(click: Click, at: datetime) -> tuple[Any, ...]:
    judged = VisitorClass(click.classification & CLASS_MASK)
    click = click._replace(
        classification=VisitorClass.HUMAN
    )  # a HEAD has no values to be counted by, but is known
    named: dict[str, Any] = {
        one.name.lower(): next(iter(values(click, one)), None) for one in Dimension if one
    }
    named |= {
        "time": at,
        "kind": "click" if click.kind == ClickKind.CLICK else "view",
        "visitor_class": "human" if judged is VisitorClass.UNCLASSIFIED else judged.name.lower(),
    }
    return tuple(named[column] or None for column in CLICK_COLUMNS)


def counted(clicks: Iterable[Click], query: StatsQuery, as_of: datetime | None) -> Stats:
    """The answer by brute force, from clicks of one profile within the period."""
    tz = period.zone(query.tz)
    totals, groups = _Sum(), defaultdict[RowGroup, _Sum](_Sum)
    for click in clicks:
        if not _passes(click, query.filters):
            continue
        # Of a value that a filter left over, a click with several has each that passes.
        totals.add(click)
        start = None
        if query.by_time:
            # Two datetimes of one zone compare by the wall: only UTC tells a doubled hour apart.
            start = calendar.interval_start(moment(click), query.interval, tz).astimezone(UTC)
        for values in _combinations(click, query):
            groups[RowGroup(start, values)].add(click)
    counts = {key: one.counted(query) for key, one in groups.items() if one.any}
    return Stats(rows=order_groups(counts, query, tz), totals=totals.counted(query), as_of=as_of)


class _Sum:
    def __init__(self) -> None:
        self.clicks = self.views = self.bots = 0
        self._who: set[tuple[int, bytes]] = set()

    def add(self, click: Click) -> None:
        judged = click.classification & CLASS_MASK
        if judged in BOT_CLASSES:
            self.bots += 1
        elif judged in COUNTED_CLASSES:
            if click.kind == ClickKind.CLICK:
                self.clicks += 1
            else:
                self.views += 1
            if click.visitor_id:
                self._who.add((click.at_us // 86_400_000_000, click.visitor_id))

    @property
    def any(self) -> bool:
        return self.clicks + self.views + self.bots > 0

    def counted(self, query: StatsQuery) -> MetricValues:
        visitors = len(self._who) if "visitors" in query.metrics else None
        return MetricValues(self.clicks, self.views, self.bots, visitors)


def moment(click: Click) -> datetime:
    """Of the quarter of an hour that it is in."""
    bucket_us = click.at_us - click.at_us % 900_000_000
    return _EPOCH + timedelta(microseconds=bucket_us)


def _passes(click: Click, filters: Iterable[Filter]) -> bool:
    return all(any(passes(one, v) for v in values(click, one.dimension)) for one in filters)


def passes(condition: Filter, value: str) -> bool:
    """Whether a value fulfils it."""
    if condition.operator == "=":
        return value == condition.value
    if condition.operator == "!=":
        return value != condition.value
    return _lower(condition.value) in _lower(value)


def _lower(text: str) -> str:
    """A and a are alike, Ä and ä are not."""
    return "".join(c.lower() if c.isascii() else c for c in text)


def _combinations(click: Click, query: StatsQuery) -> Iterator[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for dimension in query.groups:
        filters = [one for one in query.filters if one.dimension is dimension]
        wanted = [v for v in values(click, dimension) if all(passes(f, v) for f in filters)]
        found = [(*before, value) for before in found for value in wanted]
    yield from found


def values(click: Click, dimension: Dimension) -> tuple[str, ...]:
    """The click's values of a dimension; but for arms of experiments there is one."""
    if dimension is Dimension.LINK:
        return (str(click.link_id),)
    if click.classification & CLASS_MASK not in COUNTED_CLASSES | BOT_CLASSES:
        return ()
    return tuple(value for one, value in dimension_values(click) if one == dimension)

"""Stats in memory and on Postgres, compared with sums by hand, above all around changes of clocks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, product
from typing import Any, NamedTuple, get_args
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from engine.clicks.click import Click, ClickKind
from engine.clicks.dimension import Dimension
from engine.clicks.rollup import TIME_BUCKET_US
from engine.stats.ledger_ports import ClickLedger
from engine.stats.ports import QueryReader
from engine.stats.query import Filter, StatsQuery
from engine.stats.result import StatsRow, TimeInterval
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.postgres.database import Database
from storage.stats.memory_click_tables import MemoryClickTables
from storage.stats.memory_stats import MemoryStatsReader
from storage.stats.reader import PostgresStatsReader
from tests.kit.hosted import hosted_run
from tests.kit.intervals import CHANGES, QUARTER, first_moment, label
from tests.kit.shipped_batches import batch, click

pytestmark = pytest.mark.slow
hosted = pytest.mark.trio(run=hosted_run)


class StatsBench(NamedTuple):
    """A ledger and a reader over one state."""

    ledger: ClickLedger
    reader: QueryReader

    async def fold(self, clicks: list[Click]) -> None:
        await self.ledger.register(uuid4())
        (lease,) = await self.ledger.lease(str(uuid4()), 1, 60)
        await self.ledger.commit(lease, [batch(1, clicks)])


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def bench(url: str | None) -> AsyncIterator[StatsBench]:
    async with opened(url) as bench:
        yield bench


@asynccontextmanager
async def opened(url: str | None) -> AsyncIterator[StatsBench]:
    if url is None:
        counts = MemoryClickTables()
        yield StatsBench(MemoryClickLedger(counts, lambda: 1e9), MemoryStatsReader(counts))
        return
    aggregator = await Database.open(url, role="waypost_aggregator", size=1, query_timeout_ms=5_000)
    app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
    yield StatsBench(PostgresClickLedger(aggregator), PostgresStatsReader(app))
    await aggregator.close()
    await app.close()


def at(moment: datetime, **fields: Any) -> Click:
    return click(at_us=round(moment.timestamp()) * 1_000_000, **fields)


def around(change: datetime, tz: str, interval: TimeInterval, **fields: Any) -> StatsQuery:
    day = timedelta(days=2)
    return StatsQuery(start=change - day, end=change + day, interval=interval, tz=tz, **fields)


@hosted
@pytest.mark.parametrize(("tz", "change"), CHANGES)
async def test_a_click_in_every_quarter_around_a_change(
    bench: StatsBench, tz: str, change: datetime
) -> None:
    quarters = [change - timedelta(hours=36) + n * QUARTER for n in range(4 * 72)]
    await bench.fold([at(quarter + timedelta(minutes=7)) for quarter in quarters])
    zone = ZoneInfo(tz)
    for interval in get_args(TimeInterval):
        stats = await bench.reader.stats(1, 2, around(change, tz, interval))
        expected = [
            (first_moment(next(group), interval, zone), 1 + len(list(group)))
            for _, group in groupby(quarters, partial(label, interval=interval, tz=zone))
        ]
        moments = [moment_of(row) for row in stats.rows]
        clicks = [row.clicks for row in stats.rows]
        assert (
            list(zip([moment.astimezone(UTC) for moment in moments], clicks, strict=True))
            == expected
        )
        assert all(moment.tzinfo == zone for moment in moments)
        assert stats.as_of is not None


def moment_of(row: StatsRow) -> datetime:
    assert row.time is not None
    return row.time


async def totals_match(
    url: str | None, tenant_id: int, clicks: list[Click], query: StatsQuery
) -> None:
    """Fold clicks of a new tenant, and compare the totals of each interval with them."""
    async with opened(url) as bench:
        await bench.fold([click._replace(tenant_id=tenant_id) for click in clicks])
        for interval, link_id in product(get_args(TimeInterval), (None, 1)):
            interval_query = structs.replace(query, interval=interval, filters=of_link(link_id))
            stats = await bench.reader.stats(tenant_id, 2, interval_query)
            rows = stats.rows
            kinds = [
                click.kind
                for click in clicks
                if query.start <= bucket(click) < query.end
                and click.profile_id == 2
                and link_id in (None, click.link_id)
            ]
            assert sum(row.clicks for row in rows) == kinds.count(ClickKind.CLICK)
            assert stats.totals.clicks == kinds.count(ClickKind.CLICK)
            assert sum(row.views for row in rows) == kinds.count(ClickKind.VIEW)
            moments = [moment_of(row).astimezone(UTC) for row in rows]
            assert moments == sorted(set(moments))


def of_link(link_id: int | None) -> tuple[Filter, ...]:
    return () if link_id is None else (Filter(Dimension.LINK, "=", (str(link_id),)),)


def bucket(click: Click) -> datetime:
    return datetime.fromtimestamp(
        click.at_us // TIME_BUCKET_US * (TIME_BUCKET_US // 1_000_000), UTC
    )


MINUTES = st.integers(-3000, 3000)
DRAWN_CLICKS = st.lists(
    st.tuples(MINUTES, st.sampled_from(ClickKind), st.integers(0, 2), st.integers(1, 2))
)


def test_totals_are_those_of_the_clicks(url: str | None) -> None:
    unused_tenants = iter(range(1, 10_000))

    @settings(max_examples=10, deadline=None)
    @given(DRAWN_CLICKS.filter(bool), st.sampled_from(CHANGES), MINUTES, MINUTES)
    def check(drawn: list[Any], zone_change: tuple[str, datetime], start: int, end: int) -> None:
        tz, change = zone_change
        first, last = sorted((start, end))
        query = StatsQuery(
            start=change + timedelta(minutes=first),
            end=change + timedelta(minutes=last),
            interval="15m",
            tz=tz,
        )
        clicks = [
            at(change + timedelta(minutes=m), kind=kind, link_id=link_id, profile_id=profile_id)
            for m, kind, link_id, profile_id in drawn
        ]
        hosted_run(partial(totals_match, url, next(unused_tenants), clicks, query))

    check()


@hosted
async def test_stats_are_empty_before_the_first_fold(bench: StatsBench) -> None:
    stats = await bench.reader.stats(1, 2, around(CHANGES[0][1], "UTC", "day"))
    assert stats.rows == ()
    assert stats.as_of is None


@hosted
async def test_other_tenants_profiles_are_empty(bench: StatsBench) -> None:
    change = CHANGES[0][1]
    await bench.fold([at(change)])
    assert (await bench.reader.stats(1, 2, around(change, "UTC", "day"))).rows
    assert (await bench.reader.stats(2, 2, around(change, "UTC", "day"))).rows == ()

"""Dimension counts of hot days: each click counts once, within caps, with concurrent writers."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import NamedTuple

import pytest
import trio

from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.day_rows import ClickHead, DayRows
from engine.clicks.dimension import ALL_LINKS, MAX_VALUES_OPEN_ENDED, OTHER, Dimension
from engine.clicks.record_items import PLACE, UTM, item
from engine.stats.dimension_counts import (
    MAX_VALUES_PER_LINK,
    DimensionCountKey,
    count_by_dimension,
)
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.repacking import count_columns
from engine.stats.sketch import union_size
from storage.postgres.database import Connection, Database
from storage.stats import dimension_counts, settling
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import NOW_US, click
from tests.kit.stats_database import days_with_deltas, fold

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

Counts = dict[DimensionCountKey, tuple[int, int, int, int]]
MIXED = [
    click(link_id=5 + n % 2, verdict=[0, 1, 2, 3, 5, 6][n % 6], user_agent=b"agent %d" % (n % 3))._replace(
        kind=[ClickKind.CLICK, ClickKind.VIEW][n % 4 == 0],
        at_us=NOW_US + n * 200_000_000,
        visitor_id=b"visitor%d" % (n % 5) if n % 3 else b"",
        items=item(PLACE, b"EU\x1fDE\x1fBY\x1fMunich") if n % 2 else b"",
    )
    for n in range(24)
]  # fmt: skip


class HotDays(NamedTuple):
    """A database in which every day is hot."""

    database: Database

    async def add(self, clicks: list[Click]) -> None:
        """Fold clicks, and count them in the tables."""
        await fold(self.database, clicks)
        await settle(self.database, await days_with_deltas(self.database))

    async def stored(self) -> Counts:
        """Return the stored counts with the estimated numbers of visitors, which are exact here."""
        rows = await self.database.transaction(
            lambda connection: connection.fetch(
                "SELECT tenant_id, profile_id, link_id, dimension, "
                "(extract(epoch FROM bucket) * 1000000)::bigint, value, clicks, views, bots, visitors "
                "FROM dimension_counts"
            )
        )
        return {
            DimensionCountKey(*row[:6]): (
                *row[6:9],
                union_size([row["visitors"]] if row["visitors"] else []),
            )
            for row in rows
        }


@pytest.fixture
async def hot(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HotDays]:
    monkeypatch.setattr(settling, "HOT_CLICKS", 0)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 0)
    database = await Database.open(
        database_url, role="waypost_aggregator", size=4, query_timeout_ms=5_000
    )
    yield HotDays(database)
    await database.close()


def expected(clicks: list[Click]) -> Counts:
    return {
        key: (counts.clicks, counts.views, counts.bots, len(counts.visitors))
        for key, counts in count_by_dimension(clicks).items()
    }


async def test_settled_clicks_are_added_to_those_before(hot: HotDays) -> None:
    dice = random.Random(4)
    mixed = dice.sample(MIXED, len(MIXED))
    for first in range(0, 24, 6):
        await hot.add(mixed[first : first + 6])
        assert await hot.stored() == expected(mixed[: first + 6])


async def test_values_beyond_the_cap_are_counted_as_other(hot: HotDays) -> None:
    """The first values keep their rows, when they are settled and later."""
    clicks = [
        click(link_id=5)._replace(
            items=item(UTM, b"utm_campaign=c%d" % n), visitor_id=b"%08d" % (n + 1)
        )
        for n in range(MAX_VALUES_OPEN_ENDED + 20)
    ]
    # A click without a value takes no room of one with a value.
    await hot.add([*clicks[:29], click(link_id=5)])
    other_click = clicks[0]._replace(
        items=item(UTM, b"utm_campaign=" + OTHER.encode()), visitor_id=b"somebody"
    )
    await hot.add([*clicks, other_click, click(link_id=6)])
    for link_id, cap in ((5, MAX_VALUES_PER_LINK), (ALL_LINKS, MAX_VALUES_OPEN_ENDED)):
        rows_by_value = {
            key.value: row
            for key, row in (await hot.stored()).items()
            if key.link_id == link_id and key.dimension == Dimension.UTM_CAMPAIGN
        }
        over_cap = len(clicks) - cap
        assert len([value for value in rows_by_value if value not in ("", OTHER)]) == cap
        # A visitor may send this text, too.
        assert rows_by_value[OTHER] == (over_cap + 1, 0, 0, over_cap + 1)
        assert rows_by_value["c0"] == (2, 0, 0, 1)
        assert sum(row[0] for row in rows_by_value.values()) == len(clicks) + 31 + (
            link_id == ALL_LINKS
        )


async def test_more_rows_than_one_statement_takes(
    hot: HotDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimension_counts, "ROWS_AT_ONCE", 7)
    await hot.add(MIXED)
    await hot.add(MIXED[:9])
    assert await hot.stored() == expected([*MIXED, *MIXED[:9]])


def visitors_of(profile_id: int, first: int, count: int) -> list[Click]:
    return [
        click()._replace(
            profile_id=profile_id,
            visitor_id=b"%08d" % (n + 1),
            classification=VisitorClass.HUMAN,
            at_us=NOW_US,
        )
        for n in range(first, first + count)
    ]


async def test_concurrent_writers_lose_no_visitor(hot: HotDays) -> None:
    """Each writer reads a sketch, adds visitors to it and writes it back."""
    await hot.add(visitors_of(2, 0, 1))

    async def write(number: int) -> None:
        days = DayRows()
        place = days.add_head(ClickHead(5, 7, 0, VisitorClass.HUMAN))
        days.rows = [
            (place, b"", b"", b"", one.visitor_id, b"")
            for one in visitors_of(2, 1 + number * 50, 50)
        ]
        clicks = ProfileClicks([Piece(date(2026, 5, 1), pack_day(days, ValueTexts()))])

        async def work(connection: Connection) -> None:
            await dimension_counts.lock_profiles(connection, [2])
            await dimension_counts.add_blocks(connection, count_columns(clicks, 1, 2).blocks())

        await hot.database.transaction(work)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(write, number)
    first = datetime(2026, 5, 1, tzinfo=UTC).timestamp() * 1e6
    stored = {
        key: row
        for key, row in (await hot.stored()).items()
        if first <= key.bucket_us < first + 86_400e6
    }
    assert {row[3] for row in stored.values()} == {200}


async def test_jobs_over_the_same_profiles_do_not_deadlock(
    hot: HotDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks of counts are fewer than profiles: their order is another one than that of the days."""
    slots = dimension_counts.LOCK_SLOTS
    pairs = [(slots + 9, 2 * slots), (slots, 3 * slots + 9)]
    barrier, original = Barrier(len(pairs)), settling._count_in_tables
    days_counted = 0

    async def slowly(connection: Connection, *of: object) -> None:
        nonlocal days_counted
        days_counted += 1
        await connection.execute("SELECT pg_sleep(0.1)")
        await original(connection, *of)  # type: ignore[arg-type]

    monkeypatch.setattr(settling, "_count_in_tables", slowly)
    for pair in pairs:
        for profile_id in pair:
            await fold(hot.database, visitors_of(profile_id, 0, 3))
    days = await days_with_deltas(hot.database)

    async def settle_pair(pair: tuple[int, int]) -> None:
        await barrier.wait()
        await settle(hot.database, [day for day in days if day.profile_id in pair])

    async with trio.open_nursery() as nursery:
        for pair in pairs:
            nursery.start_soon(settle_pair, pair)
    assert {key.profile_id for key in await hot.stored()} == {*pairs[0], *pairs[1]}
    assert days_counted == 4, "a transaction that deadlocks is repeated"


class Barrier:
    """A point at which tasks wait for each other."""

    def __init__(self, tasks: int) -> None:
        self._missing = tasks
        self._all = trio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await self._all.wait()

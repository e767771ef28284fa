"""Stats by local day and month of every IANA zone, compared with counting a year of random clicks by hand."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.clicks.click import BOT_CLASSES, CLASS_MASK, COUNTED_CLASSES, Click, ClickKind
from engine.clicks.dimension import Dimension
from engine.stats import period
from engine.stats.period_split import interval_starts
from engine.stats.query import StatsQuery
from engine.stats.result import TimeInterval
from tests.kit.stats_database import FilledDatabase, ask, fill, fold_and_settle, random_clicks

SEED = 20_260
START = datetime(2025, 12, 30, tzinfo=UTC)
END = datetime(2027, 1, 3, tzinfo=UTC)
CLICKS = random_clicks(random.Random(SEED), 400, START, 369)
dice = random.Random(SEED + 1)
COMPACTED = {START.date() + timedelta(days=n) for n in range(369) if dice.random() < 0.8}


@pytest.fixture(scope="module", params=["in tables", "in months"])
def url(request: pytest.FixtureRequest, filled_database: FilledDatabase) -> str:
    if request.param == "in months":
        return filled_database(
            "zone_months", fold_and_settle, CLICKS[:380], CLICKS[380:], hot_clicks=9,
            months_before=END.date(),
        )  # fmt: skip
    return filled_database("zones", fill, CLICKS, COMPACTED, [Dimension.TOTAL])


def by_hand(tz: ZoneInfo, interval: TimeInterval) -> dict[object, list[int]]:
    """Return [clicks, views, bots] by local day or month."""
    counts: dict[object, list[int]] = {}
    for click in CLICKS:
        visitor_class = click.classification & CLASS_MASK
        if visitor_class in BOT_CLASSES | COUNTED_CLASSES:
            column = 2 if visitor_class in BOT_CLASSES else int(click.kind != ClickKind.CLICK)
            counts.setdefault(label(click, tz, interval), [0, 0, 0])[column] += 1
    return counts


def label(click: Click, tz: ZoneInfo, interval: TimeInterval) -> object:
    day = datetime.fromtimestamp(click.at_us / 1e6, tz).date()
    return day if interval == "day" else day.replace(day=1)


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["day", "month"])
def test_every_zone(url: str, interval: TimeInterval) -> None:
    """Read stats once for all zones whose days begin at the same instants, because Postgres knows no zones."""
    zones_by_starts: dict[tuple[datetime, ...], list[ZoneInfo]] = {}
    for name in sorted(period.zone_names()):
        tz = period.zone(name)
        zones_by_starts.setdefault(interval_starts(START, END, interval, tz), []).append(tz)
    queries = [
        StatsQuery(start=START, end=END, interval=interval, tz=zones[0].key)
        for zones in zones_by_starts.values()
    ]
    assert len(queries) > 20
    for (starts, zones), stats in zip(zones_by_starts.items(), ask(url, queries), strict=True):
        for tz in zones:
            # The local days of this zone.
            counts = {
                row.time.astimezone(tz).date(): [row.clicks, row.views, row.bots]
                for row in stats.rows
                if row.time is not None
            }
            if interval == "month":
                counts = {day.replace(day=1): sums for day, sums in counts.items()}
            assert counts == by_hand(tz, interval), (tz.key, SEED)
        assert stats.totals.clicks == sum(row.clicks for row in stats.rows)
        assert len(starts) >= len(stats.rows)

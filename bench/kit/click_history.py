"""A year of counts of one profile, written straight into the tables as the aggregation leaves them.

Counts of a dimension's values follow Zipf's law, counts of days depend on the weekday, and counts of time
buckets on the time of day. Every day before today is compacted; today is not. The array of a day's time
buckets depends on the day's count alone, so each array is computed once for all days and values with this
count.

Two things are left out, so that writing takes minutes: dimension counts of links beyond the first
`DETAILED_LINKS`, and sketches of time buckets older than `SKETCHED_DAYS`, which only questions about part of
such a day read.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from engine.clicks.dimension import Dimension
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.raw_rows import RawClickRows
from engine.stats.packed.repacking import repacked
from engine.stats.sketch import sketch
from storage.postgres import queries
from storage.stats.rebuild import RAW
from storage.stats.segments import ClickSegment, add_segments

DAYS: Final = 365
DETAILED_LINKS: Final = 5
SKETCHED_DAYS: Final = 8
CLICKS_OF_A_PART: Final = 50_000
RAW_DAYS: Final = 88
_SQL: Final = queries.queries(Path(__file__).with_suffix(".sql").read_text("utf-8"))

# Number of values, and the proportion of clicks without a value.
SIZES: Final[dict[Dimension, tuple[int, float]]] = {
    Dimension.COUNTRY: (90, 0.02), Dimension.REGION: (200, 0.1), Dimension.CITY: (300, 0.15),
    Dimension.CONTINENT: (6, 0.02), Dimension.BROWSER: (18, 0.03), Dimension.OS: (12, 0.03),
    Dimension.DEVICE: (5, 0.0), Dimension.REFERRER: (150, 0.45), Dimension.SOURCE: (14, 0.5),
    Dimension.UTM_SOURCE: (12, 0.7), Dimension.UTM_MEDIUM: (6, 0.7), Dimension.UTM_CAMPAIGN: (40, 0.7),
    Dimension.UTM_TERM: (20, 0.95), Dimension.UTM_CONTENT: (20, 0.95), Dimension.LANGUAGE: (30, 0.02),
    Dimension.VARIANT: (4, 0.6), Dimension.DOMAIN: (2, 0.0), Dimension.TRIGGER: (3, 0.0),
    Dimension.KIND: (4, 0.0),
}  # fmt: skip
SKETCHES_PER_SIZE: Final = 8
_SKETCH_SIZES: Final = (
    1,
    2,
    3,
    5,
    8,
    13,
    20,
    35,
    60,
    100,
    170,
    300,
    500,
    900,
    1500,
    2400,
    4000,
    7000,
    12000,
)


async def write(
    connection: "asyncpg.Connection[Any]", profile_id: int, clicks: int, now: datetime
) -> None:
    """Replace the profile's counts by a year with this many clicks, up to `now`."""
    tenant_id = await connection.fetchval(
        "SELECT tenant_id FROM waypost.profiles WHERE id = $1", profile_id
    )
    links = await connection.fetch(
        "SELECT id FROM waypost.links WHERE profile_id = $1 ORDER BY id", profile_id
    )
    profile_key, today = (tenant_id, profile_id), now.astimezone(UTC).date()
    for table in ("rollups", "dimension_counts", *_COMPACTED):
        await connection.execute(
            f"DELETE FROM waypost.{table} WHERE tenant_id = $1 AND profile_id = $2",  # noqa: S608
            *profile_key,
        )
    await connection.execute(_SQL["scratch"])
    await connection.copy_records_to_table(
        "bench_values", records=list(_values([row[0] for row in links]))
    )
    await connection.copy_records_to_table("bench_days", records=list(_days(clicks, today)))
    await connection.copy_records_to_table("bench_pool", records=list(_sketches()))
    await connection.execute("CREATE UNIQUE INDEX ON bench_pool (rank, pick)")
    await connection.execute(_SQL["quarters_of_a_day"])
    await connection.execute(_SQL["sums"])
    await connection.execute(_SQL["shapes"])
    first_sketched = today - timedelta(days=SKETCHED_DAYS)
    await connection.execute(
        _SQL["quarters"], *profile_key, today, first_sketched, list(_SKETCH_SIZES)
    )
    await connection.execute(_SQL["days"], *profile_key, today)
    await connection.execute(_SQL["months"], *profile_key)
    await connection.execute(_SQL["live"], *profile_key, today, now, list(_SKETCH_SIZES))
    await connection.execute(_SQL["live_rollups"], *profile_key, today, now)
    await connection.execute(_SQL["hot_days"], *profile_key, today, DAYS)
    await connection.execute(
        "DROP TABLE bench_values, bench_days, bench_pool, bench_quarters, bench_sums, bench_shapes"
    )
    for table in ("rollups", "dimension_counts", *_COMPACTED):
        await connection.execute(f"VACUUM (ANALYZE) waypost.{table}")


async def write_raw(
    connection: "asyncpg.Connection[Any]",
    profile_id: int,
    clicks: int,
    now: datetime,
    clicks_per_day: float,
) -> None:
    """Write `clicks` raw clicks, `clicks_per_day` on each day up to `now`, into indexed partitions."""
    today = now.astimezone(UTC).date()
    days = min(RAW_DAYS, math.ceil(clicks / clicks_per_day))
    await connection.execute(
        "SET ROLE waypost_owner"  # so that the daily job may index the partitions
    )
    for days_ago in range(days + 1, 1, -1):
        day = today - timedelta(days=days_ago)
        await connection.execute("SELECT waypost.make_click_partition($1)", day)
    await connection.execute("RESET ROLE")
    tenant_id = await connection.fetchval(
        "SELECT tenant_id FROM waypost.profiles WHERE id = $1", profile_id
    )
    await connection.execute(_SQL["raw"], tenant_id, profile_id, days, clicks, now)
    while await connection.fetchval("SELECT waypost.index_click_partition()") is not None:
        pass
    await _pack_raw(
        connection, tenant_id, profile_id, [today - timedelta(n) for n in range(days + 1)]
    )
    await connection.execute("VACUUM (ANALYZE) waypost.clicks, waypost.click_segments")


async def _pack_raw(
    connection: "asyncpg.Connection[Any]", tenant_id: int, profile_id: int, days: Sequence[date]
) -> None:
    """Pack raw clicks as those of hot days are kept, for questions that cross dimensions."""
    await connection.execute(
        "DELETE FROM waypost.click_segments WHERE tenant_id = $1 AND profile_id = $2",
        tenant_id, profile_id,
    )  # fmt: skip
    async with connection.transaction():
        await connection.execute("SET LOCAL search_path = waypost")
        for day in days:
            rows = await connection.fetch(RAW, tenant_id, profile_id, day)
            for part, start in enumerate(range(0, len(rows), CLICKS_OF_A_PART)):
                raw = RawClickRows()
                for row in rows[start : start + CLICKS_OF_A_PART]:
                    raw.add(*row)
                clicks = ProfileClicks([Piece(day, raw.packed())])
                packed = repacked(clicks, day, as_segment=True)
                await add_segments(
                    connection, [ClickSegment(tenant_id, profile_id, day, part, 1, True, packed)]
                )


_COMPACTED: Final = ("dimension_days", "dimension_months", "dimension_quarters")


def _days(clicks: int, today: Any) -> Iterator[tuple[Any, float]]:
    """Yield (day, clicks of the day): Mondays have the most, Sundays the fewest."""
    days = [today - timedelta(days=n) for n in range(DAYS)]
    weights = [1 + 0.25 * math.cos(day.weekday() * math.pi / 6) for day in days]
    for day, weight in zip(days, weights, strict=True):
        yield day, clicks * weight / sum(weights)


def _values(links: list[int]) -> Iterator[tuple[int, int, str, float]]:
    """Yield (link id, dimension, value, proportion of all clicks).

    The profile (link id -1) and the first links have rows for every dimension, the other links for the total
    only.
    """
    shares = list(zipf(len(links) + 1, 0.8))
    ids = [*links, 0]
    yield -1, int(Dimension.TOTAL), "", 1.0
    for link, share in zip(ids, shares, strict=True):
        yield -1, int(Dimension.LINK), str(link), share
        yield link, int(Dimension.TOTAL), "", share
    scopes = [(-1, 1.0), *zip(ids, shares, strict=True)][: DETAILED_LINKS + 1]
    for link, scope_share in scopes:
        for dimension, (size, empty_share) in SIZES.items():
            if empty_share:
                yield link, int(dimension), "", scope_share * empty_share
            for number, share in enumerate(zipf(size, 1.1), 1):
                yield (
                    link,
                    int(dimension),
                    value_name(dimension, number),
                    scope_share * share * (1 - empty_share),
                )


def zipf(size: int, exponent: float) -> Iterator[float]:
    """Return the proportions of values by Zipf's law, the largest first."""
    weights = [1 / n**exponent for n in range(1, size + 1)]
    total = sum(weights)
    return (weight / total for weight in weights)


def value_name(dimension: Dimension, number: int) -> str:
    """Return the name of a dimension's value, by its number from 1."""
    if dimension is Dimension.COUNTRY:
        return chr(65 + number // 26) + chr(65 + number % 26)
    return f"{dimension.name.lower()} {number}"


def _sketches() -> Iterator[tuple[int, int, bytes]]:
    """Yield (rank of the size, number among SKETCHES_PER_SIZE, sketch); no visitor is in two sketches."""
    number = 0
    for rank, size in enumerate(_SKETCH_SIZES):
        for pick in range(SKETCHES_PER_SIZE):
            yield rank, pick, sketch(range(number, number + size))
            number += size

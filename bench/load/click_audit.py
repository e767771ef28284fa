"""Audit of the counts in Postgres against the sender's own account, request by request.

- every answered request has exactly one raw click, of the link that was requested;
- every raw click has a request that was sent and not refused;
- for each link and day the packed clicks that are in no table, with the counts of the tables, and for each
  profile the API's stats, equal the number of raw clicks;
- for each link and profile, day and dimension of a hot day, the dimension counts of all values sum to the
  number of packed clicks that are in tables.

It reads Postgres as superuser over its own connection, and not through the code under test but for the format
of packed clicks.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import asyncpg
import uvloop

from bench.kit import request_account
from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.kit.report import progress
from bench.kit.request_account import REFUSED, UNANSWERED, UNSENT, RequestAccount
from bench.load.crashable_engine import CrashableEngine
from engine.stats.packed.packed_clicks import decode
from engine.stats.packed.profile_clicks import QUARTERS, Piece, ProfileClicks
from storage.stats.segments import piece_of

_EPOCH: Final = date(1970, 1, 1)
MAX_READINGS: Final = 5
MAX_DIFFERENCES: Final = 20

_LINKS = """SELECT l.id, p.id AS profile_id, p.handle, l.slug
FROM waypost.links l JOIN waypost.profiles p ON p.id = l.profile_id"""
_RAW_CLICKS = "SELECT count(*) FROM waypost.clicks WHERE kind = 1"
_CLICKS = "SELECT link_id, referrer FROM waypost.clicks WHERE kind = 1"
_RAW = """SELECT tenant_id, profile_id, link_id, (at AT TIME ZONE 'UTC')::date AS day,
    count(*) FILTER (WHERE waypost.is_counted(classification) AND kind = 1) AS clicks,
    count(*) FILTER (WHERE waypost.is_counted(classification) AND kind <> 1) AS views,
    count(*) FILTER (WHERE waypost.is_bot(classification)) AS bots
FROM waypost.clicks WHERE waypost.is_counted(classification) OR waypost.is_bot(classification)
GROUP BY 1, 2, 3, 4"""
_DELTAS = "SELECT tenant_id, profile_id, day, data FROM waypost.click_deltas"
_SEGMENTS = "SELECT * FROM waypost.click_segments"
_ROLLUPS = """SELECT tenant_id, profile_id, link_id, day, sum(clicks), sum(views), sum(bots) FROM (
    SELECT tenant_id, profile_id, link_id, (bucket AT TIME ZONE 'UTC')::date AS day, clicks, views, bots
    FROM waypost.rollups WHERE link_id >= 0
    UNION ALL
    SELECT tenant_id, profile_id, link_id, day, clicks, views, bots FROM waypost.dimension_days
    WHERE dimension = 0 AND link_id >= 0
) AS sums GROUP BY 1, 2, 3, 4"""
# Left out: dimension 0 has no counts in the live table, and 16 has several values per click.
_DIMENSIONS = """SELECT tenant_id, profile_id, link_id, day, dimension, sum(clicks), sum(views), sum(bots)
FROM (
    SELECT tenant_id, profile_id, link_id, dimension, (bucket AT TIME ZONE 'UTC')::date AS day, clicks, views,
        bots
    FROM waypost.dimension_counts
    UNION ALL
    SELECT tenant_id, profile_id, link_id, dimension, day, clicks, views, bots FROM waypost.dimension_days
) AS live_and_compacted WHERE dimension NOT IN (0, 16) GROUP BY 1, 2, 3, 4, 5"""
_LINK_DIMENSIONS = frozenset(range(1, 20)) - {16}
_PROFILE_DIMENSIONS = _LINK_DIMENSIONS | {20}
_DEAD_LETTERED = (
    "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM waypost.dead_letter_batches"
)


class DatabaseCounts(NamedTuple):
    """Counts in Postgres. `untagged` is the number of raw clicks whose referrer names no request."""

    links: dict[tuple[str, str], tuple[int, int]]  # (handle, slug) → (link id, profile id)
    by_request: dict[tuple[int, int], int]  # (request number, link id) → raw clicks
    raw: dict[int, int]
    untagged: int
    dead_lettered: int
    day_mismatches: int = 0
    dimension_mismatches: int = 0
    differences: tuple[str, ...] = ()  # some of the days that differ, in words


class AuditFindings(NamedTuple):
    """Result of an audit; bench/chaos.py defines the fields. `unanswered_counted` is no failure."""

    requests: int
    answered: int
    unanswered: int
    refused: int
    counted: int
    lost: int
    duplicated: int
    phantoms: int
    unanswered_counted: int
    rollup_mismatches: int
    dimension_mismatches: int
    dead_lettered: int

    @property
    def exact(self) -> bool:
        return not (
            self.lost or self.duplicated or self.phantoms or self.rollup_mismatches
            or self.dimension_mismatches
        )  # fmt: skip


def audit(
    engine: CrashableEngine, links: Sequence[SampleLink], account: RequestAccount
) -> AuditFindings:
    """Compare the engine's counts with the account. Call it when all clicks are committed and no load runs."""
    counts, totals = _settled_counts(engine)
    differences = (*counts.differences, *_api_differences(counts, totals))
    for difference in differences[:MAX_DIFFERENCES]:
        progress(difference)
    return compare(account.sent_entries(), links, counts)._replace(
        rollup_mismatches=mismatches(counts, totals)
    )


def _settled_counts(engine: CrashableEngine) -> tuple[DatabaseCounts, dict[int, int]]:
    """Return the counts of the database and the clicks in the API's stats by profile id, of one moment.

    Both are read again if clicks came in between: those of a request that was not answered may come late.
    """
    for _ in range(MAX_READINGS):
        counts = uvloop.run(read_counts(engine.database_url))
        totals = _api_totals(engine, counts)
        if uvloop.run(_raw_clicks(engine.database_url)) == sum(counts.raw.values()):
            return counts, totals
        progress("clicks were committed during the audit: it begins again")
    raise BenchError("clicks were committed whenever they were counted")


async def _raw_clicks(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(_RAW_CLICKS))
    finally:
        await connection.close()


def compare(
    entries: Sequence[int], links: Sequence[SampleLink], counts: DatabaseCounts
) -> AuditFindings:
    """Return the findings about single requests; `rollup_mismatches` stays 0."""
    link_ids = [counts.links.get((link.handle, link.slug), (0, 0))[0] for link in links]
    duplicated, phantoms, unanswered_counted, answered_counted = 0, counts.untagged, 0, 0
    for (number, link_id), rows in counts.by_request.items():
        state = entries[number] if number < len(entries) else UNSENT
        if state in (UNSENT, REFUSED) or link_id != link_ids[number % len(links)]:
            phantoms += rows
            continue
        duplicated += rows - 1
        if state == UNANSWERED:
            unanswered_counted += 1
        else:
            answered_counted += 1
    unanswered, refused = entries.count(UNANSWERED), entries.count(REFUSED)
    answered = len(entries) - unanswered - refused - entries.count(UNSENT)
    return AuditFindings(
        requests=len(entries),
        answered=answered,
        unanswered=unanswered,
        refused=refused,
        counted=sum(counts.by_request.values()) + counts.untagged,
        lost=answered - answered_counted,
        duplicated=duplicated,
        phantoms=phantoms,
        unanswered_counted=unanswered_counted,
        rollup_mismatches=0,
        dimension_mismatches=counts.dimension_mismatches,
        dead_lettered=counts.dead_lettered,
    )


def mismatches(counts: DatabaseCounts, api: dict[int, int]) -> int:
    """Return how many days of links, and profiles, have counts that differ from their raw clicks.

    `api` holds the clicks in the API's stats, by profile id.
    """
    return counts.day_mismatches + len(_api_differences(counts, api))


def _api_differences(counts: DatabaseCounts, api: dict[int, int]) -> list[str]:
    by_profile: Counter[int] = Counter()
    for link_id, profile_id in counts.links.values():
        by_profile[profile_id] += counts.raw.get(link_id, 0)
    return [
        f"profile {profile}: {clicks} clicks in the API, {by_profile[profile]} raw"
        for profile, clicks in api.items()
        if clicks != by_profile[profile]
    ]


def _api_totals(engine: CrashableEngine, counts: DatabaseCounts) -> dict[int, int]:
    profiles = {profile for _, profile in counts.links.values()}
    return {profile: engine.clicks([str(profile)]) for profile in profiles}


async def read_counts(url: str) -> DatabaseCounts:
    """Read the counts of the database at `url`, in one snapshot."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await connection.fetch(_LINKS)
            links = {(row["handle"], row["slug"]): (row["id"], row["profile_id"]) for row in rows}
            by_request: Counter[tuple[int, int]] = Counter()
            raw: Counter[int] = Counter()
            untagged = 0
            async for link_id, referrer in connection.cursor(_CLICKS, prefetch=10_000):
                raw[link_id] += 1
                number = request_account.request_number(referrer)
                if number is None:
                    untagged += 1
                else:
                    by_request[number, link_id] += 1
            dead_lettered = await connection.fetchval(_DEAD_LETTERED)
            differences, dimensions = await _mismatches(connection)
            return DatabaseCounts(
                links, by_request, raw, untagged, dead_lettered, len(differences), dimensions,
                tuple(differences),
            )  # fmt: skip
    finally:
        await connection.close()


# Clicks, views and bots by tenant, profile, link and UTC day.
_Days = dict[tuple[Any, ...], tuple[int, int, int]]


async def _mismatches(connection: "asyncpg.Connection[Any]") -> tuple[list[str], int]:
    """Return the days of links that have other counts than raw clicks, in words, and how many days and
    dimensions of links and profiles have other counts in tables than packed clicks that are in tables."""
    raw: _Days = {tuple(row[:4]): tuple(row[4:]) for row in await connection.fetch(_RAW)}
    packed: Counter[tuple[Any, ...]] = Counter()
    in_tables: Counter[tuple[Any, ...]] = Counter()
    for *place, day, data in await connection.fetch(_DELTAS):
        _add(packed, tuple(place), Piece(day, decode(data)))
    for row in await connection.fetch(_SEGMENTS):
        _add(in_tables if row["in_tables"] else packed, tuple(row[:2]), piece_of(row))
    rollups: Counter[tuple[Any, ...]] = Counter()
    for *key, clicks, views, bots in await connection.fetch(_ROLLUPS):
        for number, count in enumerate((clicks, views, bots)):
            rollups[(*key, number)] += int(count)
    counted = packed + rollups
    expected = Counter(
        {(*key, number): row[number] for key, row in raw.items() for number in range(3)}
    )
    wrong = {key[:4] for key in expected | counted if expected[key] != counted[key]}
    classes = range(3)
    differences = [
        f"link {key[2]} on {key[3]}: {[counted[*key, n] for n in classes]} clicks, views and bots counted, "
        f"{[expected[*key, n] for n in classes]} raw"
        for key in sorted(wrong)
    ]
    return differences, await _dimension_mismatches(connection, in_tables)


async def _dimension_mismatches(
    connection: "asyncpg.Connection[Any]", in_tables: Counter[tuple[Any, ...]]
) -> int:
    expected: Counter[tuple[Any, ...]] = Counter()
    for (tenant_id, profile_id, link_id, day, number), count in in_tables.items():
        for dimension in _LINK_DIMENSIONS:
            expected[tenant_id, profile_id, link_id, day, dimension, number] += count
        for dimension in _PROFILE_DIMENSIONS:
            expected[tenant_id, profile_id, -1, day, dimension, number] += count
    counted: Counter[tuple[Any, ...]] = Counter()
    for *key, clicks, views, bots in await connection.fetch(_DIMENSIONS):
        for number, count in enumerate((clicks, views, bots)):
            counted[(*key, number)] += int(count)
    return len({key[:5] for key in expected | counted if expected[key] != counted[key]})


def _add(counts: Counter[tuple[Any, ...]], place: tuple[Any, ...], piece: Piece) -> None:
    """Add a piece's clicks, by place, link, UTC day and how they are counted."""
    clicks = ProfileClicks([piece])
    keys = zip(
        clicks.links.tolist(), (clicks.quarters // QUARTERS).tolist(), clicks.counted_as.tolist(),
        strict=True,
    )  # fmt: skip
    for link_id, day, counted_as in keys:
        counts[(*place, link_id, _EPOCH + timedelta(days=day), counted_as)] += 1

"""Audit of the counts in Postgres against the sender's own account, request by request.

- every answered request has exactly one raw click, of the link that was requested;
- every raw click has a request that was sent and not refused;
- for each link the rollups, and for each profile the API's stats, equal the number of raw clicks;
- for each link and profile, day and dimension, the dimension counts of all values sum to the number of raw
  clicks.

It reads Postgres as superuser over its own connection, and not through the code under test.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import uvloop

from bench.kit import request_account
from bench.kit.link_set import SampleLink
from bench.kit.request_account import REFUSED, UNANSWERED, UNSENT, RequestAccount
from bench.load.crashable_engine import CrashableEngine

_LINKS = """SELECT l.id, p.id AS profile_id, p.handle, l.slug
FROM waypost.links l JOIN waypost.profiles p ON p.id = l.profile_id"""
_CLICKS = "SELECT link_id, referrer FROM waypost.clicks WHERE kind = 1"
_ROLLUPS = """SELECT link_id, sum(clicks)::bigint AS clicks FROM (
    SELECT link_id, clicks FROM waypost.rollups
    UNION ALL SELECT link_id, clicks FROM waypost.dimension_days WHERE dimension = 0 AND link_id > 0
) AS sums WHERE link_id <> 0 GROUP BY link_id"""
# Left out: dimension 0 has no counts in the live table, and 16 has several values per click.
# Only profiles have rows of dimension 20.
_DIMENSIONS = """WITH raw AS (
    SELECT tenant_id, profile_id, link_id, (at AT TIME ZONE 'UTC')::date AS day,
        count(*) FILTER (WHERE waypost.is_counted(classification) AND kind = 1) AS clicks,
        count(*) FILTER (WHERE waypost.is_counted(classification) AND kind <> 1) AS views,
        count(*) FILTER (WHERE waypost.is_bot(classification)) AS bots
    FROM waypost.clicks WHERE waypost.is_counted(classification) OR waypost.is_bot(classification)
    GROUP BY 1, 2, 3, 4
), expected AS (
    SELECT tenant_id, profile_id, link_id, dimension, day, clicks, views, bots
    FROM raw CROSS JOIN generate_series(1, 19) AS dimension WHERE dimension <> 16
    UNION ALL
    SELECT tenant_id, profile_id, -1, dimension, day, sum(clicks), sum(views), sum(bots)
    FROM raw CROSS JOIN generate_series(1, 20) AS dimension WHERE dimension <> 16 GROUP BY 1, 2, 4, 5
), counted AS (
    SELECT tenant_id, profile_id, link_id, dimension, day, sum(clicks) AS clicks, sum(views) AS views,
        sum(bots) AS bots
    FROM (
        SELECT tenant_id, profile_id, link_id, dimension, (bucket AT TIME ZONE 'UTC')::date AS day, clicks,
            views, bots FROM waypost.dimension_counts
        UNION ALL
        SELECT tenant_id, profile_id, link_id, dimension, day, clicks, views, bots FROM waypost.dimension_days
    ) AS live_and_compacted WHERE dimension NOT IN (0, 16) GROUP BY 1, 2, 3, 4, 5
)
SELECT count(*) FROM expected FULL JOIN counted USING (tenant_id, profile_id, link_id, dimension, day)
WHERE (expected.clicks, expected.views, expected.bots)
    IS DISTINCT FROM (counted.clicks, counted.views, counted.bots)"""
_DEAD_LETTERED = (
    "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM waypost.dead_letter_batches"
)


class DatabaseCounts(NamedTuple):
    """Counts in Postgres. `untagged` is the number of raw clicks whose referrer names no request."""

    links: dict[tuple[str, str], tuple[int, int]]  # (handle, slug) → (link id, profile id)
    by_request: dict[tuple[int, int], int]  # (request number, link id) → raw clicks
    raw: dict[int, int]
    rollups: dict[int, int]
    untagged: int
    dead_lettered: int
    dimension_mismatches: int = 0


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
    counts = uvloop.run(read_counts(engine.database_url))
    return compare(account.sent_entries(), links, counts)._replace(
        rollup_mismatches=mismatches(counts, _api_totals(engine, counts))
    )


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
    """Return how many links and profiles have counts that differ from their raw clicks.

    `api` holds the clicks in the API's stats, by profile id.
    """
    by_profile: Counter[int] = Counter()
    for link_id, profile_id in counts.links.values():
        by_profile[profile_id] += counts.raw.get(link_id, 0)
    links = counts.raw.keys() | counts.rollups.keys()
    return sum(counts.raw.get(link, 0) != counts.rollups.get(link, 0) for link in links) + sum(
        clicks != by_profile[profile] for profile, clicks in api.items()
    )


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
            rollup_rows: Any = await connection.fetch(_ROLLUPS)
            rollups = {row["link_id"]: row["clicks"] for row in rollup_rows if row["clicks"]}
            dead_lettered = await connection.fetchval(_DEAD_LETTERED)
            dimension_mismatches = await connection.fetchval(_DIMENSIONS)
            return DatabaseCounts(
                links, by_request, raw, rollups, untagged, dead_lettered, dimension_mismatches
            )
    finally:
        await connection.close()

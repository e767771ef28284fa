"""The audit: what was counted, held against the sender's account, request by request.

- every answered request stands exactly once among the raw clicks, under the link it was for;
- every raw click was sent, and was not answered with a refusal;
- the rollups of each link have as many clicks as there are raw ones, and so have the stats of the API;
- so have the counts by dimension: of each link and profile, day and dimension, all values together.

Read from Postgres as its superuser, in a connection of our own: not by the code that is under test.
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
# Dimension 0 has no counts in the live table, 16 has several values a click, 20 is of profiles only.
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
), found AS (
    SELECT tenant_id, profile_id, link_id, dimension, day, sum(clicks) AS clicks, sum(views) AS views,
        sum(bots) AS bots
    FROM (
        SELECT tenant_id, profile_id, link_id, dimension, (bucket AT TIME ZONE 'UTC')::date AS day, clicks,
            views, bots FROM waypost.dimension_counts
        UNION ALL
        SELECT tenant_id, profile_id, link_id, dimension, day, clicks, views, bots FROM waypost.dimension_days
    ) AS live_and_compacted WHERE dimension NOT IN (0, 16) GROUP BY 1, 2, 3, 4, 5
)
SELECT count(*) FROM expected FULL JOIN found USING (tenant_id, profile_id, link_id, dimension, day)
WHERE (expected.clicks, expected.views, expected.bots)
    IS DISTINCT FROM (found.clicks, found.views, found.bots)"""
_SET_ASIDE = "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM waypost.dead_letter_batches"


class DatabaseCounts(NamedTuple):
    """What Postgres has."""

    links: dict[tuple[str, str], tuple[int, int]]  # (handle, slug) → (link, profile)
    by_tag: dict[tuple[int, int], int]  # (request, link) → rows
    raw: dict[int, int]
    rollups: dict[int, int]
    unknown: int
    dead_lettered: int
    dimension_mismatches: int = 0


class AuditFindings(NamedTuple):
    """`lost` were answered and are not there, `duplicated` are rows too many, `phantoms` are rows that
    no request answered or under way explains. `unanswered_counted` is no failure."""

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
    """To be called when all is committed and no load is on."""
    found = uvloop.run(_counted(engine.database_url))
    return compare(account.all(), links, found)._replace(
        rollup_mismatches=mismatches(found, _api_totals(engine, found))
    )


def compare(
    entries: Sequence[int], links: Sequence[SampleLink], found: DatabaseCounts
) -> AuditFindings:
    """`rollup_mismatches` is left at 0."""
    link_ids = [found.links.get((link.handle, link.slug), (0, 0))[0] for link in links]
    duplicated, phantoms, unanswered_counted, there = 0, found.unknown, 0, 0
    for (number, link_id), rows in found.by_tag.items():
        state = entries[number] if number < len(entries) else UNSENT
        if state in (UNSENT, REFUSED) or link_id != link_ids[number % len(links)]:
            phantoms += rows
            continue
        duplicated += rows - 1
        if state == UNANSWERED:
            unanswered_counted += 1
        else:
            there += 1
    unanswered, refused = entries.count(UNANSWERED), entries.count(REFUSED)
    answered = len(entries) - unanswered - refused - entries.count(UNSENT)
    return AuditFindings(
        requests=len(entries),
        answered=answered,
        unanswered=unanswered,
        refused=refused,
        counted=sum(found.by_tag.values()) + found.unknown,
        lost=answered - there,
        duplicated=duplicated,
        phantoms=phantoms,
        unanswered_counted=unanswered_counted,
        rollup_mismatches=0,
        dimension_mismatches=found.dimension_mismatches,
        dead_lettered=found.dead_lettered,
    )


def mismatches(found: DatabaseCounts, api: dict[int, int]) -> int:
    """Links and profiles whose sums are not those of the raw clicks. `api` is by profile."""
    by_profile: Counter[int] = Counter()
    for link_id, profile_id in found.links.values():
        by_profile[profile_id] += found.raw.get(link_id, 0)
    links = found.raw.keys() | found.rollups.keys()
    return sum(found.raw.get(one, 0) != found.rollups.get(one, 0) for one in links) + sum(
        clicks != by_profile[profile] for profile, clicks in api.items()
    )


def _api_totals(engine: CrashableEngine, found: DatabaseCounts) -> dict[int, int]:
    profiles = {profile for _, profile in found.links.values()}
    return {profile: engine.clicks([str(profile)]) for profile in profiles}


async def _counted(url: str) -> DatabaseCounts:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await connection.fetch(_LINKS)
            links = {(row["handle"], row["slug"]): (row["id"], row["profile_id"]) for row in rows}
            by_tag: Counter[tuple[int, int]] = Counter()
            raw: Counter[int] = Counter()
            unknown = 0
            async for link_id, referrer in connection.cursor(_CLICKS, prefetch=10_000):
                raw[link_id] += 1
                number = request_account.number(referrer)
                if number is None:
                    unknown += 1
                else:
                    by_tag[number, link_id] += 1
            sums: Any = await connection.fetch(_ROLLUPS)
            rollups = {row["link_id"]: row["clicks"] for row in sums if row["clicks"]}
            set_aside = await connection.fetchval(_SET_ASIDE)
            wrong = await connection.fetchval(_DIMENSIONS)
            return DatabaseCounts(links, by_tag, raw, rollups, unknown, set_aside, wrong)
    finally:
        await connection.close()

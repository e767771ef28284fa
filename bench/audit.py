"""The audit: what was counted, held against the sender's account, request by request.

- every answered request stands exactly once among the raw clicks, under the link it was for;
- every raw click was sent, and was not answered with a refusal;
- the rollups of each link have as many clicks as there are raw ones, and so have the stats of the API.

Read from Postgres as its superuser, in a connection of our own: not by the code that is under test.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
import uvloop

from bench import tags
from bench.crashable import CrashableEngine
from bench.links import Link
from bench.tags import REFUSED, UNANSWERED, UNSENT, Account

_LINKS = """SELECT l.id, p.id AS profile_id, p.handle, l.slug
FROM waypost.links l JOIN waypost.profiles p ON p.id = l.profile_id"""
_CLICKS = "SELECT link_id, referrer FROM waypost.clicks WHERE kind = 1"
_ROLLUPS = """SELECT link_id, sum(clicks)::bigint AS clicks FROM waypost.rollups
WHERE link_id <> 0 GROUP BY link_id"""
_SET_ASIDE = "SELECT coalesce(sum(last - first + 1), 0)::bigint FROM waypost.set_aside_batches"


class Counted(NamedTuple):
    """What Postgres has."""

    links: dict[tuple[str, str], tuple[int, int]]  # (handle, slug) → (link, profile)
    by_tag: dict[tuple[int, int], int]  # (request, link) → rows
    raw: dict[int, int]
    rollups: dict[int, int]
    unknown: int
    set_aside: int


class Findings(NamedTuple):
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
    set_aside: int

    @property
    def exact(self) -> bool:
        return not (self.lost or self.duplicated or self.phantoms or self.rollup_mismatches)


def audit(engine: CrashableEngine, links: Sequence[Link], account: Account) -> Findings:
    """To be called when all is committed and no load is on."""
    found = uvloop.run(_counted(engine.database_url))
    return compare(account.all(), links, found)._replace(
        rollup_mismatches=mismatches(found, _api_totals(engine, found))
    )


def compare(entries: Sequence[int], links: Sequence[Link], found: Counted) -> Findings:
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
    return Findings(
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
        set_aside=found.set_aside,
    )


def mismatches(found: Counted, api: dict[int, int]) -> int:
    """Links and profiles whose sums are not those of the raw clicks. `api` is by profile."""
    by_profile: Counter[int] = Counter()
    for link_id, profile_id in found.links.values():
        by_profile[profile_id] += found.raw.get(link_id, 0)
    links = found.raw.keys() | found.rollups.keys()
    return sum(found.raw.get(one, 0) != found.rollups.get(one, 0) for one in links) + sum(
        clicks != by_profile[profile] for profile, clicks in api.items()
    )


def _api_totals(engine: CrashableEngine, found: Counted) -> dict[int, int]:
    profiles = {profile for _, profile in found.links.values()}
    return {profile: engine.clicks([str(profile)]) for profile in profiles}


async def _counted(url: str) -> Counted:
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
                number = tags.number(referrer)
                if number is None:
                    unknown += 1
                else:
                    by_tag[number, link_id] += 1
            sums: Any = await connection.fetch(_ROLLUPS)
            rollups = {row["link_id"]: row["clicks"] for row in sums if row["clicks"]}
            set_aside = await connection.fetchval(_SET_ASIDE)
            return Counted(links, by_tag, raw, rollups, unknown, set_aside)
    finally:
        await connection.close()

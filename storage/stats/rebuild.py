"""A profile's day counted anew out of its raw clicks: rollups, counts by dimension, and what was compacted.

Guarantees:
- exactly once, while folding goes on: all is one transaction of one snapshot. Plain counts are made of all raw
  clicks of the snapshot, as both are committed together; counts by dimension of those whose sequence is at or
  below `dimension_counted` of their journal, as the others are still to be added. It takes its
  turn as all who write those. Plain counts that a fold changes meanwhile make it start anew; when that has
  been in vain some times, folds wait for it;
- idempotent: the same raw clicks give the same counts;
- a day is refused of which raw clicks have been deleted, as their counts could not be made again.

What was compacted stands in the live tables again, until the next compaction.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Final, TypeVar

import asyncpg

from engine.clicks import dimension_values
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.click import CLASS_MASK
from engine.clicks.dimension import TEXT_COLUMNS
from engine.common.errors import NotFoundError, UnavailableError, WaypostError
from engine.stats.raw_rows import RawClickRows
from engine.visits.classifier import RULES_VERSION, judge, pack_classification
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats import dimension_counts
from storage.stats.compaction import ProfileDay

_SQL: Final = queries.load("stats/rebuild")
_RAW: Final = _SQL["raw"].replace(
    "/*texts*/NULL::text AS texts", ", ".join(f"c.{column}" for column in TEXT_COLUMNS)
)
T = TypeVar("T")
CLICKS_AT_ONCE: Final = 50_000
LONGEST_S: Final = 1200.0
_ALL_RULES: Final = (1 << 15) - 1


class RebuildError(WaypostError):
    """The day cannot be counted anew."""


class DayRebuild:
    """Over a database of two connections or more that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def profiles(self, day: date, profile: str | None) -> list[ProfileDay]:
        """Those that have something on a UTC day: all, or the one of this handle or number. Raises
        NotFoundError."""

        async def work(connection: Connection) -> list[ProfileDay]:
            if profile is not None and not await connection.fetchval(_SQL["profile"], profile):
                raise NotFoundError(f"there is no profile {profile}")
            rows = await connection.fetch(_SQL["profiles_of"], day, profile, timeout=LONGEST_S)
            return [ProfileDay(tenant_id, profile_id, day) for tenant_id, profile_id in rows]

        return await self._database.transaction(_patient(work))

    async def rebuild(self, one: ProfileDay) -> int:
        """How many clicks were counted by dimension. Raises RebuildError."""
        return await self._alone(one, lambda connection: _rebuild(connection, one))

    async def reclassify(self, one: ProfileDay, *, everything: bool = False) -> int:
        """Judge what an older rule has judged, and count the day anew if there was any; how many clicks.
        With `everything`, what the present rule has judged too. Raises RebuildError."""

        async def work(connection: Connection) -> int:
            judged = await _judge(connection, one, _ALL_RULES if everything else RULES_VERSION)
            if judged:
                await _rebuild(connection, one)
            return judged

        return await self._alone(one, work)

    async def _alone(self, one: ProfileDay, work: Callable[[Connection], Awaitable[int]]) -> int:
        """In one snapshot, which is taken when it is this one's turn to write counts by dimension: so the
        turn is another connection's."""

        async def locked(connection: Connection) -> int:
            await connection.execute(_SQL["lock_rollups"])
            return await work(connection)

        async def in_turn(connection: Connection) -> int:
            await connection.execute(_SQL["no_idle_limit"])
            await dimension_counts.lock_profiles(connection, [one.profile_id])
            counted = await once()
            if counted is None:
                counted = await self._database.second_transaction(
                    _patient(locked), one_snapshot=True
                )
            # Who polls for statistics is told that they are others now.
            await connection.execute(_SQL["tell_readers"])
            return counted

        async def once() -> int | None:
            try:
                return await self._database.second_transaction(_patient(work), one_snapshot=True)
            except asyncpg.UniqueViolationError:
                return None  # a row that came after the snapshot
            except UnavailableError as error:
                if not isinstance(error.__cause__, asyncpg.SerializationError):
                    raise
                return None

        return await self._database.transaction(in_turn)


def _patient(work: Callable[[Connection], Awaitable[T]]) -> Callable[[Connection], Awaitable[T]]:
    async def run(connection: Connection) -> T:
        await connection.execute(_SQL["no_time_limit"])
        await connection.execute(_SQL["no_idle_limit"])
        return await work(connection)

    return run


async def _rebuild(connection: Connection, one: ProfileDay) -> int:
    since = await connection.fetchval(_SQL["kept_since"], *one[:2])
    if since is None or one.day < since:
        raise RebuildError(
            f"raw clicks of profile {one.profile_id} are kept from {since} on only: "
            f"{one.day} cannot be counted anew"
        )
    for name in (
        "forget_months", "forget_empty_months", "forget_days", "forget_quarters", "forget_rollups",
        "forget_dimensions", "count_rollups",
    ):  # fmt: skip
        await connection.execute(_SQL[name], *one, timeout=LONGEST_S)
    counted = 0
    rows = RawClickRows(*one[:2])
    async for row in connection.cursor(_RAW, *one, prefetch=1000, timeout=LONGEST_S):
        rows.add(*row)
        counted += 1
        if len(rows) == CLICKS_AT_ONCE:
            await dimension_counts.add_blocks(connection, rows.blocks())
            rows = RawClickRows(*one[:2])
    await dimension_counts.add_blocks(connection, rows.blocks())
    return counted


async def _judge(connection: Connection, one: ProfileDay, rule: int) -> int:
    texts = await connection.fetch(_SQL["texts"], *one, rule, timeout=LONGEST_S)
    judged = 0
    await connection.execute(_SQL["join_by_hash"])
    for start in range(0, len(texts), CLICKS_AT_ONCE):
        rows = [_told(*row) for row in texts[start : start + CLICKS_AT_ONCE]]
        status = await connection.execute(
            _SQL["judge"], *one, rule, RULES_VERSION, *zip(*rows, strict=True), timeout=LONGEST_S
        )
        judged += int(status.rpartition(" ")[2])
    await connection.execute(_SQL["join_as_usual"])
    return judged


def _told(
    agent_id: int | None, user_agent: str | None, referrer: str | None, header: str | None,
    utm_source: str | None,
) -> Sequence[object]:  # fmt: skip
    """A row of what `judge` takes: the texts, and what they tell."""
    agent = agents.parse(user_agent or "")
    host = referrers.referrer_host(referrer or "")
    source = dimension_values.source(host, agent, utm_source or "")
    told = (
        agent.browser,
        agent.os,
        agent.device,
        host,
        source,
        dimension_values.language(header or ""),
    )
    verdict = pack_classification(judge(user_agent or "")) & CLASS_MASK
    return (agent_id, referrer, header, utm_source, verdict, *(text or None for text in told))

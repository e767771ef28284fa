"""Rebuilding of a profile's day from its raw clicks: rollups, dimension counts and compacted rows.

Guarantees:
- exactly once, while folds go on: a rebuild is one transaction on one database snapshot. Rollups are made
  of all raw clicks of the snapshot, as a fold commits both together. Dimension counts are made of the
  clicks at or below `dimension_counted` of their journal; the dimension counter adds the others later. Like
  all writers of dimension counts, a rebuild calls lock_profiles() first. If a fold changes the rollups
  meanwhile, the rebuild starts again; after some attempts it locks the rollups, so that folds wait;
- idempotent: equal raw clicks give equal counts;
- a day with deleted raw clicks is refused, as their counts could not be made again.

Compacted rows of the day become live rows, until the next compaction.
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
from storage.postgres.session import open_cursor
from storage.stats import dimension_counts
from storage.stats.compaction import ProfileDay

_SQL: Final = queries.load("stats/rebuild")
_RAW: Final = _SQL["raw"].replace(
    "/*texts*/NULL::text AS texts", ", ".join(f"c.{column}" for column in TEXT_COLUMNS)
)
T = TypeVar("T")
CLICKS_AT_ONCE: Final = 50_000
STATEMENT_TIMEOUT_S: Final = 1200.0
_ALL_RULES: Final = (1 << 15) - 1


class RebuildError(WaypostError):
    """The day cannot be rebuilt."""


class DayRebuild:
    """Rebuilding, over a database with at least two connections that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def profiles(self, day: date, profile: str | None) -> list[ProfileDay]:
        """Return the profiles with counts or clicks on a UTC day: all, or the one with this handle or id.

        Raises NotFoundError for an unknown profile.
        """

        async def work(connection: Connection) -> list[ProfileDay]:
            if profile is not None and not await connection.fetchval(_SQL["profile"], profile):
                raise NotFoundError(f"there is no profile {profile}")
            rows = await connection.fetch(
                _SQL["profiles_of"], day, profile, timeout=STATEMENT_TIMEOUT_S
            )
            return [ProfileDay(tenant_id, profile_id, day) for tenant_id, profile_id in rows]

        return await self._database.transaction(_without_time_limit(work))

    async def rebuild(self, profile_day: ProfileDay) -> int:
        """Rebuild a day. Returns how many clicks its dimension counts have. Raises RebuildError."""
        return await self._in_one_snapshot(
            profile_day, lambda connection: _rebuild(connection, profile_day)
        )

    async def reclassify(self, profile_day: ProfileDay, *, everything: bool = False) -> int:
        """Classify clicks of an older rules version again, and rebuild the day if there are any.

        With `everything`, classifies clicks of the current version too. Returns how many clicks were
        classified. Raises RebuildError.
        """

        async def work(connection: Connection) -> int:
            reclassified = await _classify(
                connection, profile_day, _ALL_RULES if everything else RULES_VERSION
            )
            if reclassified:
                await _rebuild(connection, profile_day)
            return reclassified

        return await self._in_one_snapshot(profile_day, work)

    async def _in_one_snapshot(
        self, profile_day: ProfileDay, work: Callable[[Connection], Awaitable[int]]
    ) -> int:
        """Run `work` in one database snapshot, taken after the profile is locked: so another connection
        locks it."""

        async def locked(connection: Connection) -> int:
            await connection.execute(_SQL["lock_rollups"])
            return await work(connection)

        async def with_profile_locked(connection: Connection) -> int:
            await connection.execute(_SQL["no_idle_limit"])
            await dimension_counts.lock_profiles(connection, [profile_day.profile_id])
            clicks = await without_rollup_lock()
            if clicks is None:
                clicks = await self._database.second_transaction(
                    _without_time_limit(locked), one_snapshot=True
                )
            # Change the stats version, so that a poll gets new counts and no 304.
            await connection.execute(_SQL["change_stats_version"])
            return clicks

        async def without_rollup_lock() -> int | None:
            try:
                return await self._database.second_transaction(
                    _without_time_limit(work), one_snapshot=True
                )
            except asyncpg.UniqueViolationError:
                return None  # a fold added a row after the snapshot
            except UnavailableError as error:
                if not isinstance(error.__cause__, asyncpg.SerializationError):
                    raise
                return None

        return await self._database.transaction(with_profile_locked)


def _without_time_limit(
    work: Callable[[Connection], Awaitable[T]],
) -> Callable[[Connection], Awaitable[T]]:
    async def run(connection: Connection) -> T:
        await connection.execute(_SQL["no_time_limit"])
        await connection.execute(_SQL["no_idle_limit"])
        return await work(connection)

    return run


async def _rebuild(connection: Connection, profile_day: ProfileDay) -> int:
    since = await connection.fetchval(_SQL["kept_since"], *profile_day[:2])
    if since is None or profile_day.day < since:
        raise RebuildError(
            f"raw clicks of profile {profile_day.profile_id} are kept from {since} on: "
            f"{profile_day.day} cannot be rebuilt"
        )
    for name in (
        "subtract_from_months", "delete_empty_months", "delete_days", "delete_quarters", "delete_rollups",
        "delete_dimension_counts", "count_rollups",
    ):  # fmt: skip
        await connection.execute(_SQL[name], *profile_day, timeout=STATEMENT_TIMEOUT_S)
    clicks = 0
    rows = RawClickRows(*profile_day[:2])
    raw_clicks = await open_cursor(
        connection, _RAW, *profile_day, prefetch=1000, timeout_s=STATEMENT_TIMEOUT_S
    )
    async for row in raw_clicks:
        rows.add(*row)
        clicks += 1
        if len(rows) == CLICKS_AT_ONCE:
            await dimension_counts.add_blocks(connection, rows.blocks())
            rows = RawClickRows(*profile_day[:2])
    await dimension_counts.add_blocks(connection, rows.blocks())
    return clicks


async def _classify(connection: Connection, profile_day: ProfileDay, rule: int) -> int:
    texts = await connection.fetch(_SQL["texts"], *profile_day, rule, timeout=STATEMENT_TIMEOUT_S)
    reclassified = 0
    await connection.execute(_SQL["join_by_hash"])
    for start in range(0, len(texts), CLICKS_AT_ONCE):
        rows = [_text_row(*row) for row in texts[start : start + CLICKS_AT_ONCE]]
        status = await connection.execute(
            _SQL["classify"],
            *profile_day,
            rule,
            RULES_VERSION,
            *zip(*rows, strict=True),
            timeout=STATEMENT_TIMEOUT_S,
        )
        reclassified += int(status.rpartition(" ")[2])
    await connection.execute(_SQL["join_as_usual"])
    return reclassified


def _text_row(
    agent_id: int | None, user_agent: str | None, referrer: str | None, header: str | None,
    utm_source: str | None,
) -> Sequence[object]:  # fmt: skip
    """Return a row of parameters of the query `judge`: the texts, their classification and dimension values."""
    agent = agents.parse(user_agent or "")
    host = referrers.referrer_host(referrer or "")
    source = dimension_values.source(host, agent, utm_source or "")
    values = (
        agent.browser,
        agent.os,
        agent.device,
        host,
        source,
        dimension_values.language(header or ""),
    )
    classification = pack_classification(judge(user_agent or "")) & CLASS_MASK
    return (
        agent_id,
        referrer,
        header,
        utm_source,
        classification,
        *(text or None for text in values),
    )

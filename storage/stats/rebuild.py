"""Rebuilding of a profile's day from its raw clicks.

Guarantees:
- exactly once, while folds go on: a rebuild is one transaction on one database snapshot, in which raw clicks
  and deltas are of the same folds. It replaces all that is counted of the day by new deltas; what is folded
  meanwhile stays beside them. The day is locked against other jobs before the snapshot is taken;
- idempotent: equal raw clicks give equal counts;
- a day with deleted raw clicks is refused, as their counts could not be made again.

The day's new deltas are settled afterwards like any others.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Final, TypeVar

from engine.clicks import dimension_values
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.click import CLASS_MASK
from engine.clicks.dimension import OTHER, TEXT_COLUMNS
from engine.common.errors import NotFoundError, WaypostError
from engine.stats.packed.packed_clicks import encode
from engine.stats.packed.profile_clicks import QUARTERS, ProfileClicks, quarter_of
from engine.stats.packed.raw_rows import RawClickRows
from engine.stats.packed.repacking import repacked
from engine.stats.profile_day import ProfileDay
from engine.visits.classifier import RULES_VERSION, judge, pack_classification
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.session import open_cursor
from storage.stats import dimension_counts
from storage.stats.deltas import Delta, add_deltas
from storage.stats.segments import ClickSegment, add_segments, piece_of
from storage.stats.settling import settle, wait_for_days

_SQL: Final = queries.load("stats/rebuild")
RAW: Final = _SQL["raw"].replace(
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
        """Rebuild a day. Returns how many clicks it counts. Raises RebuildError."""
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
        """Run `work` in a snapshot that is taken after the day is locked, so by another connection."""
        # The first day of the month is the lock of a segment of the whole month.
        days = {profile_day, profile_day._replace(day=profile_day.day.replace(day=1))}

        async def with_day_locked(connection: Connection) -> int:
            await connection.execute(_SQL["no_idle_limit"])
            await wait_for_days(connection, sorted(days))
            # Days before counts, as settling does, or both could deadlock.
            await dimension_counts.lock_profiles(connection, [profile_day.profile_id])
            clicks = await self._database.second_transaction(
                _without_time_limit(work), one_snapshot=True
            )
            # Change the stats version, so that a poll gets new counts and no 304.
            await connection.execute(_SQL["change_stats_version"])
            return clicks

        clicks = await self._database.transaction(with_day_locked)
        await settle(self._database, [profile_day])
        return clicks


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
        "delete_dimension_counts", "delete_deltas", "delete_damaged_deltas",
    ):  # fmt: skip
        await connection.execute(_SQL[name], *profile_day, timeout=STATEMENT_TIMEOUT_S)
    await _cut_out_of_segments(connection, profile_day)
    clicks = 0
    rows = RawClickRows()
    raw_clicks = await open_cursor(
        connection, RAW, *profile_day, prefetch=1000, timeout_s=STATEMENT_TIMEOUT_S
    )
    async for row in raw_clicks:
        rows.add(*row)
        clicks += 1
        if len(rows) == CLICKS_AT_ONCE:
            await _add(connection, profile_day, rows)
            rows = RawClickRows()
    if len(rows):
        await _add(connection, profile_day, rows)
    return clicks


async def _add(connection: Connection, day: ProfileDay, rows: RawClickRows) -> None:
    await add_deltas(connection, [Delta(*day, len(rows), encode(rows.packed()))])


async def _cut_out_of_segments(connection: Connection, day: ProfileDay) -> None:
    """Delete the day's segments, and cut the day out of a segment of its whole month."""
    first = quarter_of(day.day)
    for row in await connection.fetch(_SQL["take_segments"], *day):
        clicks = ProfileClicks([piece_of(row)])
        others = (clicks.quarters < first) | (clicks.quarters >= first + QUARTERS)
        if others.any():
            rest = repacked(clicks, row["day"], as_segment=True, chosen=others)
            of = (row["tenant_id"], row["profile_id"], row["day"], row["part"], row["days"])
            await add_segments(connection, [ClickSegment(*of, row["in_tables"], rest)])


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
    """Return a row of parameters of the query `classify`: the texts, their classification and dimension values.

    The classification is None where the user agent was not kept (engine/clicks/new_texts.py)."""
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
    classification = (
        None if user_agent == OTHER else pack_classification(judge(user_agent or "")) & CLASS_MASK
    )
    return (
        agent_id,
        referrer,
        header,
        utm_source,
        classification,
        *(text or None for text in values),
    )

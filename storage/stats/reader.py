"""Stats read from Postgres: answers to questions, all from one database snapshot.

An answer comes from stored counts (storage/stats/reading/counts_reading.py), or of two crossed dimensions from
packed clicks (storage/stats/crossed.py). Everything is read under the tenant's row-level security. Postgres
ends a statement at the time limit, and of many questions none begins after MAX_BATCH_S.
"""

import contextlib
import time
from collections.abc import Sequence
from datetime import date
from typing import Final

import asyncpg
import msgspec

from engine.accounts.access import Caller
from engine.clicks.dimension import Dimension
from engine.common.errors import InvalidError, SlowQueryError
from engine.stats import hour_of_week
from engine.stats.conversion_merge import counts_query, question_of, with_conversions
from engine.stats.conversion_question import NO_CONVERSIONS
from engine.stats.plan import CrossedPlan, plan
from engine.stats.ports import (
    ProfileKey,
    ProfileQuestion,
    QuestionError,
    RecentAnswer,
    RecentQuestion,
)
from engine.stats.query import StatsQuery, compared_query
from engine.stats.result import LinkName, Stats
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats.conversion_sums import conversion_sums
from storage.stats.crossed import crossed
from storage.stats.reading.counts_reading import CountsReading, TotalsByStatement
from storage.stats.reading.recent import recent_answer
from storage.stats.reading.snapshot_clicks import SnapshotClicks

_SQL: Final = queries.load("stats/stats")
MAX_BATCH_S: Final = 10.0
_TOO_MANY: Final = "the questions take too long together; ask fewer of them"


class PostgresStatsReader:
    """StatsReader over a database that was opened as waypost_app. `timeout_ms` bounds each statement."""

    def __init__(self, database: Database, timeout_ms: int = 2_000) -> None:
        self._database = database
        self._timeout_ms = timeout_ms

    async def stats(self, tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
        try:
            ((stats,), _) = await self.answers(tenant_id, [ProfileQuestion(profile_id, query)])
        except QuestionError as error:
            raise InvalidError(error.causes) from None
        return stats

    async def answers(
        self,
        tenant_id: int,
        questions: Sequence[ProfileQuestion],
        recent: RecentQuestion | None = None,
    ) -> tuple[list[Stats], RecentAnswer | None]:
        async def work(connection: Connection) -> tuple[list[Stats], RecentAnswer | None]:
            await connection.execute(_SQL["limits"], str(self._timeout_ms))
            last_start = time.monotonic() + MAX_BATCH_S
            try:
                answers: list[Stats] = []
                snapshot = _SnapshotReader(connection)
                snapshot.expect(tenant_id, questions)
                for number, (profile_id, query) in enumerate(questions):
                    if answers and time.monotonic() > last_start:
                        raise SlowQueryError(_TOO_MANY)
                    try:
                        profile = ProfileKey(tenant_id, profile_id)
                        answers.append(await snapshot.answer(profile, query))
                    except InvalidError as error:
                        raise QuestionError(number, error.errors) from None
                if recent is None:
                    return answers, None
                profile = ProfileKey(tenant_id, recent.profile_id)
                return answers, await recent_answer(connection, profile, recent)
            except asyncpg.QueryCanceledError:
                raise SlowQueryError(
                    "the query takes too long; ask for a shorter period, a longer interval, "
                    "fewer groups or a lower limit"
                ) from None

        return await self._database.transaction(work, caller=Caller(tenant_id, 0), read_only=True)

    async def first_day(self, tenant_id: int, profile_id: int) -> date | None:
        async def work(connection: Connection) -> date | None:
            await connection.execute(_SQL["limits"], str(self._timeout_ms))
            day: date | None = await connection.fetchval(_SQL["first_day"], tenant_id, profile_id)
            return day

        return await self._database.transaction(work, caller=Caller(tenant_id, 0), read_only=True)

    async def versions(self, profiles: Sequence[ProfileKey]) -> dict[ProfileKey, str]:
        async def work(connection: Connection) -> dict[ProfileKey, str]:
            columns = zip(*profiles, strict=True)
            rows = await connection.fetch(_SQL["stats_versions"], *columns)
            return {ProfileKey(*key): version for *key, version in rows}

        return await self._database.transaction(work, read_only=True)


class _SnapshotReader:
    """A reader of answers from one snapshot. Many questions of a page are about one period, so its packed
    clicks and the totals of a statement are read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clicks = SnapshotClicks(connection)
        self._totals: TotalsByStatement = {}

    def expect(self, tenant_id: int, questions: Sequence[ProfileQuestion]) -> None:
        """Note what questions need, so that it is read together."""
        for profile_id, query in questions:
            if query.by_hour_of_week:
                query = hour_of_week.hourly(query)
            with contextlib.suppress(InvalidError):  # its answer says what is wrong
                planned = plan(query)
                if not isinstance(planned, CrossedPlan):
                    self._clicks.expect(ProfileKey(tenant_id, profile_id), query, planned)

    async def answer(self, profile: ProfileKey, query: StatsQuery) -> Stats:
        stats = await self._converted(profile, query)
        if query.comparison is not None:
            groups = tuple(dict.fromkeys(row.values for row in stats.rows))
            compared = await self._converted(
                profile, compared_query(query, query.comparison, groups)
            )
            stats = msgspec.structs.replace(stats, compared=compared)
        if Dimension.LINK not in query.groups:
            return stats
        return msgspec.structs.replace(stats, links=await self._names(profile, query, stats))

    async def _converted(self, profile: ProfileKey, query: StatsQuery) -> Stats:
        """Return the counts, with conversions if the query has metrics of them."""
        if not query.conversions:
            return await self._counted(profile, query)
        sums = await conversion_sums(self._connection, *profile, question_of(query))
        totals = await conversion_sums(self._connection, *profile, question_of(query, total=True))
        counts = counts_query(query, sums)
        stats = await self._counted(profile, counts)
        return with_conversions(counts, stats, sums, totals.get(((), 1), NO_CONVERSIONS))

    async def _counted(self, profile: ProfileKey, query: StatsQuery) -> Stats:
        if query.by_hour_of_week:
            series = await self._counted(profile, hour_of_week.hourly(query))
            return hour_of_week.folded(query, series)
        planned = plan(query)
        if isinstance(planned, CrossedPlan):
            return await crossed(self._connection, profile, query, planned)
        reading = CountsReading(
            self._connection, profile, query, planned, self._clicks, self._totals
        )
        return await reading.stats()

    async def _names(
        self, profile: ProfileKey, query: StatsQuery, stats: Stats
    ) -> dict[str, LinkName]:
        place = query.groups.index(Dimension.LINK)
        links = sorted({int(row.values[place]) for row in stats.rows})
        rows = await self._connection.fetch(_SQL["link_names"], *profile, links)
        return {str(link): LinkName(*names) for link, *names in rows}

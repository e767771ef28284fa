"""Packed clicks of the questions of one snapshot. Many questions of a page are about one period, so the pieces
of a period are read and unpacked once for all, if they have few clicks."""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime
from typing import NamedTuple

from engine.stats.packed.column_sums import columns_of
from engine.stats.plan import CountsPlan
from engine.stats.ports import ProfileKey
from engine.stats.query import StatsQuery
from storage.postgres.database import Connection
from storage.stats.packed_sums import KEPT_CLICKS, MAX_CLICKS, PackedSums
from storage.stats.pieces import COLUMNS, StoredPieces, read_pieces, require_few, utc_days


class PeriodClicks(NamedTuple):
    """The packed clicks of a period, with the `columns` that were read, and facts as of StoredPieces."""

    sums: PackedSums
    columns: frozenset[str]
    clicks: int
    has_tables: bool
    as_of: datetime | None


_Period = tuple[ProfileKey, date, date]


class SnapshotClicks:
    """The packed clicks of periods in one snapshot. Those of KEPT_CLICKS clicks in all are kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._expected: defaultdict[_Period, set[str]] = defaultdict(set)
        self._kept: dict[_Period, PeriodClicks] = {}

    def expect(self, profile: ProfileKey, query: StatsQuery, planned: CountsPlan) -> None:
        """Read what this question needs together with what others need of its period."""
        self._expected[_period(profile, query)] |= _columns(planned)

    async def of(self, profile: ProfileKey, query: StatsQuery, planned: CountsPlan) -> PeriodClicks:
        """Return the clicks of a question's period. Raises InvalidError if they are too many."""
        period, columns = _period(profile, query), _columns(planned)
        kept = self._kept.get(period)
        if kept is not None and columns <= kept.columns:
            return kept
        together = columns | self._expected.get(period, set())
        if together != columns:
            stored = await self._read(period, together, KEPT_CLICKS)
            if stored.clicks <= KEPT_CLICKS:
                return self._keep(period, together, stored)
        stored = await self._read(period, columns, MAX_CLICKS)
        require_few(stored.clicks, MAX_CLICKS, "a question counts")
        return self._keep(period, columns, stored)

    async def _read(
        self, period: _Period, columns: Collection[str], max_clicks: int
    ) -> StoredPieces:
        profile, first, last = period
        return await read_pieces(
            self._connection, *profile, first, last, columns, max_clicks=max_clicks
        )

    def _keep(self, period: _Period, columns: set[str], stored: StoredPieces) -> PeriodClicks:
        # Where there are no pieces, they have no other columns either.
        known = columns if stored.clicks else COLUMNS
        clicks = PeriodClicks(
            PackedSums(stored), frozenset(known), stored.clicks, stored.has_tables, stored.as_of
        )
        if stored.clicks <= KEPT_CLICKS:
            if sum(kept.clicks for kept in self._kept.values()) + stored.clicks > KEPT_CLICKS:
                self._kept.clear()
            self._kept[period] = clicks
        return clicks


def _period(profile: ProfileKey, query: StatsQuery) -> _Period:
    return (profile, *utc_days(query.start, query.end))


def _columns(planned: CountsPlan) -> set[str]:
    return set[str]().union(*(columns_of(each) for each in planned if each is not None))

"""Packed clicks of the questions of one snapshot. Many questions of a page are about one period, so the pieces
of a period are read and unpacked once for all, if they have few clicks. Of days that no question cuts, the sums
are read instead."""

from datetime import date, datetime
from typing import NamedTuple

from engine.stats.packed.column_sums import columns_of
from engine.stats.packed.day_sums import days_by_sums, part_number
from engine.stats.plan import CountsPlan
from engine.stats.ports import ProfileKey
from engine.stats.query import StatsQuery
from storage.postgres.database import Connection
from storage.stats.packed_sums import KEPT_CLICKS, MAX_CLICKS, PackedSums
from storage.stats.pieces import (
    COLUMNS,
    DaysBySums,
    StoredPieces,
    read_pieces,
    require_few,
    utc_days,
)


class PeriodClicks(NamedTuple):
    """The packed clicks of a period, what was read of them, and facts as of StoredPieces."""

    sums: PackedSums
    needs: "Needs"
    clicks: int
    has_tables: bool
    as_of: datetime | None


_Period = tuple[ProfileKey, date, date]


class Needs(NamedTuple):
    """Columns that statements need of a period's pieces, the days of which sums will do, and the parts of those
    (engine/stats/packed/day_sums.py)."""

    columns: frozenset[str]
    by_sums: frozenset[date]
    parts: frozenset[int]

    def with_(self, other: "Needs") -> "Needs":
        return Needs(
            self.columns | other.columns, self.by_sums & other.by_sums, self.parts | other.parts
        )

    def includes(self, other: "Needs") -> bool:
        same_parts = other.parts <= self.parts or not self.by_sums
        return other.columns <= self.columns and self.by_sums <= other.by_sums and same_parts


class SnapshotClicks:
    """The packed clicks of periods in one snapshot. Those of KEPT_CLICKS clicks in all are kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._expected: dict[_Period, Needs] = {}
        self._kept: dict[_Period, PeriodClicks] = {}

    def expect(self, profile: ProfileKey, query: StatsQuery, planned: CountsPlan) -> None:
        """Read what this question needs together with what others need of its period."""
        period = _period(profile, query)
        needs = _needs(period, planned)
        self._expected[period] = needs.with_(self._expected.get(period, needs))

    async def of(self, profile: ProfileKey, query: StatsQuery, planned: CountsPlan) -> PeriodClicks:
        """Return the clicks of a question's period. Raises InvalidError if they are too many."""
        period = _period(profile, query)
        needs = _needs(period, planned)
        kept = self._kept.get(period)
        if kept is not None and kept.needs.includes(needs):
            return kept
        together = needs.with_(self._expected.get(period, needs))
        if together != needs:
            stored = await self._read(period, together, KEPT_CLICKS)
            if stored.clicks <= KEPT_CLICKS:
                return self._keep(period, together, stored)
        stored = await self._read(period, needs, MAX_CLICKS)
        require_few(stored.clicks, MAX_CLICKS, "a question counts")
        return self._keep(period, needs, stored)

    async def _read(self, period: _Period, needs: Needs, max_clicks: int) -> StoredPieces:
        profile, first, last = period
        return await read_pieces(
            self._connection,
            *profile,
            first,
            last,
            needs.columns,
            max_clicks=max_clicks,
            by_sums=DaysBySums(needs.by_sums, sorted(needs.parts)),
        )

    def _keep(self, period: _Period, needs: Needs, stored: StoredPieces) -> PeriodClicks:
        if not stored.clicks and not stored.summed:
            # Where there are no pieces, they have no other columns either.
            needs = Needs(frozenset(COLUMNS), frozenset(), frozenset())
        clicks = PeriodClicks(
            PackedSums(stored, sorted(needs.parts)),
            needs,
            stored.clicks,
            stored.has_tables,
            stored.as_of,
        )
        if stored.clicks <= KEPT_CLICKS:
            if sum(kept.clicks for kept in self._kept.values()) + stored.clicks > KEPT_CLICKS:
                self._kept.clear()
            self._kept[period] = clicks
        return clicks


def _period(profile: ProfileKey, query: StatsQuery) -> _Period:
    return (profile, *utc_days(query.start, query.end))


def _needs(period: _Period, planned: CountsPlan) -> Needs:
    _, first, last = period
    statements = [each for each in planned if each is not None]
    days = [days_by_sums(each, first, last) for each in statements]
    by_sums = frozenset(days[0].intersection(*days)) if days else frozenset[date]()
    return Needs(
        frozenset[str]().union(*(columns_of(each) for each in statements)),
        by_sums,
        frozenset(part_number(each.dimension) for each in statements if by_sums),
    )

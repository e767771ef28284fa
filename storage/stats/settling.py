"""Settling of deltas: they are merged, packed as segments, or counted in the tables of hot days.

Guarantees:
- exactly once, whatever is killed: a transaction deletes what it takes, `DELETE … RETURNING`, and inserts the
  same clicks elsewhere. So every snapshot has each click once;
- two jobs never work on one profile's day: each locks its row of `profile_days` first, and leaves out days
  that are locked already. Folds are not locked out: they only insert;
- no order matters: a day may be settled at any time and any number of times.

| the day | its deltas become |
|---|---|
| hot | counts in rollups and dimension counts, and a segment that is `in_tables`, for crossed questions; own events a segment that is in no table |
| more than HOT_CLICKS clicks | hot, with the segments that it has; but not if its month is packed: visitors of one day cannot be told apart between a table and a segment |
| as many, but thin (engine/stats/packed/table_rows.py), today | segments, few as each takes smaller ones into itself; while the profile has no more than MAX_THIN_CLICKS such clicks, as questions read them all |
| before today, UTC, with PACKED_FROM clicks or a segment | a segment, together with that of the day |
| any other | one delta |
"""  # noqa: E501  # the table is read as it stands

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final, NamedTuple

from engine.operations.metrics import Metric, Sample
from engine.stats.packed.packed_clicks import decode, encode
from engine.stats.packed.profile_clicks import Piece, ProfileClicks
from engine.stats.packed.repacking import count_columns, repacked, rollups_of, without_events
from engine.stats.packed.table_rows import is_thin
from engine.stats.profile_day import HOT_CLICKS, HOT_DELTA_CLICKS, MAX_DELTAS, ProfileDay
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.stats import dimension_counts
from storage.stats.damaged_deltas import DAMAGE, set_damaged_aside
from storage.stats.deltas import Delta, add_deltas
from storage.stats.segments import ClickSegment, add_segments, piece_of

_SQL: Final = queries.load("stats/settling")
LISTED_AT_ONCE: Final = 5_000
DAYS_AT_ONCE: Final = 200
STATEMENT_TIMEOUT_S: Final = 1_200.0
PACKED_FROM: Final = 64  # clicks: columns of fewer take more space than a delta
CLICKS_AT_ONCE: Final = 50_000  # in a transaction, and one delta more
MAX_MERGED_EVENTS: Final = 300_000  # own events of a finished hot day that become one segment
EVENT_PART: Final = 1_000_000  # the first part of a hot day's own events, beside those in tables
MAX_PART_CLICKS: Final = 100_000  # of a large day's segments that are put together
MAX_THIN_CLICKS: Final = (
    300_000  # of a profile's thin days; when it has more, the next ones are hot
)

DAMAGED_DELTAS: Final = Metric(
    "waypost_damaged_deltas_total",
    "Deltas that could not be unpacked and were set aside, until their day is rebuilt",
)


class _Settled(NamedTuple):
    """Of one transaction: the clicks that were taken, how many of them are in no delta now, and large days."""

    clicks: int
    moved: int
    large: set[ProfileDay]


class _SortedDays(NamedTuple):
    """Days by what their deltas become."""

    merged: list[ProfileDay]
    parts: list[ProfileDay]
    finished: list[ProfileDay]
    hot: list[ProfileDay]
    promoted: list[ProfileDay]
    large: set[ProfileDay]


class PostgresDeltaStore:
    """DeltaStore over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

        self.damaged = 0

    async def settle(self, days: Sequence[ProfileDay]) -> tuple[int, set[ProfileDay]]:
        return await settle(self._database, days, on_damaged=self._note_damaged)

    def _note_damaged(self, deltas: int) -> None:
        self.damaged += deltas

    def samples(self) -> list[Sample]:
        return [DAMAGED_DELTAS.sample(self.damaged)]

    async def busy_days(self, limit: int) -> list[ProfileDay]:
        async def work(connection: Connection) -> list[ProfileDay]:
            rows = await connection.fetch(_SQL["busy_days"], MAX_DELTAS, HOT_CLICKS, limit)
            return [ProfileDay(*row) for row in rows]

        return await self._database.transaction(work)


async def settle(
    database: Database,
    days: Sequence[ProfileDay],
    *,
    pack_few: bool = False,
    on_damaged: Callable[[int], None] = lambda deltas: None,
) -> tuple[int, set[ProfileDay]]:
    """Settle the deltas of these days, in as many transactions as that takes.

    Returns the clicks in them, and which days are large: hot or thin. With `pack_few`, finished days become
    segments however few clicks they have. `on_damaged` is called with the number of deltas that were set aside
    as they cannot be unpacked.
    """

    async def work(connection: Connection) -> _Settled:
        return await _settle(connection, sorted(set(days)), pack_few)

    async def set_aside(connection: Connection) -> int:
        locked = await lock_days(connection, sorted(set(days)))
        return await set_damaged_aside(connection, list(locked)) if locked else 0

    clicks, large = 0, set[ProfileDay]()
    while days:
        try:
            settled = await database.transaction(work)
        except DAMAGE:
            damaged = await database.transaction(set_aside)
            if not damaged:
                raise
            on_damaged(damaged)
            continue
        clicks += settled.clicks
        large |= settled.large
        if settled.moved < CLICKS_AT_ONCE:
            break
    return clicks, large


async def _settle(connection: Connection, days: Sequence[ProfileDay], pack_few: bool) -> _Settled:
    locked = await lock_days(connection, days)
    if not locked:
        return _Settled(0, 0, set())
    deltas: defaultdict[ProfileDay, list[Piece]] = defaultdict(list)
    for day, data in await take_deltas(connection, list(locked)):
        deltas[day].append(Piece(day.day, decode(data)))
    counts = {day: sum(piece.clicks.clicks for piece in of) for day, of in deltas.items()}
    of = await _sort(connection, locked, deltas, counts, pack_few)
    await _merge(connection, {day: deltas[day] for day in of.merged})
    await _pack(connection, {day: deltas[day] for day in of.finished}, hot=locked)
    for day in of.parts:
        await _add_part(connection, day, deltas[day], in_tables=False)
    await _promote(connection, of.promoted, deltas)
    if in_tables := sorted(of.hot + of.promoted):
        # All at once, in the order of their locks, or two jobs could deadlock.
        await dimension_counts.lock_profiles(connection, {day.profile_id for day in in_tables})
        for day in in_tables:
            await _count_in_tables(connection, day, deltas[day])
    clicks = sum(counts.values())
    return _Settled(clicks, clicks - sum(counts[day] for day in of.merged), of.large)


async def _sort(
    connection: Connection,
    locked: dict[ProfileDay, bool],
    deltas: dict[ProfileDay, list[Piece]],
    counts: dict[ProfileDay, int],
    pack_few: bool,
) -> _SortedDays:
    columns = list(zip(*locked, strict=True))
    packed: dict[ProfileDay, int] = {}
    in_segments = set[ProfileDay]()
    for *key, clicks, segments in await connection.fetch(_SQL["packed_clicks"], *columns):
        day = ProfileDay(*key)
        packed[day] = clicks
        if segments > 1 and not (locked[day] and clicks > MAX_MERGED_EVENTS):
            in_segments.add(day)
    of_months = {
        ProfileDay(*key) for key in await connection.fetch(_SQL["days_of_packed_months"], *columns)
    }
    today: date = await connection.fetchval(_SQL["today"])
    many = {
        day for day, clicks in counts.items()
        if not locked[day] and clicks + packed.get(day, 0) > HOT_CLICKS and day not in of_months
    }  # fmt: skip
    thin = await _thin_days(connection, {day: deltas[day] for day in sorted(many)})
    of = _SortedDays(
        [], [], [], [], [], thin | {day for day in counts if locked[day] or day in many}
    )
    for day, clicks in counts.items():
        few = clicks < HOT_DELTA_CLICKS
        if locked[day]:
            (of.merged if day.day >= today and few else of.hot).append(day)
        elif day in many - thin:
            of.promoted.append(day)
        elif day.day >= today:
            (of.parts if day in thin and not few else of.merged).append(day)
        else:
            alone = clicks < PACKED_FROM and day not in packed and not pack_few
            (of.merged if alone else of.finished).append(day)
    of.finished.extend(day for day in in_segments if day not in counts and day.day < today)
    return of


async def _thin_days(
    connection: Connection, deltas: dict[ProfileDay, list[Piece]]
) -> set[ProfileDay]:
    """Return the days that stay packed as tables would hold almost as many rows as clicks."""
    clicks = {day: ProfileClicks(pieces) for day, pieces in deltas.items()}
    thin = [day for day in deltas if is_thin(clicks[day])]
    if not thin:
        return set()
    profiles = sorted({day[:2] for day in thin})
    rows = await connection.fetch(_SQL["thin_clicks"], *zip(*profiles, strict=True), HOT_CLICKS)
    packed = Counter({(tenant_id, profile_id): count for tenant_id, profile_id, count in rows})
    days = set[ProfileDay]()
    for day in thin:
        packed[day[:2]] += len(clicks[day])
        if packed[day[:2]] <= MAX_THIN_CLICKS:
            days.add(day)
    return days


async def lock_days(connection: Connection, days: Sequence[ProfileDay]) -> dict[ProfileDay, bool]:
    """Lock days against other jobs until the transaction ends. Returns the free days, each with `hot`."""
    columns = list(zip(*sorted(days), strict=True))
    if not columns:
        return {}
    await connection.execute(_SQL["add_days"], *columns)
    rows = await connection.fetch(_SQL["lock_days"], *columns)
    return {ProfileDay(*key): hot for *key, hot in rows}


async def wait_for_days(connection: Connection, days: Sequence[ProfileDay]) -> None:
    """Lock days against other jobs until the transaction ends, and wait for jobs that have them."""
    columns = list(zip(*sorted(days), strict=True))
    locked = 0
    while locked < len(days):  # a job that is waited for may delete the rows
        await connection.execute(_SQL["add_days"], *columns)
        locked = len(await connection.fetch(_SQL["wait_for_days"], *columns))


async def take_deltas(
    connection: Connection, days: Sequence[ProfileDay]
) -> list[tuple[ProfileDay, bytes]]:
    """Delete deltas of days that are locked, until they have CLICKS_AT_ONCE. Returns their data by day."""
    columns = zip(*days, strict=True)
    rows = await connection.fetch(_SQL["take_deltas"], *columns, CLICKS_AT_ONCE)
    return [(ProfileDay(*key), data) for *key, data in rows]


async def settle_finished(database: Database, report: Callable[[int], None]) -> int:
    """Settle days before today, UTC, whose deltas should be fewer or packed. Returns how many there were."""
    return await _settle_listed(database, "finished_days", (PACKED_FROM,), report, pack_few=False)


async def settle_expired(database: Database) -> int:
    """Pack the deltas of days whose raw clicks have ended, so that their pseudonyms can be deleted. Returns the
    number of days."""
    return await _settle_listed(database, "expired_days", (), lambda done: None, pack_few=True)


async def _settle_listed(
    database: Database,
    query: str,
    values: tuple[int, ...],
    report: Callable[[int], None],
    *,
    pack_few: bool,
) -> int:
    settled, last = 0, ProfileDay(0, 0, date.min)
    while True:

        async def work(connection: Connection, last: ProfileDay = last) -> list[ProfileDay]:
            await connection.execute(_SQL["no_time_limit"])
            rows = await connection.fetch(
                _SQL[query], *last, LISTED_AT_ONCE, *values, timeout=STATEMENT_TIMEOUT_S
            )
            return [ProfileDay(*row) for row in rows]

        days = await database.transaction(work)
        for start in range(0, len(days), DAYS_AT_ONCE):
            chunk = days[start : start + DAYS_AT_ONCE]
            await settle(database, chunk, pack_few=pack_few)
            settled += len(chunk)
            report(settled)
        if len(days) < LISTED_AT_ONCE:
            return settled
        last = days[-1]


async def _merge(connection: Connection, deltas: dict[ProfileDay, list[Piece]]) -> None:
    rows = []
    for day, pieces in deltas.items():
        clicks = ProfileClicks(pieces)
        rows.append(Delta(*day, len(clicks), encode(repacked(clicks, day.day, as_segment=False))))
    await add_deltas(connection, rows)


async def _pack(
    connection: Connection, deltas: dict[ProfileDay, list[Piece]], hot: dict[ProfileDay, bool]
) -> None:
    """Write the days' deltas, and the segments that they have in no table, as one segment each. Those of `hot`
    days are own events."""
    if not deltas:
        return
    await _add_segments_of(connection, deltas)
    await add_segments(
        connection,
        (
            ClickSegment(
                *day,
                EVENT_PART if hot[day] else 0,
                1,
                False,
                repacked(ProfileClicks(pieces), day.day, as_segment=True),
            )
            for day, pieces in deltas.items()
        ),
    )


async def _promote(
    connection: Connection, days: Sequence[ProfileDay], deltas: dict[ProfileDay, list[Piece]]
) -> None:
    """Make days hot, and take their segments as well."""
    if days:
        await connection.execute(_SQL["make_hot"], *zip(*days, strict=True))
        await _add_segments_of(connection, {day: deltas[day] for day in days})


async def _add_segments_of(connection: Connection, pieces: dict[ProfileDay, list[Piece]]) -> None:
    """Take the segments of days that are in no table, and add them to the days' pieces."""
    for row in await connection.fetch(_SQL["take_segments"], *zip(*pieces, strict=True)):
        pieces[ProfileDay(*row[:3])].append(piece_of(row))


async def _count_in_tables(
    connection: Connection, day: ProfileDay, pieces: Sequence[Piece]
) -> None:
    """Add clicks of a hot day to its tables, and keep them packed for crossed questions. Own events are only
    packed."""
    clicks, events = without_events(ProfileClicks(pieces), day.day)
    if events is not None:
        await _add_part(
            connection, day, [Piece(day.day, events)], in_tables=False, first=EVENT_PART
        )
        pieces = clicks.pieces
        if not pieces:
            return
    await connection.execute(_SQL["add_to_rollups"], *day[:2], *rollups_of(clicks))
    columns = count_columns(clicks, day.tenant_id, day.profile_id)
    await dimension_counts.add_blocks(connection, columns.blocks())
    await _add_part(connection, day, pieces, in_tables=True)


async def _add_part(
    connection: Connection,
    day: ProfileDay,
    pieces: Sequence[Piece],
    *,
    in_tables: bool,
    first: int = 0,
) -> None:
    """Add a segment to a large day, together with its latest ones that have no more clicks; `first` is the
    number of the day's first one.

    So a day has few segments, and a click is packed again only as often as they double.
    """
    parts = await connection.fetch(_SQL["parts"], *day, in_tables)
    if parts:
        first = parts[0]["part"] + 1
    size = sum(piece.clicks.clicks for piece in pieces)
    for part, clicks in parts:
        if clicks > size or clicks + size > MAX_PART_CLICKS:
            break
        first, size = part, size + clicks
    taken = await connection.fetch(_SQL["take_parts"], *day, in_tables, first)
    clicks = ProfileClicks([*map(piece_of, taken), *pieces])
    packed = repacked(clicks, day.day, as_segment=True)
    await add_segments(connection, [ClickSegment(*day, first, 1, in_tables, packed)])

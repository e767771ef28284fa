"""Recent activity of a profile: its active visitors and latest clicks, from raw clicks.

Raw clicks of the running day have no index by profile. So the quarters of an hour in which the profile has
clicks are looked up in its packed clicks first, and only those are read.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from engine.clicks.click import CLASS_MASK, COUNTED_CLASSES
from engine.clicks.dimension import SPECS
from engine.stats.packed.profile_clicks import ProfileClicks
from engine.stats.ports import LatestClick, ProfileKey, RecentAnswer, RecentQuestion
from engine.stats.result import LinkName
from storage.postgres import queries
from storage.postgres.database import Connection
from storage.stats.packed_sums import MAX_CLICKS
from storage.stats.pieces import pieces_of, read_pieces

_SQL: Final = queries.load("stats/reading/recent")
_LIVE: Final = {
    spec.column: dimension.name.lower()
    for dimension, spec in SPECS.items()
    if spec.live and spec.column
}
_LATEST: Final = _SQL["latest"].format(texts=", ".join(_LIVE))
_DAY: Final = timedelta(days=1)
_QUARTER: Final = timedelta(minutes=15)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLASSES: Final = (CLASS_MASK, [int(each) for each in COUNTED_CLASSES])
QUARTERS_AT_ONCE: Final = 8
LATEST_DAYS: Final = 7  # how far back the latest clicks are looked for


async def recent_answer(
    connection: Connection, profile: ProfileKey, question: RecentQuestion
) -> RecentAnswer:
    visitors = None
    if question.active_since is not None:
        visitors = await connection.fetchval(
            _SQL["active_visitors"], *profile, *_CLASSES, question.active_since
        )
    latest = None
    if question.latest is not None:
        latest = await _latest(connection, profile, question.now, question.latest)
    return RecentAnswer(visitors, latest)


async def _latest(
    connection: Connection, profile: ProfileKey, now: datetime, limit: int
) -> list[LatestClick]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = await _quarters(connection, profile, today)
    rows: list[tuple[Any, ...]] = []

    async def add(starts: list[datetime], length: timedelta) -> None:
        rest = limit - len(rows)
        latest = await connection.fetch(_LATEST, *profile, *_CLASSES, starts, length, rest)
        rows.extend(tuple(row) for row in latest)

    while starts and len(rows) < limit:
        await add(starts[-QUARTERS_AT_ONCE:], _QUARTER)
        del starts[-QUARTERS_AT_ONCE:]
    if len(rows) < limit:
        await add([today - LATEST_DAYS * _DAY], LATEST_DAYS * _DAY)
    return [_click(row) for row in rows]


async def _quarters(connection: Connection, profile: ProfileKey, today: datetime) -> list[datetime]:
    """Return the starts of the quarters of an hour in which the profile has clicks today, or seems to."""
    day = today.date()
    stored = await read_pieces(
        connection, *profile, day, day + _DAY, (), max_clicks=MAX_CLICKS, in_tables=True
    )
    if stored.clicks > MAX_CLICKS:
        return [today + n * _QUARTER for n in range(96)]
    pieces = pieces_of([*stored.packed, *stored.pending, *stored.in_tables])
    quarters = np.unique(ProfileClicks(pieces).quarters).tolist()
    starts = [_EPOCH + quarter * _QUARTER for quarter in quarters]
    return [start for start in starts if start >= today]


def _click(row: tuple[Any, ...]) -> LatestClick:
    at, link_id, handle, slug, title, kind, trigger, *texts = row
    known = dict(zip(_LIVE.values(), texts, strict=True))
    values = {"trigger": trigger, "kind": kind, **known}
    name = None if slug is None and link_id else LinkName(handle, slug, title)
    return LatestClick(at, link_id, name, {key: text for key, text in values.items() if text})

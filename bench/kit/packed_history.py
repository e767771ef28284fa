"""A year of packed clicks of many profiles, written as the settling of deltas leaves them.

One profile is as busy as a profile can be whose days are not hot: a segment for each of its days. All others
are quiet: a segment for each month. Segments are packed once for the busy profile and once for a quiet one, and
copied for the rest with the same links, as only the busy one is asked.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench.kit.click_history import DAYS, SIZES, value_name, zipf
from engine.clicks.click import ClickKind, VisitorClass
from engine.clicks.dimension import TEXT_COLUMNS, Dimension
from engine.clicks.record_items import Trigger
from engine.stats.packed.profile_clicks import QUARTERS, Piece, ProfileClicks
from engine.stats.packed.raw_rows import RawClickRows
from engine.stats.packed.repacking import repacked
from storage.postgres import queries
from storage.stats.segments import ClickSegment, add_segments

BUSY_CLICKS: Final = 1_900  # a day; a day of more than 2,000 clicks is hot
_SQL: Final = queries.queries(Path(__file__).with_suffix(".sql").read_text("utf-8"))
_VALUES: Final = 1_000  # combinations of values that clicks choose from


async def write(
    connection: "asyncpg.Connection[Any]", profile_id: int, clicks: int, now: datetime
) -> None:
    """Replace all counts by `clicks` clicks of a year: those of the busy profile `profile_id`, and the rest
    shared by the other profiles."""
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=n) for n in range(DAYS - 1, -1, -1)]
    await connection.execute(_SQL["no_counts"])
    tenant_id = await connection.fetchval(_SQL["tenant"], profile_id)
    links = [row[0] for row in await connection.fetch(_SQL["links"], profile_id)]
    packer = _Packer(tenant_id, links)
    busy = [packer.segment(profile_id, [day], BUSY_CLICKS, 0) for day in days]
    await add_segments(connection, busy)
    others = await connection.fetch(_SQL["others"], profile_id)
    quiet_days = max(0, clicks - BUSY_CLICKS * DAYS) // (DAYS * max(1, len(others)))
    if others and quiet_days:
        first = others[0][0]
        months = [list(of) for _, of in groupby(days, key=lambda day: day.replace(day=1))]
        await add_segments(
            connection, [packer.segment(first, of, quiet_days * len(of), -1) for of in months]
        )
        columns = ", ".join(row[0] for row in await connection.fetch(_SQL["columns"]))
        await connection.execute(
            _SQL["copy_segments"].format(columns=columns), first, profile_id, timeout=1_200
        )
    await connection.execute(_SQL["counted"], now)
    await connection.execute("VACUUM (ANALYZE) waypost.click_segments")


class _Packer:
    """A maker of segments, whose values follow Zipf's law as those of bench/kit/click_history.py."""

    def __init__(self, tenant_id: int, links: Sequence[int]) -> None:
        self._tenant_id = tenant_id
        self._links = links
        self._link_shares = list(zipf(len(links), 0.8))
        self._random = random.Random(1)  # noqa: S311  # the same history in each run
        self._values = [self._combination() for _ in range(_VALUES)]

    def segment(
        self, profile_id: int, days: Sequence[date], clicks: int, part: int
    ) -> ClickSegment:
        """Return the segment of some days in a row with so many clicks in all, two for each visitor."""
        raw = RawClickRows()
        links = self._random.choices(self._links, self._link_shares, k=clicks)
        for quarter, link in zip(self._quarters(len(days), clicks), links, strict=True):
            draw = self._random.random()
            raw.add(
                link if draw < 0.8 else 0,
                quarter,
                ClickKind.CLICK if draw < 0.8 else ClickKind.VIEW,
                VisitorClass.BOT if draw > 0.95 else VisitorClass.HUMAN,
                1 + self._random.randrange(max(1, clicks // 2)) * DAYS + quarter // QUARTERS,
                Trigger.LINK if draw < 0.8 else Trigger.PAGE,
                None,
                None,
                None,
                *self._random.choice(self._values),
            )
        packed = repacked(ProfileClicks([Piece(days[0], raw.packed())]), days[0], as_segment=True)
        return ClickSegment(self._tenant_id, profile_id, days[0], part, len(days), False, packed)

    def _quarters(self, days: int, clicks: int) -> Iterator[int]:
        yield from sorted(self._random.randrange(QUARTERS * days) for _ in range(clicks))

    def _combination(self) -> tuple[str | None, ...]:
        return tuple(self._value(dimension) for dimension in TEXT_COLUMNS.values())

    def _value(self, dimension: Dimension) -> str | None:
        size, empty_share = SIZES[dimension]
        if self._random.random() < empty_share:
            return None
        (number,) = self._random.choices(range(1, size + 1), list(zipf(size, 1.1)))
        return value_name(dimension, number)

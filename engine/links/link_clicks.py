"""Clicks of links in a period, as lists of links show and sort them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

import msgspec

# Of a profile's packed clicks in the period.
MAX_CLICKS: Final = 4_000_000
FIRST_DAY: Final = date(2000, 1, 1)


class ClickPeriod(NamedTuple):
    """Whole UTC days `first` to `last`. `all_time`: they are all days, and clicks are a link's total."""

    first: date
    last: date
    all_time: bool = False


class LinkClickCounts(msgspec.Struct, frozen=True):
    """Clicks of a link in a period, and the beginning of the quarter of an hour of the last one.

    Of all time they are the total: opening clicks, and those since the counts were reset.
    """

    clicks: int = 0
    last_click: datetime | None = None


NO_CLICKS: Final = LinkClickCounts()
ClicksOfLinks = Mapping[int, LinkClickCounts]


ALL_TIME: Final = ClickPeriod(FIRST_DAY, date(9000, 1, 1), True)


def quarter_time(quarter: int) -> datetime | None:
    """Return the time at which a quarter of an hour since 1970 begins; None for 0."""
    return datetime.fromtimestamp(quarter * 900, UTC) if quarter else None

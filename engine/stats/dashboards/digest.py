"""Digests: what a profile's week or month had, against the one before, by mail and as a webhook's event.

A digest is of the last whole week (from Monday) or month by the clocks of a zone. Digests are due at noon of
UTC on Mondays and on the first day of a month: by then the period is over in every zone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import msgspec

from engine.common.errors import FieldError
from engine.stats import calendar, period
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from engine.stats.result import Stats, StatsRow, TimeInterval

Cadence = Literal["weekly", "monthly"]
INTERVALS: Final[dict[Cadence, TimeInterval]] = {"weekly": "week", "monthly": "month"}
DUE: Final[dict[Cadence, str]] = {"weekly": "0 12 * * 1", "monthly": "0 12 1 * *"}  # cron, in UTC
QUEUE: Final = "digests"
MAIL_JOB: Final = "digests.mail"
EVENT_JOB: Final = "digests.event"
ATTEMPTS: Final = 30  # ten hours on average, nineteen at most
MAX_GROUPS: Final = 5
GROUPS: Final = ("link", "source", "country")


class DigestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The digests of a profile that a member gets by mail, and the zone of their weeks and months."""

    weekly: bool = False
    monthly: bool = False
    tz: str = "UTC"


class DigestGroup(NamedTuple):
    """A link, source or country: its value in stats, its name for people, and its clicks in both periods."""

    value: str
    label: str
    clicks: int
    before: int


class Totals(NamedTuple):
    """Totals of a period."""

    clicks: int
    visitors: int
    views: int


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """A digest of [start, end). `groups` has the top links, sources and countries, in the order of GROUPS."""

    handle: str
    title: str
    cadence: Cadence
    tz: str
    start: datetime
    end: datetime
    totals: Totals
    before: Totals
    groups: dict[str, list[DigestGroup]]


class DigestRecipient(NamedTuple):
    """A member who gets a digest, and the profile's names."""

    email: str
    tz: str
    handle: str
    title: str


def validate_digest_settings(
    draft: DigestSettings,
) -> tuple[DigestSettings | None, list[FieldError]]:
    """Return the draft, or None and its errors."""
    try:
        period.zone(draft.tz)
    except ValueError as error:
        return None, [FieldError("tz", str(error))]
    return draft, []


def digest_queries(cadence: Cadence, due: datetime, tz: str) -> list[StatsQuery]:
    """Return the queries of a digest that is due: of the totals, then of each of GROUPS. All compare the period
    with the one before."""
    interval = INTERVALS[cadence]
    end = calendar.first_day(due.astimezone(period.zone(tz)).date(), interval)
    start = calendar.months_later(end, -1)
    if cadence == "weekly":
        start = end - (calendar.next_day(end, "week") - end)
    common = [
        ("from", str(start)), ("to", str(end)), ("tz", tz), ("compare", "previous"),
        ("interval", interval),
    ]  # fmt: skip
    now = due.astimezone(UTC)
    totals = parse_query([*common, ("metrics", "clicks,visitors,views")], now)
    top = [("metrics", "clicks"), ("limit", str(MAX_GROUPS))]
    groups = [parse_query([*common, *top, ("group", name)], now) for name in GROUPS]
    return [totals, *groups]


def digest_of(
    cadence: Cadence,
    names: tuple[str, str],
    queries: Sequence[StatsQuery],
    answers: Sequence[Stats],
) -> Digest:
    """Return the digest that the answers to digest_queries() make. `names`: the profile's handle and title."""
    query, (totals, *groups) = queries[0], answers
    zone = period.zone(query.tz)
    return Digest(
        handle=names[0], title=names[1], cadence=cadence, tz=query.tz,
        start=query.start.astimezone(zone), end=query.end.astimezone(zone), totals=_totals(totals),
        before=_totals(totals.compared),
        groups={
            name: _groups(name, stats) for name, stats in zip(GROUPS, groups, strict=True)
        },
    )  # fmt: skip


def _totals(stats: Stats | None) -> Totals:
    if stats is None:
        return Totals(0, 0, 0)
    return Totals(stats.totals.clicks, stats.totals.visitors or 0, stats.totals.views)


def _groups(name: str, stats: Stats) -> list[DigestGroup]:
    before: dict[tuple[str, ...], StatsRow] = {}
    if stats.compared is not None:
        before = {row.values: row for row in stats.compared.rows}
    return [
        DigestGroup(
            row.values[0],
            _label(name, row.values[0], stats),
            row.clicks,
            before[row.values].clicks if row.values in before else 0,
        )
        for row in stats.rows
        if row.clicks
    ]


def _label(name: str, value: str, stats: Stats) -> str:
    if name != "link":
        return value or "not known"
    link = stats.links.get(value)
    if link is None:
        return "a deleted link"
    return link.title or f"/{link.slug}"

"""`GET /v1/profiles/{id}/stats`: what has been counted.

| parameter | meaning | default |
|---|---|---|
| `from`, `to` | the half-open period [from, to): instants, or local dates and times read in `tz`; a bare date is its local midnight, so `to=2026-03-02` ends with the 1st | the last 30 days, to the end of the current interval |
| `interval` | `15m`, `hour`, `day`, `week` (from Monday) or `month`, cut by the clocks of `tz` | `day` |
| `tz` | an IANA zone | `UTC` |
| `link` | the id of one link | all, and views of the page |

The answer's `from` and `to` are the period really used, in whole quarters of an hour. Rows are those
intervals that have counts, oldest first; the first may have begun before `from`. `as_of` is when counts
were last committed. Times other than `as_of`, which is in UTC, carry the offset of `tz`.
"""  # noqa: E501  # the table is read as it stands

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
from quart import Response

from api.auth import caller
from api.bodies import Id, answer, utc
from api.query import parameters, parsed_id, path_id
from api.routes import Answer, Doc, Parameter, Route
from engine import period
from engine.errors import FieldError, InvalidError
from engine.ports import ProfileStore, StatsReader
from engine.rollup import INTERVALS, Interval, Stats, StatsQuery

Count = Annotated[int, msgspec.Meta(ge=0)]


class CountsAnswer(msgspec.Struct, frozen=True):
    """`bots` are clicks and views by machines, which are in neither of the others."""

    clicks: Count
    views: Count
    bots: Count


class RowAnswer(msgspec.Struct, frozen=True):
    """One interval that has counts, by its beginning."""

    time: datetime
    clicks: Count
    views: Count
    bots: Count


class StatsAnswer(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """`from` and `to` are the period really used; `as_of` is when counts were last committed."""

    start: datetime
    end: datetime
    tz: str
    interval: Interval
    as_of: datetime | None
    totals: CountsAnswer
    rows: list[RowAnswer]


class StatsRoutes:
    """`now` is the clock: aware."""

    def __init__(
        self, store: ProfileStore, reader: StatsReader, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._reader = reader
        self._now = now

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/stats", self.read, _READ)]

    async def read(self, profile_id: str) -> Response:
        id_ = path_id(profile_id)
        query = _query(utc(self._now()))
        profile = await self._store.profile(caller(), id_)
        stats = await self._reader.stats(profile.tenant_id, id_, query)
        return answer(_shown(query, stats))


def _shown(query: StatsQuery, stats: Stats) -> StatsAnswer:
    tz = period.zone(query.tz)
    return StatsAnswer(
        start=query.start.astimezone(tz),
        end=query.end.astimezone(tz),
        tz=query.tz,
        interval=query.interval,
        as_of=None if stats.as_of is None else utc(stats.as_of),
        totals=CountsAnswer(
            clicks=sum(row.clicks for row in stats.rows),
            views=sum(row.views for row in stats.rows),
            bots=sum(row.bots for row in stats.rows),
        ),
        rows=[
            RowAnswer(row.time.astimezone(tz), row.clicks, row.views, row.bots)
            for row in stats.rows
        ],
    )


def _query(now: datetime) -> StatsQuery:
    """The request's query, or InvalidError with every bad parameter."""
    given, errors = parameters("from", "to", "interval", "tz", "link")
    interval = _interval(given, errors)
    tz_name, tz = _zone(given, errors)
    asked = {name: _moment(given, name, tz, errors) for name in ("from", "to")}
    link_id = parsed_id(given["link"]) if "link" in given else None
    if "link" in given and link_id is None:
        errors.append(FieldError("link", "must be the id of a link"))
    if errors:
        raise InvalidError(errors)
    start, end = period.period(asked["from"], asked["to"], interval, tz, now)
    if start >= end:
        raise InvalidError([FieldError("from", "must be before `to`")])
    if period.too_long(start, end, interval):
        days = period.LONGEST_DAYS[interval]
        reason = f"{interval} takes a period of at most {days} days; ask for a longer interval"
        raise InvalidError([FieldError("interval", reason)])
    return StatsQuery(start=start, end=end, interval=interval, tz=tz_name, link_id=link_id)


def _interval(given: dict[str, str], errors: list[FieldError]) -> Interval:
    for interval in INTERVALS:
        if given.get("interval", "day") == interval:
            return interval  # type: ignore[return-value]  # one of the literals
    errors.append(FieldError("interval", f"must be one of {', '.join(INTERVALS)}"))
    return "day"


def _zone(given: dict[str, str], errors: list[FieldError]) -> tuple[str, ZoneInfo]:
    name = given.get("tz", "UTC")
    try:
        return name, period.zone(name)
    except ValueError as error:
        errors.append(FieldError("tz", str(error)))
        return "UTC", period.zone("UTC")


def _moment(
    given: dict[str, str], name: str, tz: ZoneInfo, errors: list[FieldError]
) -> datetime | None:
    if name not in given:
        return None
    try:
        return period.moment(given[name], tz)
    except ValueError as error:
        errors.append(FieldError(name, str(error)))
        return None


_READ: Final = Doc(
    id="readStats",
    summary="Read what has been counted",
    tag="Statistics",
    description="Clicks and views by interval, and those that machines made apart, as `bots`. "
    "Intervals without counts have no row.",
    query=(
        Parameter(
            "from",
            "The begin: an instant, or a local date or time in `tz`; 30 days ago if left out.",
            example="2026-05-01",
        ),
        Parameter("to", "The end, which is not part of it; now if left out.", example="2026-06-01"),
        Parameter("interval", "How rows are cut, by the clocks of `tz`.", Interval, "day"),
        Parameter("tz", "An IANA zone; `UTC` if left out.", example="Europe/Rome"),
        Parameter("link", "The id of one link; all links if left out.", Id),
    ),
    answers={
        200: Answer(
            "The counts.",
            StatsAnswer,
            {
                "from": "2026-05-01T00:00:00+02:00",
                "to": "2026-06-01T00:00:00+02:00",
                "tz": "Europe/Rome",
                "interval": "day",
                "as_of": "2026-05-31T10:00:00Z",
                "totals": {"clicks": 42, "views": 7, "bots": 5},
                "rows": [
                    {"time": "2026-05-03T00:00:00+02:00", "clicks": 42, "views": 7, "bots": 5}
                ],
            },
        )
    },
)

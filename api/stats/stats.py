"""`GET /v1/profiles/{id}/stats`: what has been counted.

engine/stats/query.py has the parameters. The answer's `from` and `to` are the period really used, in whole
quarters of an hour. Rows by time are those intervals that have counts, oldest first; the first may have begun
before `from`. `as_of` is when counts were last committed. Times other than `as_of`, which is in UTC, carry the
offset of `tz`.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import trio
from quart import Response, request

from api.http.auth import current_caller
from api.http.bodies import empty_response, json_response, utc
from api.http.etag import tag_matches
from api.http.query import path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.clicks.dimension import ALL_LINKS, BY_NAME
from engine.links.ports import ProfileStore
from engine.stats import period
from engine.stats.dimension_counts import max_values
from engine.stats.ports import StatsReader
from engine.stats.query import StatsQuery, previous_period
from engine.stats.query_parser import MAX_LIMIT, SEARCHABLE, parse_query
from engine.stats.result import MetricValues, Stats, TimeInterval
from engine.visits.classifier import RULES_VERSION

SEEN_S: Final = 5.0
MAX_RECENT: Final = 4_096
Count = Annotated[int, msgspec.Meta(ge=0)]


class CountsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Those metrics that were asked for. `bots` are clicks and views by machines, which are in no other one;
    `click_rate` is clicks for each view, null without views."""

    clicks: Count | msgspec.UnsetType = msgspec.UNSET
    visitors: Count | msgspec.UnsetType = msgspec.UNSET
    views: Count | msgspec.UnsetType = msgspec.UNSET
    click_rate: float | msgspec.UnsetType | None = msgspec.UNSET
    bots: Count | msgspec.UnsetType = msgspec.UNSET


RowAnswer = msgspec.defstruct(
    "RowAnswer",
    [
        ("time", datetime | msgspec.UnsetType, msgspec.UNSET),
        *((name, str | None | msgspec.UnsetType, msgspec.UNSET) for name in BY_NAME),
    ],
    bases=(CountsResponse,),
    namespace={
        "__doc__": "One row: the beginning of its interval where rows are by time, the values of the "
        "dimensions that rows are grouped by (null: not known), and the metrics asked for."
    },
)


class CapResponse(msgspec.Struct, frozen=True):
    """How many values of a dimension are counted apart in a quarter of an hour, of the whole profile and of
    one link. The rest is together under `(other)`."""

    profile: Count
    link: Count


class PreviousResponse(
    msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}
):
    """The same of the period before."""

    start: datetime
    end: datetime
    totals: CountsResponse
    rows: list[RowAnswer]  # type: ignore[valid-type]  # a struct, made above


class StatsResponse(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
    rename={"start": "from", "end": "to"},
):  # fmt: skip
    """`from` and `to` are the period really used; `as_of` is when counts were last committed, `rule` the
    version of the rules that judge clicks now, `sampling` what part was counted: all of it. `caps` are there
    for dimensions that have one."""

    start: datetime
    end: datetime
    tz: str
    interval: TimeInterval
    as_of: datetime | None
    rule: int
    sampling: Literal["none"]
    totals: CountsResponse
    rows: list[RowAnswer]  # type: ignore[valid-type]
    previous: PreviousResponse | msgspec.UnsetType = msgspec.UNSET
    caps: dict[str, CapResponse] | msgspec.UnsetType = msgspec.UNSET


class StatsRoutes:
    """Routes of stats. `now` is the clock: aware. `version` gives the stats version, or None."""

    def __init__(
        self,
        store: ProfileStore,
        reader: StatsReader,
        version: Callable[[], Awaitable[str | None]],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._reader = reader
        self._version = version
        self._now = now
        self._seen = RecentAccess()

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/stats", self.read, _READ)]

    async def read(self, profile_id: str) -> Response:
        id_ = path_id(profile_id)
        query = query_of_request(self._now())
        # Before the counts are read: they may be newer than their tag says, never older.
        tag = _tag(id_, query, await self._version())
        if tag is not None and tag_matches(tag):
            if not self._seen.lately(current_caller(), id_):
                await self._store.profile(current_caller(), id_)
                self._seen.note(current_caller(), id_)
            return empty_response(304, _fresh(tag))
        profile = await self._store.profile(current_caller(), id_)
        self._seen.note(current_caller(), id_)
        stats = await self._reader.stats(profile.tenant_id, id_, query)
        before = None
        if query.previous:
            earlier = previous_period(query)
            before = stats_response(
                earlier, await self._reader.stats(profile.tenant_id, id_, earlier)
            )
        return json_response(_whole(query, stats, before), headers=_fresh(tag))


class RecentAccess:
    """A short cache of granted accesses (caller, profile), used only to answer 304.

    A 304 tells a caller nothing but that the counts which belong to this very tag have not changed. A removed
    member can therefore still receive a 304 for up to SEEN_S seconds, but never counts.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[Any, ...], float] = OrderedDict()

    def note(self, caller: Caller, profile_id: int) -> None:
        key = self._key(caller, profile_id)
        self._until[key] = trio.current_time() + SEEN_S
        self._until.move_to_end(key)
        if len(self._until) > MAX_RECENT:
            self._until.popitem(last=False)

    def lately(self, caller: Caller, profile_id: int) -> bool:
        return trio.current_time() < self._until.get(self._key(caller, profile_id), 0.0)

    @staticmethod
    def _key(caller: Caller, profile_id: int) -> tuple[Any, ...]:
        return (*caller._replace(request_id=""), profile_id)


def _tag(profile_id: int, query: StatsQuery, version: str | None) -> str | None:
    """Return the entity tag: the same for a query until something is counted. Weak: bytes may differ."""
    if version is None:
        return None
    text = msgspec.json.encode((profile_id, query, version, RULES_VERSION))
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _fresh(tag: str | None) -> dict[str, str]:
    """Return headers by which a client revalidates a response before it uses it again."""
    if tag is None:
        return {}
    return {
        "ETag": f'W/"{tag}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
    }


def query_of_request(now: datetime) -> StatsQuery:
    """Return the request's query. Raises InvalidError with every bad parameter."""
    return parse_query(list(request.args.items(multi=True)), utc(now))


def _whole(query: StatsQuery, stats: Stats, before: dict[str, Any] | None) -> dict[str, Any]:
    """Return the body that StatsResponse describes; as plain dicts, as there are thousands of rows."""
    whole = stats_response(query, stats)
    caps = {
        dimension.name.lower(): {"profile": cap, "link": max_values(dimension, 0)}
        for dimension in sorted(query.dimensions)
        if (cap := max_values(dimension, ALL_LINKS)) is not None
    }
    return {
        "from": whole["from"],
        "to": whole["to"],
        "tz": query.tz,
        "interval": query.interval,
        "as_of": None if stats.as_of is None else utc(stats.as_of),
        "rule": RULES_VERSION,
        "sampling": "none",
        **({"caps": caps} if caps else {}),
        "totals": whole["totals"],
        "rows": whole["rows"],
        **({} if before is None else {"previous": before}),
    }


def stats_response(query: StatsQuery, stats: Stats) -> dict[str, Any]:
    """Return the body that PreviousResponse describes."""
    tz = period.zone(query.tz)
    names = [dimension.name.lower() for dimension in query.groups]
    rows = []
    for row in stats.rows:
        body: dict[str, Any] = {} if row.time is None else {"time": row.time.astimezone(tz)}
        for name, value in zip(names, row.values, strict=True):
            body[name] = value or None
        rows.append(body | metrics_of(query, row))
    return {
        "from": query.start.astimezone(tz),
        "to": query.end.astimezone(tz),
        "totals": metrics_of(query, stats.totals),
        "rows": rows,
    }


def metrics_of(query: StatsQuery, counted: MetricValues | Any) -> dict[str, Any]:
    """Return the metrics of the query, by name."""
    return {metric: _metric(metric, counted) for metric in query.metrics}


def _metric(metric: str, counted: Any) -> Any:
    if metric == "click_rate":
        return round(counted.clicks / counted.views, 4) if counted.views else None
    return getattr(counted, metric)


_DIMENSIONS: Final = ", ".join(BY_NAME)
_GROUP: Final = "^(time|[a-z_]+)(,(time|[a-z_]+))?$"
PERIOD: Final = (
    Parameter(
        "from",
        "The begin: an instant, or a local date or time in `tz`; 30 days ago if left out.",
        example="2026-05-01",
    ),
    Parameter("to", "The end, which is not part of it; now if left out.", example="2026-06-01"),
    Parameter("tz", "An IANA zone; `UTC` if left out.", example="Europe/Rome"),
)
FILTERS: Final = tuple(
    Parameter(
        f"filter[{name}]",
        f"Only this {name}; empty for those where it is not known. With `!` behind the name "
        f"(`filter[{name}]!=`), every other one."
        + (
            f" With `~` (`filter[{name}]~=`), those that contain it."
            if dimension in SEARCHABLE
            else ""
        ),
    )
    for name, dimension in BY_NAME.items()
)
QUERY: Final = (
    *PERIOD,
    Parameter("interval", "How rows are cut, by the clocks of `tz`.", TimeInterval, "day"),
    Parameter(
        "group",
        f"What rows are by: `time`, if left out, or up to two of `time`, {_DIMENSIONS}. Two "
        "dimensions, other than `link`, are counted from raw clicks, as far as those are kept.",
        Annotated[str, msgspec.Meta(pattern=_GROUP)],
        "country",
    ),
    Parameter(
        "metrics",
        "With commas: `clicks`, `visitors`, `views` (or `page_views`), `click_rate`, `bots`. All if "
        "left out; by hour and less, all but `visitors`.",
        example="clicks,visitors",
    ),
    Parameter(
        "link",
        "The id of one link, or `0` for the page; all of them if left out.",
        Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,18})$")],
    ),
    *FILTERS,
    Parameter(
        "compare",
        "`previous`: also the period of the same length before it.",
        Literal["previous"],
    ),
    Parameter(
        "order",
        "Of groups: a metric or `value`, from the highest with `-`; `-clicks` if left out.",
        example="-clicks",
    ),
    Parameter(
        "limit",
        "How many groups at most; 100 if left out, 10 by time.",
        Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)],
        10,
    ),
)
_READ: Final = Doc(
    id="readStats",
    summary="Read what has been counted",
    tag="Statistics",
    description="Clicks, views and visitors by interval or by what is known of them, and what machines did "
    "apart, as `bots`. Intervals and values without counts have no row.",
    query=QUERY,
    tagged=True,
    responses={
        200: ResponseDoc(
            "The counts.",
            StatsResponse,
            {
                "from": "2026-05-01T00:00:00+02:00",
                "to": "2026-06-01T00:00:00+02:00",
                "tz": "Europe/Rome",
                "interval": "day",
                "as_of": "2026-05-31T10:00:00Z",
                "rule": 1,
                "sampling": "none",
                "caps": {"country": {"profile": 200, "link": 50}},
                "totals": {"clicks": 42, "visitors": 30, "views": 7, "click_rate": 6.0, "bots": 5},
                "rows": [
                    {
                        "country": "DE",
                        "clicks": 42,
                        "visitors": 30,
                        "views": 7,
                        "click_rate": 6.0,
                        "bots": 5,
                    }
                ],
            },
        )
    },
)

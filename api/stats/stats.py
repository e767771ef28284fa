"""`GET /v1/profiles/{id}/stats`: the answer to a stats query.

engine/stats/query.py has the parameters. `from` and `to` are the period that was used, in whole quarters of
an hour. By time, each interval with counts has a row, oldest first; the first may begin before `from`.
`as_of` is when counts were last committed, in UTC; all other times carry the offset of `tz`.
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
    """The metrics of the query. `bots` are clicks and views by bots, which no other metric counts;
    `click_rate` is clicks per view, null without views."""

    clicks: Count | msgspec.UnsetType = msgspec.UNSET
    visitors: Count | msgspec.UnsetType = msgspec.UNSET
    views: Count | msgspec.UnsetType = msgspec.UNSET
    click_rate: float | msgspec.UnsetType | None = msgspec.UNSET
    bots: Count | msgspec.UnsetType = msgspec.UNSET


RowResponse = msgspec.defstruct(
    "RowResponse",
    [
        ("time", datetime | msgspec.UnsetType, msgspec.UNSET),
        *((name, str | None | msgspec.UnsetType, msgspec.UNSET) for name in BY_NAME),
    ],
    bases=(CountsResponse,),
    namespace={
        "__doc__": "One row: the start of its interval if rows are by time, the values of the dimensions "
        "that rows are grouped by (null: not known), and the metrics of the query."
    },
)


class CapResponse(msgspec.Struct, frozen=True):
    """The largest numbers of values of a dimension that are counted separately in a quarter of an hour, of the
    whole profile and of one link. All other values are counted as `(other)`."""

    profile: Count
    link: Count


class PreviousResponse(
    msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}
):
    """Totals and rows of the previous period."""

    start: datetime
    end: datetime
    totals: CountsResponse
    rows: list[RowResponse]  # type: ignore[valid-type]  # a struct, defined above


class StatsResponse(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
    rename={"start": "from", "end": "to"},
):  # fmt: skip
    """The answer to a stats query. `from` and `to` are the period that was used; `as_of` is when counts
    were last committed; `rule` is the current version of the rules that classify clicks; `sampling` none:
    all clicks are counted. `caps` has the dimensions of the query with a limited number of values."""

    start: datetime
    end: datetime
    tz: str
    interval: TimeInterval
    as_of: datetime | None
    rule: int
    sampling: Literal["none"]
    totals: CountsResponse
    rows: list[RowResponse]  # type: ignore[valid-type]
    previous: PreviousResponse | msgspec.UnsetType = msgspec.UNSET
    caps: dict[str, CapResponse] | msgspec.UnsetType = msgspec.UNSET


class StatsRoutes:
    """Routes of stats. `now` is the clock: aware. `version` returns the stats version, or None."""

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
        # The version is read first: counts may be newer than their tag, never older.
        tag = _tag(id_, query, await self._version())
        if tag is not None and tag_matches(tag):
            if not self._seen.has(current_caller(), id_):
                await self._store.profile(current_caller(), id_)
                self._seen.note(current_caller(), id_)
            return empty_response(304, _cache_headers(tag))
        profile = await self._store.profile(current_caller(), id_)
        self._seen.note(current_caller(), id_)
        stats = await self._reader.stats(profile.tenant_id, id_, query)
        previous = None
        if query.previous:
            earlier = previous_period(query)
            previous = stats_response(
                earlier, await self._reader.stats(profile.tenant_id, id_, earlier)
            )
        return json_response(_body(query, stats, previous), headers=_cache_headers(tag))


class RecentAccess:
    """A short cache of granted accesses (caller, profile), used only to answer 304.

    A 304 says only that the counts of the request's own tag have not changed. A removed
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

    def has(self, caller: Caller, profile_id: int) -> bool:
        return trio.current_time() < self._until.get(self._key(caller, profile_id), 0.0)

    @staticmethod
    def _key(caller: Caller, profile_id: int) -> tuple[Any, ...]:
        return (*caller._replace(request_id=""), profile_id)


def _tag(profile_id: int, query: StatsQuery, version: str | None) -> str | None:
    """Return the entity tag of a query at a stats version. Weak: bytes of a response may differ."""
    if version is None:
        return None
    text = msgspec.json.encode((profile_id, query, version, RULES_VERSION))
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _cache_headers(tag: str | None) -> dict[str, str]:
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


def _body(query: StatsQuery, stats: Stats, previous: dict[str, Any] | None) -> dict[str, Any]:
    """Return the body that StatsResponse describes, as plain dicts because it may have thousands of rows."""
    body = stats_response(query, stats)
    caps = {
        dimension.name.lower(): {"profile": cap, "link": max_values(dimension, 0)}
        for dimension in sorted(query.dimensions)
        if (cap := max_values(dimension, ALL_LINKS)) is not None
    }
    return {
        "from": body["from"],
        "to": body["to"],
        "tz": query.tz,
        "interval": query.interval,
        "as_of": None if stats.as_of is None else utc(stats.as_of),
        "rule": RULES_VERSION,
        "sampling": "none",
        **({"caps": caps} if caps else {}),
        "totals": body["totals"],
        "rows": body["rows"],
        **({} if previous is None else {"previous": previous}),
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


def metrics_of(query: StatsQuery, values: MetricValues | Any) -> dict[str, Any]:
    """Return the metrics of the query, by name."""
    return {metric: _metric(metric, values) for metric in query.metrics}


def _metric(metric: str, values: Any) -> Any:
    if metric == "click_rate":
        return round(values.clicks / values.views, 4) if values.views else None
    return getattr(values, metric)


_DIMENSIONS: Final = ", ".join(BY_NAME)
_GROUP: Final = "^(time|[a-z_]+)(,(time|[a-z_]+))?$"
PERIOD: Final = (
    Parameter(
        "from",
        "The start: an instant, or a local date or time in `tz`; 30 days ago if left out.",
        example="2026-05-01",
    ),
    Parameter("to", "The end, exclusive; now if left out.", example="2026-06-01"),
    Parameter("tz", "An IANA zone; `UTC` if left out.", example="Europe/Rome"),
)
# The filters that may be repeated; then all must hold.
FILTERS: Final = (
    *(Parameter(f"filter[{name}]", f"Only this {name}; empty: not known.") for name in BY_NAME),
    *(
        Parameter(
            f"filter[{name}][not]", f"All but this {name}. In short: `filter[{name}]!=`.", list[str]
        )
        for name in BY_NAME
    ),
    *(
        Parameter(
            f"filter[{name}][contains]",
            f"Only a {name} that contains this. In short: `filter[{name}]~=`.",
            list[str],
        )
        for name, dimension in BY_NAME.items()
        if dimension in SEARCHABLE
    ),
)
QUERY: Final = (
    *PERIOD,
    Parameter(
        "interval", "The length of a row's interval, by the clocks of `tz`.", TimeInterval, "day"
    ),
    Parameter(
        "group",
        f"How rows are grouped: by `time`, if left out, or by up to two of `time`, {_DIMENSIONS}. Two "
        "dimensions other than `link` are counted from raw clicks, as far as those are kept.",
        Annotated[str, msgspec.Meta(pattern=_GROUP)],
        "country",
    ),
    Parameter(
        "metrics",
        "A list with commas of `clicks`, `visitors`, `views` (or `page_views`), `click_rate`, `bots`. "
        "If left out, all; for intervals of an hour or less, all but `visitors`.",
        example="clicks,visitors",
    ),
    Parameter(
        "link",
        "The id of one link, or `0` for the page; all links and the page if left out.",
        Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,18})$")],
    ),
    *FILTERS,
    Parameter(
        "compare",
        "`previous`: add the period of the same length before it.",
        Literal["previous"],
    ),
    Parameter(
        "order",
        "The order of groups: a metric or `value`, with `-` from the highest; `-clicks` if left out.",
        example="-clicks",
    ),
    Parameter(
        "limit",
        "The largest number of groups; if left out, 100, or 10 for groups by time.",
        Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)],
        10,
    ),
)
_READ: Final = Doc(
    id="readStats",
    summary="Read the answer to a stats query",
    tag="Statistics",
    description="Clicks, views and visitors by interval or dimension; clicks and views by bots are counted "
    "separately, as `bots`. Intervals and values without counts have no row.",
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

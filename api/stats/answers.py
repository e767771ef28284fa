"""Answers to stats queries as JSON: their structs, and the bodies that they describe.

Bodies are plain dicts, because an answer may have thousands of rows.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from api.http.bodies import Id, utc
from api.stats.annotations import ShownAnnotation
from engine.clicks.dimension import ALL_LINKS, BY_NAME, Dimension
from engine.stats import period
from engine.stats.conversion_question import (
    ATTRIBUTION,
    NO_CONVERSIONS,
    conversion_rate,
    revenue_texts,
)
from engine.stats.dimension_counts import max_values
from engine.stats.parameters import group_cursor
from engine.stats.parameters.comparison import Alignment, ComparisonKind
from engine.stats.query import CONVERSION_METRICS, StatsQuery
from engine.stats.query_parser import HOUR_OF_WEEK
from engine.stats.result import LinkName, MetricValues, Stats, StatsRow, TimeInterval
from engine.visits.classifier import RULES_VERSION

Count = Annotated[int, msgspec.Meta(ge=0)]


class CountsResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The metrics of the query. `bots` are clicks and views by bots, which no other metric counts;
    `click_rate` is clicks per view, null without views. `conversions` are counted at their own time, by the
    click that they follow within 30 days; `revenue` is their value by currency, less refunds at the time of
    these; `conversion_rate` is conversions per click, null without clicks. `events` are own events, and the
    visitors beside them those that have some."""

    clicks: Count | msgspec.UnsetType = msgspec.UNSET
    visitors: Count | msgspec.UnsetType = msgspec.UNSET
    views: Count | msgspec.UnsetType = msgspec.UNSET
    click_rate: float | msgspec.UnsetType | None = msgspec.UNSET
    bots: Count | msgspec.UnsetType = msgspec.UNSET
    conversions: Count | msgspec.UnsetType = msgspec.UNSET
    revenue: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    conversion_rate: float | msgspec.UnsetType | None = msgspec.UNSET
    events: Count | msgspec.UnsetType = msgspec.UNSET


_LINK_NAMES: Final = LinkName._fields

RowResponse = msgspec.defstruct(
    "RowResponse",
    [
        ("time", datetime | msgspec.UnsetType, msgspec.UNSET),
        (
            HOUR_OF_WEEK,
            Annotated[int, msgspec.Meta(ge=0, le=167)] | msgspec.UnsetType,
            msgspec.UNSET,
        ),
        *((name, str | None | msgspec.UnsetType, msgspec.UNSET) for name in BY_NAME),
        *((name, str | None | msgspec.UnsetType, msgspec.UNSET) for name in _LINK_NAMES),
    ],
    bases=(CountsResponse,),
    namespace={
        "__doc__": "One row: the start of its interval if rows are by time, the hour of the week (0: the first "
        "of Monday), or the values of the dimensions that rows are grouped by (null: not known), and the "
        "metrics of the query. Rows of links have the handle of the profile, and the slug and title of the "
        "link; null for one that is deleted, and the page has no slug."
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
    """Totals and rows of the period to compare with, of the same groups in the same order.

    `alignment`: `whole`, that whole period; `until_now`, the part of it that the running period has behind it,
    to the end of the running quarter of an hour; `as_given`, a period of the query's own.
    """

    compare: ComparisonKind
    alignment: Alignment
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
    all clicks are counted. `caps` has the dimensions of the query with a limited number of values.
    `next_cursor` is there if there are further groups. `attribution_days`: how long after its click a
    conversion counts, if the query has metrics of conversions. `annotations` has those of the period, if the
    query asks for them."""

    start: datetime
    end: datetime
    tz: str
    interval: TimeInterval
    as_of: datetime | None
    rule: int
    sampling: Literal["none"]
    totals: CountsResponse
    rows: list[RowResponse]  # type: ignore[valid-type]
    attribution_days: int | msgspec.UnsetType = msgspec.UNSET
    next_cursor: str | msgspec.UnsetType = msgspec.UNSET
    previous: PreviousResponse | msgspec.UnsetType = msgspec.UNSET
    annotations: list[ShownAnnotation] | msgspec.UnsetType = msgspec.UNSET
    caps: dict[str, CapResponse] | msgspec.UnsetType = msgspec.UNSET


class ProfileStatsResponse(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
    rename={"start": "from", "end": "to"},
):  # fmt: skip
    """The answer for one of several profiles."""

    profile: Id
    handle: str
    title: str
    start: datetime
    end: datetime
    totals: CountsResponse
    rows: list[RowResponse]  # type: ignore[valid-type]
    next_cursor: str | msgspec.UnsetType = msgspec.UNSET
    previous: PreviousResponse | msgspec.UnsetType = msgspec.UNSET


def answer_body(query: StatsQuery, stats: Stats) -> dict[str, Any]:
    """Return the body that StatsResponse describes."""
    caps = {
        dimension.name.lower(): {"profile": cap, "link": max_values(dimension, 0)}
        for dimension in sorted(query.dimensions)
        if (cap := max_values(dimension, ALL_LINKS)) is not None
    }
    counted = counts_body(query, stats)
    return {
        "from": counted.pop("from"),
        "to": counted.pop("to"),
        "tz": query.tz,
        "interval": query.interval,
        "as_of": None if stats.as_of is None else utc(stats.as_of),
        "rule": RULES_VERSION,
        "sampling": "none",
        **({"caps": caps} if caps else {}),
        **({"attribution_days": ATTRIBUTION.days} if query.conversions else {}),
        **counted,
    }


def counts_body(query: StatsQuery, stats: Stats) -> dict[str, Any]:
    """Return the period, totals and rows of an answer, and of its comparison."""
    body = _period_body(query, query.start, query.end, stats)
    if stats.next is not None:
        body["next_cursor"] = group_cursor.encode(stats.next)
    comparison = query.comparison
    if comparison is not None and stats.compared is not None:
        body["previous"] = {
            "compare": comparison.kind,
            "alignment": comparison.alignment,
            **_period_body(query, comparison.start, comparison.end, stats.compared),
        }
    return body


def _period_body(query: StatsQuery, start: datetime, end: datetime, stats: Stats) -> dict[str, Any]:
    tz = period.zone(query.tz)
    return {
        "from": start.astimezone(tz),
        "to": end.astimezone(tz),
        "totals": metrics_of(query, stats.totals),
        "rows": [_row_body(query, stats, row) for row in stats.rows],
    }


def _row_body(query: StatsQuery, stats: Stats, row: StatsRow) -> dict[str, Any]:
    body: dict[str, Any] = {} if row.time is None else {"time": row.time}
    if query.by_hour_of_week:
        body[HOUR_OF_WEEK] = int(row.values[0])
    for dimension, value in zip(query.groups, row.values, strict=False):
        body[dimension.name.lower()] = value or None
        if dimension is Dimension.LINK:
            names = stats.links.get(value)
            body |= names._asdict() if names else dict.fromkeys(_LINK_NAMES)
    return body | metrics_of(query, row)


def metrics_of(query: StatsQuery, values: MetricValues | StatsRow) -> dict[str, Any]:
    """Return the metrics of the query, by name."""
    return {metric: _metric(metric, values) for metric in query.metrics}


def _metric(metric: str, values: MetricValues | StatsRow) -> Any:
    if metric == "click_rate":
        return round(values.clicks / values.views, 4) if values.views else None
    if metric == "events":
        return values.clicks
    if metric not in CONVERSION_METRICS:
        return getattr(values, metric)
    sums = values.conversions or NO_CONVERSIONS
    if metric == "revenue":
        return revenue_texts(sums.revenue)
    if metric == "conversion_rate":
        return conversion_rate(sums.conversions, values.clicks)
    return sums.conversions

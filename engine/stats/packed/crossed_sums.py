"""Sums of packed clicks by two dimensions, or under filters of several."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from engine.clicks.dimension import MULTIVALUED, Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import period
from engine.stats.ordering import RowGroup, order_groups
from engine.stats.packed.column_sums import group_sums, of_class, passes, rows_of, within
from engine.stats.packed.packed_clicks import COLUMN_OF, Numbers
from engine.stats.packed.profile_clicks import Mask, ProfileClicks, Values
from engine.stats.plan import CrossedPlan
from engine.stats.query import Filter, StatsQuery
from engine.stats.result import MetricValues, Stats


def columns_of(plan: CrossedPlan) -> set[str]:
    """Return the names of the columns that crossed_sums() of the plan needs."""
    dimensions = {*plan.groups, *(filter_.dimension for filter_ in plan.filters)}
    columns = {COLUMN_OF[dimension] for dimension in dimensions if dimension in COLUMN_OF}
    if Dimension.LINK in dimensions:
        columns.add("links")
    return columns | {"kinds"} | ({"visitors", "pseudonyms"} if plan.visitors else set())


def crossed_sums(
    clicks: ProfileClicks,
    query: StatsQuery,
    plan: CrossedPlan,
    as_of: datetime | None,
    max_groups: int,
) -> Stats:
    """Return the answer. Raises InvalidError for more groups than `max_groups`."""
    chosen = within(clicks, plan.starts[0], plan.end) & _passing(clicks, plan.filters)
    chosen &= of_class(clicks, of_events=plan.of_events)
    every = np.flatnonzero(chosen)
    values = [clicks.values(dimension) for dimension in plan.groups]
    of, codes_of = _by_value(chosen, plan, values)
    keys = (rows_of(clicks, plan.starts)[of], *codes_of)
    sums = group_sums(clicks, of, keys, visitors=plan.visitors)
    if len(sums.visitors) > max_groups:
        reason = f"must not make more than {max_groups} groups; filter, or ask for a shorter period"
        raise InvalidError([FieldError("group", reason)])
    tz = period.zone(query.tz)
    times: list[datetime | None] = [None]
    if query.by_time:
        times = [
            period.interval_start_utc(start, query.interval, tz, query.week_start)
            for start in plan.starts
        ]
    row_column, *code_columns = (key.tolist() for key in sums.keys)
    groups = {}
    for number, (row, *codes) in enumerate(zip(row_column, *code_columns, strict=True)):
        names = tuple(each.names[code] for each, code in zip(values, codes, strict=True))
        metrics = (*sums.counts[number].tolist(), int(sums.visitors[number]))
        groups[RowGroup(times[row - 1], names)] = _metric_values(metrics, query)
    total = group_sums(clicks, every, (np.zeros(len(every), np.int64),), visitors=plan.visitors)
    totals = (*total.counts.sum(axis=0).tolist(), int(total.visitors.sum()))
    rows, following = order_groups(groups, query, tz)
    return Stats(rows=rows, totals=_metric_values(totals, query), as_of=as_of, next=following)


def _by_value(
    chosen: Mask, plan: CrossedPlan, values: Sequence[Values]
) -> tuple[Numbers, list[Numbers]]:
    """Return the chosen clicks, each once for each of its values that pass, and the numbers of the values by
    dimension. A click has several variants, or an own event several properties, so no two dimensions are
    MULTIVALUED."""
    of = np.flatnonzero(chosen)
    for dimension, each in zip(plan.groups, values, strict=True):
        if dimension in MULTIVALUED:
            passing = np.ones(len(each.names), bool)
            for filter_ in plan.filters:
                if filter_.dimension is dimension:
                    passing &= _names_passing(each, filter_)
            pairs = chosen[each.clicks] & passing[each.codes]
            of = each.clicks[pairs]
            return of, [
                other.codes[pairs] if other is each else other.codes[of] for other in values
            ]
    return of, [each.codes[of] for each in values]


def _passing(clicks: ProfileClicks, filters: tuple[Filter, ...]) -> Mask:
    """Return which clicks pass all filters: with `!=` by all of their values, else by any."""
    passing: Mask = np.ones(len(clicks), bool)
    for filter_ in filters:
        values = clicks.values(filter_.dimension)
        pairs = _names_passing(values, filter_)[values.codes]
        of_click = np.bincount(values.clicks[pairs], minlength=len(clicks))
        if filter_.operator == "!=":
            passing &= of_click == np.bincount(values.clicks, minlength=len(clicks))
        else:
            passing &= of_click > 0
    return passing


def _names_passing(values: Values, filter_: Filter) -> Mask:
    return np.array([passes(name, filter_) for name in values.names], bool)


def _metric_values(metrics: tuple[int, ...], query: StatsQuery) -> MetricValues:
    clicks, views, bots, visitors = metrics
    return MetricValues(clicks, views, bots, visitors if query.visitors else None)

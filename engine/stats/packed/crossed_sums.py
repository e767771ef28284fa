"""Sums of packed clicks by two dimensions, or under filters of several."""

from collections import defaultdict
from datetime import datetime

import numpy as np

from engine.clicks.dimension import Dimension
from engine.common.errors import FieldError, InvalidError
from engine.stats import period
from engine.stats.ordering import RowGroup, order_groups
from engine.stats.packed.column_sums import group_sums, passes, rows_of, within
from engine.stats.packed.packed_clicks import COLUMN_OF
from engine.stats.packed.profile_clicks import Mask, ProfileClicks
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
    of = np.flatnonzero(chosen)
    rows = rows_of(clicks, plan.starts)[of]
    values = [clicks.values(dimension) for dimension in plan.groups]
    keys = (rows, *(each.codes[of] for each in values))
    sums = group_sums(clicks, of, keys, visitors=plan.visitors)
    if len(sums.visitors) > max_groups:
        reason = f"must not make more than {max_groups} groups; filter, or ask for a shorter period"
        raise InvalidError([FieldError("group", reason)])
    tz = period.zone(query.tz)
    times: list[datetime | None] = [None]
    if query.by_time:
        times = [period.interval_start_utc(start, query.interval, tz) for start in plan.starts]
    row_column, *code_columns = (key.tolist() for key in sums.keys)
    groups = {}
    for number, (row, *codes) in enumerate(zip(row_column, *code_columns, strict=True)):
        names = tuple(each.names[code] for each, code in zip(values, codes, strict=True))
        metrics = (*sums.counts[number].tolist(), int(sums.visitors[number]))
        groups[RowGroup(times[row - 1], names)] = _metric_values(metrics, query)
    total = group_sums(clicks, of, (np.zeros(len(of), np.int64),), visitors=plan.visitors)
    totals = (*total.counts.sum(axis=0).tolist(), int(total.visitors.sum()))
    return Stats(
        rows=order_groups(groups, query, tz), totals=_metric_values(totals, query), as_of=as_of
    )


def _passing(clicks: ProfileClicks, filters: tuple[Filter, ...]) -> Mask:
    """Return which clicks pass the filters of every dimension."""
    by_dimension: defaultdict[Dimension, list[Filter]] = defaultdict(list)
    for filter_ in filters:
        by_dimension[filter_.dimension].append(filter_)
    passing: Mask = np.ones(len(clicks), bool)
    for dimension, of_dimension in by_dimension.items():
        values = clicks.values(dimension)
        names = np.array([passes(name, of_dimension) for name in values.names], bool)
        passing &= names[values.codes]
    return passing


def _metric_values(metrics: tuple[int, ...], query: StatsQuery) -> MetricValues:
    return MetricValues(*metrics) if query.visitors else MetricValues(*metrics[:3])

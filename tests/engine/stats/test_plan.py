"""Plans of stats queries, made without a database."""

from datetime import UTC, datetime

import pytest

from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.stats.plan import (
    CountsPlan,
    CrossedPlan,
    QuarterRange,
    RowKind,
    VisitorSketches,
    plan,
    visitors_bound,
)
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
MARCH = {"from": "2026-03-01", "to": "2026-04-01"}


def query(metrics: str = "clicks", **parameters: str) -> StatsQuery:
    return parse_query([*parameters.items(), ("metrics", metrics)], NOW)


def counts(query: StatsQuery) -> CountsPlan:
    planned = plan(query)
    assert isinstance(planned, CountsPlan)
    return planned


def test_a_series_of_everything_is_one_statement_whose_rows_are_the_totals() -> None:
    links, groups, series, totals = counts(query(**MARCH))
    assert (links, groups, totals) == (None, None, None)
    assert series is not None
    assert series.dimension is Dimension.TOTAL
    assert series.kinds == (RowKind.ROLLUPS, RowKind.DAYS)
    assert len(series.split.starts) == 31
    assert series.links == (ALL_LINKS,)
    assert series.sketches is None


def test_whole_months_of_a_zone_are_parts_days_and_months() -> None:
    series = counts(query(**MARCH, tz="Asia/Kathmandu", interval="month")).series
    assert series is not None
    assert series.kinds == (RowKind.ROLLUPS, RowKind.DAYS, RowKind.DAY_PARTS)
    whole = counts(query(**MARCH, interval="month")).series
    assert whole is not None
    assert whole.kinds == (RowKind.ROLLUPS, RowKind.MONTHS)


def test_rows_shorter_than_a_day_are_read_by_the_quarter() -> None:
    hours = {"from": "2026-03-01T03:00Z", "to": "2026-03-02T05:00Z", "interval": "hour"}
    series = counts(query(**hours, group="time,country")).series
    assert series is not None
    assert series.kinds == (RowKind.LIVE_DIMENSIONS, RowKind.QUARTERS)
    assert series.by_value
    # An hour's visitors take a union of its quarters' sketches: visitors of quarters do not add up.
    visitors = counts(query("visitors", **hours)).series
    assert visitors is not None
    first, second = datetime(2026, 3, 1).date(), datetime(2026, 3, 2).date()
    assert visitors.sketches == VisitorSketches(
        (QuarterRange(first, 12, 96), QuarterRange(second, 0, 20)), add_stored=False
    )


def test_only_parts_within_a_day_need_sketches_of_compacted_days() -> None:
    within = {"from": "2026-03-01T03:00Z", "to": "2026-03-01T05:00Z", "group": "country"}
    groups = counts(query("visitors", **within)).groups
    assert groups is not None
    day = datetime(2026, 3, 1).date()
    assert groups.sketches == VisitorSketches((QuarterRange(day, 12, 20),))
    at_the_end = counts(query("visitors", **within | {"to": "2026-03-02"})).groups
    assert at_the_end is not None
    assert at_the_end.sketches == VisitorSketches(())


def test_groups_by_link_and_value_read_the_rows_of_each_link() -> None:
    links, groups, series, totals = counts(query(**MARCH, group="link,browser", limit="7"))
    assert links is not None
    assert (links.dimension, links.by_value) == (Dimension.LINK, True)
    assert groups is not None
    assert (groups.links, groups.by_link, groups.by_value) == (None, True, True)
    assert (groups.order, groups.limit) == ("clicks", 8)  # one more shows that there are more
    assert series is None
    assert totals is not None
    assert not totals.by_link


def test_links_alone_are_values_of_their_dimension() -> None:
    plan_ = counts(query(**MARCH, group="link", link="5"))
    assert plan_.links is None
    assert plan_.groups is not None
    assert plan_.groups.dimension is Dimension.LINK
    assert [filter_.values for filter_ in plan_.groups.filters] == [("5",)]


def test_a_filter_by_one_link_is_that_links_rows() -> None:
    plan_ = counts(query(**MARCH, group="country", link="5"))
    assert plan_.groups is not None
    assert plan_.groups.links == (5,)
    assert plan_.groups.filters == ()


@pytest.mark.parametrize(
    ("metrics", "group", "dimension"),
    [
        ("clicks", "country", Dimension.COUNTRY),
        ("visitors", "country", Dimension.TOTAL),
        ("clicks", "variant", Dimension.TOTAL),
    ],
)
def test_totals_are_read_without_groups_where_values_overlap(
    metrics: str, group: str, dimension: Dimension
) -> None:
    totals = counts(query(metrics, **MARCH, group=group)).totals
    assert totals is not None
    assert totals.dimension is dimension
    assert len(totals.split.starts) == 1


def test_two_dimensions_are_counted_from_raw_clicks() -> None:
    planned = plan(query("visitors", **MARCH, group="country,browser", link="5"))
    assert isinstance(planned, CrossedPlan)
    assert planned.groups == (Dimension.COUNTRY, Dimension.BROWSER)
    assert planned.visitors


@pytest.mark.parametrize(
    ("filters", "crossed"),
    [
        ({"filter[variant]": "9.1.0"}, False),
        ({"filter[variant]": "9.1.0,9.1.1"}, True),
        ({"filter[variant]!": "9.1.0"}, True),
        ({"filter[country]": "DE,IT", "filter[country]!": "IT"}, False),
        ({"filter[country]": "DE", "link": "5,6"}, False),
        ({"filter[country]": "DE", "filter[os]": "iOS"}, True),
    ],
)
def test_sums_by_value_cannot_tell_clicks_with_two_variants_apart(
    filters: dict[str, str], crossed: bool
) -> None:
    assert isinstance(plan(query(**MARCH, **filters)), CrossedPlan) == crossed


def test_visitors_under_filters_are_bounded_by_those_without() -> None:
    series = counts(query("visitors", **MARCH, **{"filter[country]!": "DE"})).series
    assert series is not None
    bound = visitors_bound(series)
    assert bound is not None
    assert (bound.dimension, bound.links, bound.filters) == (Dimension.TOTAL, (ALL_LINKS,), ())
    assert bound.split == series.split
    of_link = counts(query("visitors", **MARCH, link="5")).series
    assert of_link is not None
    assert visitors_bound(of_link) is None

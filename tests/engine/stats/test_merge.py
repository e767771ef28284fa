"""Merging of sums of stored rows into rows of an answer."""

from datetime import UTC, datetime

import msgspec
import pytest

from engine.clicks.dimension import OTHER
from engine.common.errors import InvalidError
from engine.stats import merge, plan
from engine.stats.merge import SumKey
from engine.stats.parameters import group_cursor
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from engine.stats.result import MetricValues
from engine.stats.sketch import sketch

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
A, B = SumKey(None, "a", 1), SumKey(None, "b", 1)


def test_visitors_of_days_and_values_add_up_those_of_one_day_are_merged() -> None:
    sums = {A: MetricValues(9, 0, 0, 100), B: MetricValues(1, 0, 0, 0)}
    first, second = sketch([1, 2, 3]), sketch([3, 4])
    sketches = [(A, [first, second]), (A, [second]), (SumKey(None, "gone", 1), [first])]
    merge.add_visitors(sums, sketches, add_stored=True)
    assert sums == {A: MetricValues(9, 0, 0, 106), B: MetricValues(1, 0, 0, 0)}
    merge.add_visitors(sums, sketches, add_stored=False)
    assert sums == {A: MetricValues(9, 0, 0, 6), B: MetricValues(1, 0, 0, 0)}


def test_groups_by_visitors_are_sorted_when_all_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [("group", "country"), ("order", "-visitors"), ("limit", "1")]
    query = parse_query(pairs, NOW)
    statement = groups_statement(query)
    sums = {A: MetricValues(visitors=1), B: MetricValues(visitors=2)}
    groups, following = merge.first_groups(query, statement, sums)
    assert list(groups) == [B]
    assert following is not None
    query = parse_query([*pairs, ("cursor", group_cursor.encode(following))], NOW)
    assert merge.first_groups(query, statement, sums) == ({A: sums[A]}, None)
    monkeypatch.setattr(plan, "MAX_SORTED", 1)
    with pytest.raises(InvalidError, match="order: must not be visitors for more than 1 groups"):
        merge.check_sortable(query, sums)


def groups_statement(query: StatsQuery) -> plan.CountsStatement:
    planned = plan.plan(query)
    assert isinstance(planned, plan.CountsPlan)
    assert planned.groups is not None
    return planned.groups


def test_groups_that_are_named_have_rows_without_counts() -> None:
    query = parse_query([("group", "country")], NOW)
    query = msgspec.structs.replace(query, only=(("b",), ("a",), ("c",)))
    sums = {A: MetricValues(1, 0, 0, 1), SumKey(None, "d", 1): MetricValues(2)}
    groups, following = merge.first_groups(query, groups_statement(query), sums)
    assert groups == {
        B: MetricValues(visitors=0),
        A: sums[A],
        SumKey(None, "c", 1): MetricValues(visitors=0),
    }
    assert following is None


def test_visitors_under_filters_are_not_more_than_without() -> None:
    second = A._replace(row=2)
    sums = {A: MetricValues(9, 0, 0, 7), second: MetricValues(9, 0, 0, 7)}
    merge.bound_visitors(sums, {merge.TOTAL: MetricValues(20, 0, 0, 5)})
    assert (sums[A].visitors, sums[second].visitors) == (5, 0)


def test_links_are_those_that_have_rows() -> None:
    values = ("7", OTHER, "0")
    assert merge.links_of({SumKey(None, v, 1): MetricValues() for v in values}) == (7, 0)


def test_a_series_has_its_groups_in_their_order_at_each_time() -> None:
    query = parse_query(
        [("group", "time,country"), ("from", "2026-05-01"), ("to", "2026-05-03"),
         ("tz", "Europe/Rome"), ("metrics", "clicks"), ("fill", "none")], NOW,
    )  # fmt: skip
    planned = plan.plan(query)
    assert isinstance(planned, plan.CountsPlan)
    assert planned.series is not None
    sums = {
        SumKey(None, "b", 2): MetricValues(1),
        SumKey(None, "a", 2): MetricValues(2),
        SumKey(None, "a", 1): MetricValues(3),
        SumKey(None, "not among the groups", 1): MetricValues(4),
    }
    rows = merge.series_rows(query, planned.series.split.starts, sums, [B, A])
    assert [(row.time and row.time.day, row.values, row.clicks) for row in rows] == [
        (1, ("a",), 3),
        (2, ("b",), 1),
        (2, ("a",), 2),
    ]
    assert rows[0].visitors is None
    filled = msgspec.structs.replace(query, fill=True)
    rows = merge.series_rows(filled, planned.series.split.starts, sums, [B, A])
    assert [(row.time and row.time.day, row.values, row.clicks) for row in rows] == [
        (1, ("b",), 0), (1, ("a",), 3), (2, ("b",), 1), (2, ("a",), 2),
    ]  # fmt: skip
    narrowed = merge.of_groups(planned.series, [B, A])
    assert narrowed.values == ("b", "a")

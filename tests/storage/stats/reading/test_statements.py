"""SQL of the statements of plans: complete, with a value for each parameter and no value in its text."""

import re
from datetime import UTC, datetime

import pytest

from engine.stats.packed.column_sums import ColumnSums
from engine.stats.plan import CountsPlan, RowKind, plan
from engine.stats.ports import ProfileKey
from engine.stats.query_parser import parse_query
from storage.stats.reading import statements

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
SPAN = [("from", "2026-01-15"), ("to", "2026-05-03"), ("tz", "Asia/Kathmandu")]
HOSTILE = "'; DROP TABLE clicks; --"
PACKED = [
    ColumnSums([5], [HOSTILE], [1], [1], [0], [0], [1]),
    ColumnSums([None], [None], [2], [0], [1], [0], [0]),
]


def whole(text: str, values: list[object]) -> str:
    numbers = {int(number) for number in re.findall(r"\$(\d+)", text)}
    assert numbers == set(range(1, len(values) + 1))
    assert not re.search(r"[{}]|(?<![:\w]):[a-z]|DROP", text)
    return text


@pytest.mark.parametrize("order", ["clicks", "-views", "bots", "-click_rate", "value", "-visitors"])
@pytest.mark.parametrize("group", ["time", "country", "time,link", "link,city"])
def test_statements_of_counts_are_whole(group: str, order: str) -> None:
    hostile = [("filter[city]", HOSTILE), ("filter[city]!", HOSTILE), ("filter[city]~", HOSTILE)]
    filters = hostile if group == "link,city" else []
    planned = plan(parse_query([*SPAN, ("group", group), ("order", order), *filters], NOW))
    assert isinstance(planned, CountsPlan)
    for statement in planned:
        if statement is not None:
            text = whole(*statements.counts(ProfileKey(1, 2), statement, PACKED))
            assert ("dimension_months" in text) == (RowKind.MONTHS in statement.kinds)
            whole(*statements.live_sketches(ProfileKey(1, 2), statement))
            whole(*statements.quarter_sketches(ProfileKey(1, 2), statement))


def test_sums_of_packed_clicks_are_parameters() -> None:
    planned = plan(parse_query([*SPAN, ("group", "link,city")], NOW))
    assert isinstance(planned, CountsPlan)
    assert planned.groups is not None
    _, values = statements.counts(ProfileKey(1, 2), planned.groups, PACKED)
    for column in ([5, None], [HOSTILE, None], [1, 2], [1, 0], [0, 1], [0, 0]):
        assert column in values


def test_only_needed_parameters_are_sent() -> None:
    """A statement has the parameters that its rows need, and no others."""
    planned = plan(parse_query([*SPAN[:2], ("metrics", "clicks")], NOW))
    assert isinstance(planned, CountsPlan)
    assert planned.series is not None
    _, values = statements.counts(ProfileKey(1, 2), planned.series, PACKED)
    assert len(values) == 20

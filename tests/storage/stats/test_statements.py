"""SQL of the statements of plans: complete, with a value for each parameter and no value in its text."""

import re
from datetime import UTC, datetime

import pytest

from engine.stats.plan import CountsPlan, RawClicksPlan, RowKind, plan
from engine.stats.query_parser import parse_query
from storage.stats import statements
from storage.stats.statements import ProfileKey

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
SPAN = [("from", "2026-01-15"), ("to", "2026-05-03"), ("tz", "Asia/Kathmandu")]
HOSTILE = "'; DROP TABLE clicks; --"


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
            text = whole(*statements.counts(ProfileKey(1, 2), statement))
            assert ("dimension_months" in text) == (RowKind.MONTHS in statement.kinds)
            whole(*statements.sketches(ProfileKey(1, 2), statement))


def test_statements_of_raw_clicks_are_whole() -> None:
    filters = [("filter[city]", HOSTILE), ("filter[browser]~", HOSTILE), ("link", "5")]
    planned = plan(parse_query([*SPAN, ("group", "city,os"), *filters], NOW))
    assert isinstance(planned, RawClicksPlan)
    whole(*statements.crossed(ProfileKey(1, 2), planned, 7))
    whole(*statements.crossable(ProfileKey(1, 2), planned))


def test_only_needed_parameters_are_sent() -> None:
    """A statement has the parameters that its rows need, and no others."""
    planned = plan(parse_query([*SPAN[:2], ("metrics", "clicks")], NOW))
    assert isinstance(planned, CountsPlan)
    assert planned.series is not None
    _, values = statements.counts(ProfileKey(1, 2), planned.series)
    assert len(values) == 13

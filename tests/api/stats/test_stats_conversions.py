"""Metrics of conversions in answers to stats questions."""

from decimal import Decimal
from typing import Any

import pytest

from engine.stats.conversion_question import ConversionSum
from engine.stats.result import MetricValues, Stats, StatsRow
from tests.kit.consoles import Console

SUMS = ConversionSum(2, {"JPY": Decimal("500.0000"), "EUR": Decimal("12.3000")})
METRICS = "metrics=clicks,conversions,revenue,conversion_rate"


async def asked(parameters: str, path: str = "stats") -> Any:
    console = Console()
    profile = await console.profile()
    console.stats.answer = Stats(
        rows=(
            StatsRow(None, 8, 0, values=("DE",), conversions=SUMS),
            StatsRow(None, 0, 0, values=("",), conversions=ConversionSum(0, {"EUR": Decimal("-2.5")})),
        ),
        as_of=None,
        totals=MetricValues(clicks=8, conversions=SUMS),
    )  # fmt: skip
    return await console.call("GET", f"/v1/profiles/{profile['id']}/{path}?{parameters}")


async def test_conversions_are_told_where_they_are_asked_for() -> None:
    answered = await asked(f"group=country&{METRICS}")
    body = answered.json
    assert body["attribution_days"] == 30
    assert body["rows"] == [
        {"country": "DE", "clicks": 8, "conversions": 2, "revenue": {"EUR": "12.30", "JPY": "500"},
         "conversion_rate": 0.25},
        {"country": None, "clicks": 0, "conversions": 0, "revenue": {"EUR": "-2.50"},
         "conversion_rate": None},
    ]  # fmt: skip
    assert body["totals"]["conversions"] == 2
    assert "ETag" not in answered.headers  # a conversion comes between commits of counts
    plain = await asked("group=country")
    assert "ETag" in plain.headers
    assert not {"conversions", "revenue", "attribution_days"} & (
        plain.json.keys() | plain.json["rows"][0].keys()
    )


async def test_a_file_has_revenue_in_one_cell() -> None:
    answered = await asked(f"group=country&format=csv&{METRICS}", "stats/export")
    assert "12.30 EUR; 500 JPY" in answered.body.decode()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("group=hour_of_week&metrics=conversions", "group"),
        ("group=hour_of_week&order=conversions", "group"),
        ("group=country&order=-revenue", "order"),
        ("metrics=sales", "metrics"),
    ],
)
async def test_what_conversions_cannot_be_asked_for_is_said(parameters: str, field: str) -> None:
    assert (await asked(parameters)).problem(422).keys() == {field}

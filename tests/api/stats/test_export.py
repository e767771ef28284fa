"""Exports of stats queries and raw clicks as files; no CSV cell is a formula."""

import csv
import io
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from engine.clicks.click import ClickKind, VisitorClass
from engine.clicks.record_items import PLACE, UTM, item
from engine.stats.ports import CLICK_COLUMNS
from engine.stats.result import Stats, StatsRow
from tests.kit.consoles import NOW, Console
from tests.kit.shipped_batches import click

HOSTILE = '=HYPERLINK("http://evil","x")'


async def console_with_clicks() -> tuple[Console, str]:
    console = Console()
    id_ = (await console.profile())["id"]
    place = item(PLACE, "\x1f".join(("EU", "DE", "BY", "-Stadt")).encode())
    at_us = round(NOW.timestamp() * 1e6) - 60_000_000
    common: dict[str, Any] = {"tenant_id": 1, "profile_id": int(id_)}
    clicks = [
        click(5, at_us, **common)._replace(
            visitor_id=b"12345678", items=place + item(UTM, b"utm_source=%40SUM(1)")
        ),
        click(0, at_us + 1, kind=ClickKind.VIEW, verdict=VisitorClass.HEAD, **common),
        click(5, at_us, profile_id=int(id_) + 1),
    ]
    console.click_counts.clicks += [(uuid4(), one) for one in clicks]
    return console, f"/v1/profiles/{id_}"


def table(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def test_clicks_as_csv_have_no_visitor_and_no_formula() -> None:
    console, path = await console_with_clicks()
    response = await console.call("GET", f"{path}/clicks/export?format=csv&tz=Europe/Rome")
    assert response.headers["Content-Type"].startswith("text/csv")
    assert response.headers["Content-Disposition"].startswith(
        'attachment; filename="waypost-clicks-'
    )
    first, head = table(response.body)
    assert tuple(first) == CLICK_COLUMNS
    assert (first["time"], first["link"]) == ("2026-03-15T11:06:00+01:00", "5")
    assert (first["utm_source"], first["city"]) == ("'@SUM(1)", "'-Stadt, DE")
    assert (head["kind"], head["visitor_class"]) == ("view", "head")
    assert b"12345678" not in response.body


async def test_clicks_as_ndjson() -> None:
    console, path = await console_with_clicks()
    response = await console.call(
        "GET", f"{path}/clicks/export?format=ndjson&from=2026-03-15&to=2026-03-16"
    )
    first, head = (msgspec.json.decode(line) for line in response.body.splitlines())
    assert (first["utm_source"], first["country"], first["browser"]) == ("@SUM(1)", "DE", "curl")
    assert (head["referrer"], head["country"]) == (None, None)


async def test_the_rows_of_a_stats_query() -> None:
    console, path = await console_with_clicks()
    console.stats.answer = Stats(
        rows=(StatsRow(None, 3, 2, 1, 2, (HOSTILE,)), StatsRow(None, 1, 0, 0, 1, ("",))), as_of=None
    )
    query = "group=referrer&metrics=clicks,click_rate"
    response = await console.call("GET", f"{path}/stats/export?format=csv&{query}")
    assert table(response.body) == [
        {"referrer": f"'{HOSTILE}", "clicks": "3", "click_rate": "1.5"},
        {"referrer": "", "clicks": "1", "click_rate": ""},
    ]
    response = await console.call("GET", f"{path}/stats/export?format=ndjson&{query}")
    assert msgspec.json.decode(response.body.splitlines()[1]) == {
        "referrer": None, "clicks": 1, "click_rate": None,
    }  # fmt: skip


async def test_a_file_for_excel_begins_with_a_byte_order_mark() -> None:
    console, path = await console_with_clicks()
    for name in ("stats", "clicks"):
        plain = await console.call("GET", f"{path}/{name}/export?format=csv")
        excel = await console.call("GET", f"{path}/{name}/export?format=csv&excel=1")
        assert excel.body == b"\xef\xbb\xbf" + plain.body
        assert not plain.body.startswith(b"\xef")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("stats/export", {"format"}), ("stats/export?format=xlsx&group=x", {"format", "group"}),
        ("clicks/export?format=csv&group=country", {"group"}),
        ("clicks/export?format=csv&format=csv", {"format"}),
        ("stats/export?format=csv&compare=previous", {"compare"}),
        ("stats/export?format=csv&excel=yes", {"excel"}),
        ("clicks/export?format=csv&excel=1&excel=1", {"excel"}),
        ("clicks/export?format=ndjson&excel=1", {"excel"}),
        ("clicks/export?format=csv&tz=x&from=y", {"tz", "from"}),
    ],
)  # fmt: skip
async def test_bad_parameters_are_named(query: str, fields: set[str]) -> None:
    console, path = await console_with_clicks()
    assert (await console.call("GET", f"{path}/{query}")).problem(422).keys() == fields


async def test_only_members_export() -> None:
    console, path = await console_with_clicks()
    (await console.call("GET", f"{path}/clicks/export?format=csv", key="two")).problem(404)
    (await console.call("GET", f"{path}/stats/export?format=csv", key="two")).problem(404)

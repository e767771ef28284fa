"""Clicks in responses with links, lists in their order, and the reset of a link's counts."""

from datetime import date, timedelta
from typing import Any

import pytest

from api.links.included_clicks import click_period
from engine.links.link_clicks import ClickPeriod, LinkClickCounts
from tests.kit.consoles import NOW, Console

QUARTER = NOW.replace(minute=0)


async def counted() -> tuple[Console, str, list[dict[str, Any]]]:
    """Return a console with three links, which have clicks in 30 days and in all time."""
    console = Console()
    profile = await console.profile()
    links = [await console.link(profile["id"], f"s{n}", opening_clicks=n) for n in range(3)]

    def clicks_in(period: ClickPeriod) -> dict[int, LinkClickCounts]:
        if period.first == NOW.date():
            return {}
        clicks = 50 if period.all_time else 5
        return {
            int(links[0]["id"]): LinkClickCounts(clicks, QUARTER - timedelta(hours=3)),
            int(links[2]["id"]): LinkClickCounts(clicks - 1, QUARTER),
        }

    console.profiles.clicks_in = clicks_in
    return console, f"/v1/profiles/{profile['id']}/links", links


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=-clicks&include=clicks", [("s0", 5), ("s2", 4), ("s1", 0)]),
        ("sort=clicks&include=clicks", [("s1", 0), ("s2", 4), ("s0", 5)]),
        ("sort=-clicks&include=clicks&period=all", [("s2", 51), ("s0", 50), ("s1", 1)]),
        ("sort=-clicks&include=clicks&period=1d", [("s2", 0), ("s1", 0), ("s0", 0)]),
        ("sort=-last_click&include=clicks", [("s2", 4), ("s0", 5), ("s1", 0)]),
    ],
)
async def test_links_are_listed_by_their_clicks(
    query: str, expected: list[tuple[str, int]]
) -> None:
    console, path, _ = await counted()
    page = (await console.call("GET", f"{path}?{query}")).json
    assert [(link["slug"], link["clicks"]) for link in page["items"]] == expected
    assert "last_click" not in page["items"][0]
    found: list[tuple[str, int]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await console.call("GET", f"{path}?{query}&limit=1{cursor}")).json
        found += [(link["slug"], link["clicks"]) for link in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert found == expected


async def test_a_link_shows_its_clicks_when_asked_and_has_another_tag() -> None:
    console, _, links = await counted()
    path = f"/v1/links/{links[2]['id']}"
    plain = await console.call("GET", path)
    assert {"clicks", "last_click"}.isdisjoint(plain.json)
    asked = await console.call("GET", path + "?include=clicks,last_click")
    assert (asked.json["clicks"], asked.json["last_click"]) == (4, "2026-03-15T10:00:00Z")
    assert asked.headers["ETag"] != plain.headers["ETag"]
    never = await console.call("GET", f"/v1/links/{links[1]['id']}?include=last_click")
    assert never.json["last_click"] is None
    assert "clicks" not in never.json


async def test_a_reset_lets_the_total_begin_at_0_and_is_announced() -> None:
    console, _, links = await counted()
    url = f"/v1/links/{links[2]['id']}"
    total = url + "?include=clicks&period=all"
    assert (await console.call("GET", total)).json["clicks"] == 51
    reset = await console.call("POST", url + "/counts/reset")
    assert (reset.status, reset.json["clicks"], reset.json["opening_clicks"]) == (200, 0, 0)
    assert reset.json["version"] == 2
    assert console.announcer.changes[-1].version == 5
    assert (await console.call("GET", total)).json["clicks"] == 0
    assert (await console.call("GET", url + "?include=clicks")).json["clicks"] == 4
    (await console.call("POST", url + "/counts/reset", key="two")).problem(404)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("include=visits", "include"), ("include=", "include"), ("period=fortnight", "period"),
        ("period=0d", "period"), ("sort=-clicks&cursor=YTEgeA", "cursor"),
        ("sort=-clicks&cursor=YTEgLTE", "cursor"),
    ],
)  # fmt: skip
async def test_what_is_refused_names_its_field(query: str, field: str) -> None:
    console, path, links = await counted()
    assert field in (await console.call("GET", f"{path}?{query}")).problem(422)
    if field != "cursor":
        answer = await console.call("GET", f"/v1/links/{links[0]['id']}?{query}")
        assert field in answer.problem(422)


async def test_periods_are_whole_days_of_utc() -> None:
    assert click_period("1d", NOW) == ClickPeriod(NOW.date(), NOW.date())
    assert click_period("30d", NOW) == ClickPeriod(date(2026, 2, 14), NOW.date())
    assert click_period("month", NOW) == ClickPeriod(date(2026, 3, 1), date(2026, 3, 31))
    assert click_period("all", NOW).all_time
    for name in ("", "0d", "9999d", "fortnight"):
        with pytest.raises(ValueError, match="must be"):
            click_period(name, NOW)

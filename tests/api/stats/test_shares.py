"""`/v1/profiles/{id}/shares`: what a token reads, what it does not, and how it ends."""

from typing import Any

import pytest
from trio.testing import MockClock

from api.http import rate_limits
from api.http.key_cache import CACHE_S
from engine.limits.rate import Rate
from engine.stats.dashboards.share import MAX_SHARES
from tests.api.http.test_auth_access import routes_of
from tests.kit.consoles import Console

DRAFT: dict[str, Any] = {
    "label": "The client's site",
    "metrics": ["clicks", "visitors"],
    "dimensions": ["country"],
    "period": {"from": "2026-03-01T00:00:00Z", "to": None},
}


async def shared(console: Console, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Return the path of a new profile, and a share of it."""
    path = f"/v1/profiles/{(await console.profile())['id']}"
    response = await console.call("POST", f"{path}/shares", DRAFT | changes)
    assert response.status == 201, response.body
    share: dict[str, Any] = response.json
    return path, share


async def test_a_share_is_made_listed_and_revoked() -> None:
    console = Console()
    path, share = await shared(console, expires_at="2026-04-01T00:00:00+02:00")
    token = share.pop("token")
    assert token.startswith(share["prefix"])
    assert share["expires_at"] == "2026-03-31T22:00:00Z"
    assert share["period"] == DRAFT["period"]
    assert (await console.call("GET", f"{path}/shares")).json["items"] == [share]
    current = await console.call("GET", "/v1/shares/current", key=token)
    assert current.json == {
        "profile_id": share["profile_id"],
        "handle": "anna",
        "title": "",
        "metrics": ["clicks", "visitors"],
        "dimensions": ["country"],
        "period": DRAFT["period"],
        "expires_at": share["expires_at"],
    }
    revoked = await console.call("DELETE", f"{path}/shares/{share['id']}")
    assert revoked.status == 204
    (await console.call("GET", "/v1/shares/current", key=token)).problem(401)
    (await console.call("DELETE", f"{path}/shares/{share['id']}")).problem(404)


async def test_a_query_is_completed_from_the_share() -> None:
    console = Console()
    path, share = await shared(console)
    response = await console.call("GET", f"{path}/stats", key=share["token"])
    assert response.status == 200, response.body
    assert response.json["from"] == "2026-03-01T00:00:00Z"
    assert response.json["totals"].keys() == {"clicks", "visitors"}
    body = {"questions": [{"group": "country"}, {"interval": "hour"}], "visitors_now": True}
    batch = await console.call("POST", f"{path}/stats/batch", body, key=share["token"])
    assert [answer["totals"].keys() for answer in batch.json["answers"]] == [
        {"clicks", "visitors"},
        {"clicks"},
    ]


async def test_an_order_that_is_left_out_is_by_a_metric_of_the_share() -> None:
    console = Console()
    path, share = await shared(console, metrics=["bots", "views"])
    response = await console.call("GET", f"{path}/stats?group=country", key=share["token"])
    assert response.status == 200, response.body
    assert console.stats.query is not None
    assert (console.stats.query.order, console.stats.query.descending) == ("bots", True)


async def test_a_share_of_own_events_asks_for_them_and_others_do_not() -> None:
    console = Console()
    both = ["clicks", "visitors", "events"]
    path, share = await shared(console, metrics=both, dimensions=["event"])
    for query, metrics in (
        ("group=time", ("clicks", "visitors")),
        ("group=event", ("events", "visitors")),
        ("group=event&interval=hour", ("events",)),
    ):
        answer = await console.call("GET", f"{path}/stats?{query}", key=share["token"])
        assert answer.status == 200, answer.body
        assert console.stats.query is not None
        assert console.stats.query.metrics == metrics
    refused = await console.call("GET", f"{path}/stats?group=property", key=share["token"])
    refused.problem(403)
    only = {"label": "events", "metrics": ["events"]}
    token = (await console.call("POST", f"{path}/shares", only)).json["token"]
    assert (await console.call("GET", f"{path}/stats", key=token)).status == 200
    assert console.stats.query is not None
    assert console.stats.query.metrics == ("events",)


@pytest.mark.parametrize(
    ("parameters", "bound"),
    [
        ("metrics=clicks,views", "metrics: this share does not have views"),
        ("group=city", "dimensions: this share does not have city"),
        ("group=country,device", "dimensions: this share does not have device"),
        ("filter[city]=Rome,IT", "dimensions: this share does not have city"),
        ("filter[source]!=x", "dimensions: this share does not have source"),
        ("link=77", "dimensions: this share does not have link"),
        ("group=country&order=-bots", "order: this share does not have bots"),
        ("from=2026-02-28T23:45:00Z", "from: the period must not begin before 2026-03-01"),
        ("period=year", "from: the period"),
        ("compare=previous", "from: the compared period"),
        ("compare=2026-02-01..2026-02-02", "from: the compared period"),
    ],
)
async def test_what_a_share_does_not_have_is_403_and_named(parameters: str, bound: str) -> None:
    console = Console()
    path, share = await shared(console)
    response = await console.call("GET", f"{path}/stats?{parameters}", key=share["token"])
    response.problem(403)
    assert bound in response.json["detail"]
    question = dict(part.split("=", 1) for part in parameters.split("&") if "!" not in part)
    if question:
        body = {"questions": [{}, question]}
        batch = await console.call("POST", f"{path}/stats/batch", body, key=share["token"])
        assert bound in batch.json["detail"]
    assert console.stats.asked == 0


async def test_a_share_that_has_ended_counts_nothing_of_now() -> None:
    console = Console()
    period = {"from": None, "to": "2026-03-10T00:00:00Z"}
    path, share = await shared(console, period=period)
    answered = await console.call("GET", f"{path}/stats", key=share["token"])
    assert answered.json["to"] == "2026-03-10T00:00:00Z"
    for parameters in ("to=2026-03-10T00:15:00Z", "period=7d"):
        refused = await console.call("GET", f"{path}/stats?{parameters}", key=share["token"])
        refused.problem(403)
        assert "to: the period must not end after" in refused.json["detail"]
    for body in ({"visitors_now": True}, {"latest_clicks": 1}):
        (await console.call("POST", f"{path}/stats/batch", body, key=share["token"])).problem(403)


async def test_a_share_opens_no_other_route_and_no_other_profile() -> None:
    console = Console()
    _, share = await shared(console)
    other = (await console.profile("bella"))["id"]
    for method, name, body in (
        ("GET", "stats", None),
        ("POST", "stats/batch", {"questions": [{}]}),
    ):
        answered = await console.call(
            method, f"/v1/profiles/{other}/{name}", body, key=share["token"]
        )
        answered.problem(404)
    opened = []
    for route, route_path in routes_of(console):
        if route.access == "public":
            continue
        answered = await console.call(route.method, route_path, key=share["token"])
        if answered.status != 403:
            opened.append(route.rule)
    assert opened == [
        "/v1/profiles/<profile_id>/stats",
        "/v1/profiles/<profile_id>/stats/batch",
        "/v1/shares/current",
    ]
    (await console.call("GET", "/v1/nowhere", key=share["token"])).problem(403)


async def test_only_admins_of_the_profile_manage_its_shares() -> None:
    console = Console()
    path, share = await shared(console)
    for method, name, body in (
        ("GET", "shares", None),
        ("POST", "shares", DRAFT),
        ("DELETE", f"shares/{share['id']}", None),
    ):
        (await console.call(method, f"{path}/{name}", body, key="two")).problem(404)
    (await console.call("GET", "/v1/shares/current")).problem(403)
    assert (await console.call("GET", f"{path}/stats", key=share["token"])).status == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label": " "}, "label"),
        ({"metrics": []}, "metrics"),
        ({"metrics": ["clicks", "clicks"]}, "metrics"),
        ({"metrics": ["spend"]}, "metrics"),
        ({"dimensions": ["shoe_size"]}, "dimensions"),
        ({"period": {"from": "2026-03-01T00:01:00Z"}}, "period.from"),
        ({"period": {"to": "2026-03-01T00:00:00"}}, "period.to"),
        ({"period": {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"}}, "period.from"),
        ({"period": {"since": "2026-03-02T00:00:00Z"}}, "period"),
        ({"expires_at": "2026-03-01T00:00:00Z"}, "expires_at"),
        ({"origins": ["https://a.example/"]}, "origins"),
        ({"origins": ["*"]}, "origins"),
        ({"origins": ["https://A.example"]}, "origins"),
        ({"origins": ["https://a.example:443"]}, "origins"),
    ],
)
async def test_each_bad_field_is_named(changes: dict[str, Any], field: str) -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/shares"
    response = await console.call("POST", path, DRAFT | changes)
    assert list(response.problem(422)) == [field]


async def test_a_profile_has_a_bounded_number_of_shares() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/shares"
    for _ in range(MAX_SHARES):
        assert (await console.call("POST", path, DRAFT)).status == 201
    response = await console.call("POST", path, DRAFT)
    assert "revoke one first" in response.problem(409)["shares"]


async def test_whoever_has_the_token_shares_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "SHARED", Rate("share", units=2, period_s=60))
    console = Console()
    path, share = await shared(console)
    assert (await console.call("GET", f"{path}/stats", key=share["token"])).status == 200
    (await console.call("GET", f"{path}/links", key=share["token"])).problem(403)
    (await console.call("GET", "/v1/shares/current", key=share["token"])).problem(429)
    assert (await console.call("GET", f"{path}/stats")).status == 200


async def test_a_revoked_share_of_another_process_ends_in_seconds(
    autojump_clock: MockClock,
) -> None:
    console = Console()
    path, share = await shared(console)
    assert (await console.call("GET", f"{path}/stats", key=share["token"])).status == 200
    console.shares._shares.clear()
    assert (await console.call("GET", f"{path}/stats", key=share["token"])).status == 200
    autojump_clock.jump(CACHE_S)
    (await console.call("GET", f"{path}/stats", key=share["token"])).problem(401)


async def test_a_poll_by_a_share_is_answered_304() -> None:
    console = Console()
    path, share = await shared(console)
    first = await console.call("GET", f"{path}/stats", key=share["token"])
    tag = first.headers["ETag"]
    again = await console.call("GET", f"{path}/stats", key=share["token"], If_None_Match=tag)
    assert again.status == 304
    assert console.stats.asked == 1

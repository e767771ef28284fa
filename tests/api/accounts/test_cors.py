"""Cross-origin requests: which responses a page of another origin may read."""

from typing import Any

import pytest
from trio.testing import MockClock

from api.accounts import cors
from api.http import rate_limits
from engine.limits.rate import Rate
from tests.kit.consoles import Answered, Console

APP, OTHER = "https://app.example", "https://other.example"


async def key_for(console: Console, *origins: str) -> dict[str, Any]:
    """Return a new key whose origins these are."""
    draft = {"label": "app", "scopes": ["read"], "origins": list(origins)}
    created = await console.call("POST", "/v1/keys", draft)
    assert created.status == 201, created.body
    key: dict[str, Any] = created.json
    assert key["origins"] == list(origins)
    return key


async def preflight(console: Console, origin: str, path: str = "/v1/profiles") -> Answered:
    return await console.call(
        "OPTIONS", path, key="", Origin=origin, Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization",
    )  # fmt: skip


async def test_a_page_of_an_allowed_origin_reads_the_response() -> None:
    console = Console()
    key = (await key_for(console, APP))["key"]
    allowed = await preflight(console, APP)
    assert (allowed.status, allowed.body) == (204, b"")
    assert allowed.headers["Access-Control-Allow-Origin"] == APP
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert "GET" in allowed.headers["Access-Control-Allow-Methods"]
    answered = await console.call("GET", "/v1/profiles", key=key, Origin=APP)
    assert answered.status == 200
    assert answered.headers["Access-Control-Allow-Origin"] == APP
    assert "ETag" in answered.headers["Access-Control-Expose-Headers"]
    refused = await console.call("POST", "/v1/profiles", {"handle": "x"}, key=key, Origin=APP)
    refused.problem(403)
    assert refused.headers["Access-Control-Allow-Origin"] == APP
    for response in (allowed, answered, refused):
        assert "Origin" in response.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_no_other_page_reads_it() -> None:
    console = Console()
    key = (await key_for(console, APP))["key"]
    await key_for(console, OTHER)
    for origin in (OTHER, "null", "https://app.example.evil", "http://app.example", APP + "/", ""):
        answered = await console.call("GET", "/v1/profiles", key=key, Origin=origin)
        assert answered.status == 200
        assert "Access-Control-Allow-Origin" not in answered.headers
        assert "Origin" in answered.headers["Vary"]
    plain = await console.call("GET", "/v1/profiles", Origin=APP)
    assert "Access-Control-Allow-Origin" not in plain.headers


@pytest.mark.parametrize("origin", [OTHER, "null", "*", "https://app.example/", "x" * 300])
async def test_a_preflight_of_an_unknown_origin_is_refused(origin: str) -> None:
    console = Console()
    await key_for(console, APP)
    refused = await preflight(console, origin)
    refused.problem(403)
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_a_share_allows_its_own_origins() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}"
    draft = {"label": "s", "metrics": ["clicks"], "origins": [OTHER]}
    token = (await console.call("POST", f"{path}/shares", draft)).json["token"]
    assert (await preflight(console, OTHER, f"{path}/stats")).status == 204
    first = await console.call("GET", f"{path}/stats", key=token, Origin=OTHER)
    assert first.headers["Access-Control-Allow-Origin"] == OTHER
    tag = first.headers["ETag"]
    again = await console.call("GET", f"{path}/stats", key=token, Origin=OTHER, If_None_Match=tag)
    assert again.status == 304
    assert again.headers["Access-Control-Allow-Origin"] == OTHER


async def test_a_poll_of_a_page_elsewhere_is_answered_with_its_origin() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/stats"
    key = (await key_for(console, APP))["key"]
    tag = (await console.call("GET", path, key=key, Origin=APP)).headers["ETag"]
    for _ in range(2):
        again = await console.call("GET", path, key=key, Origin=APP, If_None_Match=tag)
        assert again.status == 304
        assert again.headers["Access-Control-Allow-Origin"] == APP


async def test_preflights_are_looked_up_once_in_seconds_and_bounded(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cors, "MAX_CACHED", 2)
    console = Console()
    key = await key_for(console, APP)
    assert (await preflight(console, APP)).status == 204
    await console.call("DELETE", f"/v1/keys/{key['id']}")
    assert (await preflight(console, APP)).status == 204
    for number in range(2):
        (await preflight(console, f"https://{number}.example")).problem(403)
    (await preflight(console, APP)).problem(403)
    await key_for(console, APP)
    (await preflight(console, APP)).problem(403)
    autojump_clock.jump(cors.CACHE_S)
    assert (await preflight(console, APP)).status == 204


async def test_preflights_have_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "PREFLIGHTS", Rate("preflights", units=1, period_s=60))
    console = Console()
    await key_for(console, APP)
    assert (await preflight(console, APP)).status == 204
    (await preflight(console, APP)).problem(429)


async def test_a_key_names_exact_origins() -> None:
    console = Console()
    for origins in (["*"], ["null"], ["https://app.example/"], [APP, APP], [APP] * 11):
        draft = {"label": "app", "scopes": ["read"], "origins": origins}
        assert list((await console.call("POST", "/v1/keys", draft)).problem(422)) == ["origins"]

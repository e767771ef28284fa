"""Authentication by API key, and its cache."""

import pytest
import trio
from werkzeug.datastructures import Headers

from api.http import key_cache
from engine.common.errors import UnavailableError
from tests.kit.consoles import Console


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Basic b25lOg==", "one", "Bearer one two", "Bearer wrong",
        "Bearer \xe9", "Bearer " + "x" * 257,
    ],
)  # fmt: skip
async def test_no_good_key_is_401(header: str) -> None:
    response = await Console().call("GET", "/v1/profiles", key="", Authorization=header)
    response.problem(401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_without_a_key_existing_and_unknown_paths_are_alike() -> None:
    console = Console()
    for method, path in (
        ("GET", "/v1/profiles"),
        ("GET", "//v1/profiles"),
        ("GET", "/v1/nothing"),
        ("PUT", "/v1/x"),
    ):
        response = await console.call(method, path, key="")
        response.problem(401)


async def test_the_scheme_is_read_in_any_case() -> None:
    response = await Console().call("GET", "/v1/profiles", key="", Authorization="bEARER  one")
    assert response.status == 200


async def test_two_authorization_headers_are_401() -> None:
    client = Console().app.test_client()
    headers = [("Authorization", "Bearer one"), ("Authorization", "Bearer two")]
    response = await client.get("/v1/profiles", headers=Headers(headers))
    assert response.status_code == 401


async def test_a_valid_key_is_cached_for_a_while_and_an_invalid_one_is_not(
    autojump_clock: object,
) -> None:
    console = Console()
    for _ in range(3):
        assert (await console.call("GET", "/v1/profiles")).status == 200
    assert console.keys.lookups == 1
    await trio.sleep(key_cache.CACHE_S + 0.01)
    assert (await console.call("GET", "/v1/profiles")).status == 200
    assert console.keys.lookups == 2
    for _ in range(2):
        (await console.call("GET", "/v1/profiles", key="bad")).problem(401)
    assert console.keys.lookups == 4


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_cache, "MAX_KEYS", 1)
    console = Console()
    for _ in range(2):
        await console.call("GET", "/v1/profiles", key="one")
        await console.call("GET", "/v1/profiles", key="two")
    assert console.keys.lookups == 4


async def test_a_store_that_is_away_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console()

    async def away(_: str) -> None:
        raise UnavailableError("Postgres does not answer")

    monkeypatch.setattr(console.keys, "authenticate", away)
    (await console.call("GET", "/v1/profiles")).problem(503)

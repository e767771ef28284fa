"""`/v1/keys`: shown once, bounded, and over when they are revoked."""

from datetime import timedelta

import pytest
import trio

from api.http import key_cache
from engine.accounts.access import Caller
from engine.accounts.api_key import MAX_KEYS
from tests.kit.consoles import NOW, Console

KEY = {"label": "deploy script", "scopes": ["read", "write"]}


async def test_a_key_is_shown_once_and_works() -> None:
    console = Console()
    made = await console.call("POST", "/v1/keys", KEY)
    assert made.status == 201
    key = made.json.pop("key")
    assert (key[:3], made.json["prefix"]) == ("wp_", key[:8])
    assert (made.json["label"], made.json["scopes"]) == (KEY["label"], KEY["scopes"])
    listed = (await console.call("GET", "/v1/keys")).json["items"]
    assert listed[-1] == {name: value for name, value in made.json.items() if name != "key"}
    assert (await console.call("POST", "/v1/profiles", {"handle": "a"}, key=key)).status == 201
    (await console.call("POST", "/v1/keys", KEY, key=key)).problem(403)  # it has no admin
    assert console.used[-1][0].key_id == int(made.json["id"])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"label", "scopes"}),
        ({"label": " ", "scopes": []}, {"label", "scopes"}),
        ({"label": "x" * 201, "scopes": ["root"]}, {"label", "scopes"}),
        (KEY | {"scopes": ["read", "read"]}, {"scopes"}),
        (KEY | {"scopes": "read"}, {"scopes"}),
        (KEY | {"expires_at": "2026-03-15T10:07:00Z"}, {"expires_at"}),
        (KEY | {"expires_at": "2030-01-01T00:00:00"}, {"expires_at"}),
        (KEY | {"expires_at": "soon", "owner": 1}, {"expires_at", "owner"}),
        (KEY | {"expires_at": "9999-12-31T23:59:59-01:00"}, {"expires_at"}),
        (KEY | {"expires_at": "9999-12-31T23:59:59-23:59"}, {"expires_at"}),
    ],
)
async def test_bad_fields_are_named(body: object, fields: set[str]) -> None:
    assert (await Console().call("POST", "/v1/keys", body)).problem(422).keys() == fields


async def test_a_key_makes_no_key_that_may_more() -> None:
    console = Console()
    console.keys.add("some", Caller(1, 1, scopes=("read", "admin")))
    (await console.call("POST", "/v1/keys", KEY, key="some")).problem(403)
    body = KEY | {"scopes": ["read", "admin"]}
    assert (await console.call("POST", "/v1/keys", body, key="some")).status == 201


async def test_a_hundred_keys_are_enough() -> None:
    console = Console()
    for _ in range(MAX_KEYS - 1):
        assert (await console.call("POST", "/v1/keys", KEY)).status == 201
    (await console.call("POST", "/v1/keys", KEY)).problem(409)


async def test_an_expired_key_is_401() -> None:
    console = Console()
    console.keys.add("old", Caller(1, 1), NOW - timedelta(days=10_000))
    response = await console.call("GET", "/v1/profiles", key="old")
    response.problem(401)
    assert response.json["detail"] == "this key has expired"


async def test_a_revoked_key_ends_at_once(autojump_clock: object) -> None:
    console = Console()
    made = (await console.call("POST", "/v1/keys", KEY)).json
    assert (await console.call("GET", "/v1/profiles", key=made["key"])).status == 200
    (await console.call("DELETE", f"/v1/keys/{made['id']}", key="two")).problem(404)
    assert (await console.call("DELETE", f"/v1/keys/{made['id']}")).status == 204
    (await console.call("GET", "/v1/profiles", key=made["key"])).problem(401)
    (await console.call("DELETE", f"/v1/keys/{made['id']}")).problem(404)
    assert (await console.call("GET", "/v1/profiles")).status == 200


async def test_revoked_elsewhere_it_ends_within_the_cache(autojump_clock: object) -> None:
    console = Console()
    made = (await console.call("POST", "/v1/keys", KEY)).json
    assert (await console.call("GET", "/v1/profiles", key=made["key"])).status == 200
    await console.keys.revoke_key(Caller(1, 1), int(made["id"]))
    await trio.sleep(key_cache.CACHE_S + 0.01)
    (await console.call("GET", "/v1/profiles", key=made["key"])).problem(401)


async def test_an_answer_from_before_the_revocation_is_not_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console()
    made = (await console.call("POST", "/v1/keys", KEY)).json
    authenticate, asked, revoked = console.keys.authenticate, trio.Event(), trio.Event()

    async def slow(key: str) -> object:
        found = await authenticate(key)
        if key == made["key"]:
            asked.set()
            await revoked.wait()
        return found

    monkeypatch.setattr(console.keys, "authenticate", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: console.call("GET", "/v1/profiles", key=made["key"]),
        )
        await asked.wait()
        assert (await console.call("DELETE", f"/v1/keys/{made['id']}")).status == 204
        revoked.set()
    (await console.call("GET", "/v1/profiles", key=made["key"])).problem(401)

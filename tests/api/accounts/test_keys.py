"""`/v1/keys`: a key is shown once, a user's keys are limited, and a revoked key ends."""

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
    created = await console.call("POST", "/v1/keys", KEY)
    assert created.status == 201
    key = created.json.pop("key")
    assert (key[:3], created.json["prefix"]) == ("wp_", key[:8])
    assert (created.json["label"], created.json["scopes"]) == (KEY["label"], KEY["scopes"])
    listed = (await console.call("GET", "/v1/keys")).json["items"]
    assert listed[-1] == {name: value for name, value in created.json.items() if name != "key"}
    assert (await console.call("POST", "/v1/profiles", {"handle": "ada"}, key=key)).status == 201
    (await console.call("POST", "/v1/keys", KEY, key=key)).problem(403)  # it has no admin
    assert console.used[-1][0].key_id == int(created.json["id"])


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


async def test_a_key_creates_no_key_with_further_scopes() -> None:
    console = Console()
    console.keys.add("some", Caller(1, 1, scopes=("read", "admin")))
    (await console.call("POST", "/v1/keys", KEY, key="some")).problem(403)
    body = KEY | {"scopes": ["read", "admin"]}
    assert (await console.call("POST", "/v1/keys", body, key="some")).status == 201


async def test_a_user_has_a_hundred_keys_at_most() -> None:
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
    created = (await console.call("POST", "/v1/keys", KEY)).json
    assert (await console.call("GET", "/v1/profiles", key=created["key"])).status == 200
    (await console.call("DELETE", f"/v1/keys/{created['id']}", key="two")).problem(404)
    assert (await console.call("DELETE", f"/v1/keys/{created['id']}")).status == 204
    (await console.call("GET", "/v1/profiles", key=created["key"])).problem(401)
    (await console.call("DELETE", f"/v1/keys/{created['id']}")).problem(404)
    assert (await console.call("GET", "/v1/profiles")).status == 200


async def test_a_key_revoked_by_another_process_ends_with_the_cache(
    autojump_clock: object,
) -> None:
    console = Console()
    created = (await console.call("POST", "/v1/keys", KEY)).json
    assert (await console.call("GET", "/v1/profiles", key=created["key"])).status == 200
    await console.keys.revoke_key(Caller(1, 1), int(created["id"]))
    await trio.sleep(key_cache.CACHE_S + 0.01)
    (await console.call("GET", "/v1/profiles", key=created["key"])).problem(401)


async def test_a_lookup_that_began_before_the_revocation_is_not_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console()
    created = (await console.call("POST", "/v1/keys", KEY)).json
    authenticate, looked_up, revoked = console.keys.authenticate, trio.Event(), trio.Event()

    async def slow(key: str) -> object:
        caller = await authenticate(key)
        if key == created["key"]:
            looked_up.set()
            await revoked.wait()
        return caller

    monkeypatch.setattr(console.keys, "authenticate", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: console.call("GET", "/v1/profiles", key=created["key"]),
        )
        await looked_up.wait()
        assert (await console.call("DELETE", f"/v1/keys/{created['id']}")).status == 204
        revoked.set()
    (await console.call("GET", "/v1/profiles", key=created["key"])).problem(401)


async def test_a_slow_lookup_is_not_cached_for_longer(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key may have been revoked elsewhere while its lookup was answered."""
    console = Console()
    created = (await console.call("POST", "/v1/keys", KEY)).json
    authenticate = console.keys.authenticate

    async def slow(key: str) -> object:
        caller = await authenticate(key)
        await trio.sleep(key_cache.CACHE_S - 1)
        return caller

    monkeypatch.setattr(console.keys, "authenticate", slow)
    assert (await console.call("GET", "/v1/profiles", key=created["key"])).status == 200
    await console.keys.revoke_key(Caller(1, 1), int(created["id"]))
    await trio.sleep(1.01)
    (await console.call("GET", "/v1/profiles", key=created["key"])).problem(401)

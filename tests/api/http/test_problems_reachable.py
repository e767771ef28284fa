"""A request for each problem that the reference documents."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import trio

from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.operations.settings import Settings
from tests.kit.consoles import NOW, VISITORS, Answered, Console

Case = Callable[[Console], Awaitable[Answered]]
CASES: dict[str, tuple[int, Case]] = {}


def case(status: int) -> Callable[[Case], Case]:
    def added(reach: Case) -> Case:
        CASES[reach.__name__] = status, reach
        return reach

    return added


@case(400)
async def bad_json(console: Console) -> Answered:
    return await console.call("POST", "/v1/profiles", b'{"handle": ')


@case(401)
async def no_key(console: Console) -> Answered:
    return await console.call("GET", "/v1/profiles", key="")


@case(401)
async def unknown_key(console: Console) -> Answered:
    return await console.call("GET", "/v1/profiles", key="wp_nobody")


@case(401)
async def expired_key(console: Console) -> Answered:
    console.keys.add("old", Caller(1, 1), NOW - timedelta(days=10_000))
    response = await console.call("GET", "/v1/profiles", key="old")
    assert response.json["detail"] == "this key has expired"
    return response


@case(403)
async def a_key_without_the_scope(console: Console) -> Answered:
    console.keys.add("reader", Caller(1, 1, scopes=("read",)))
    return await console.call("POST", "/v1/profiles", {"handle": "b"}, key="reader")


@case(403)
async def a_role_that_does_not_suffice(console: Console) -> Answered:
    profile = await console.profile()
    console.profiles._profiles[int(profile["id"])].members[2] = "viewer"
    path = f"/v1/profiles/{profile['id']}"
    assert (await console.call("GET", path, key="two")).status == 200
    return await console.call("PATCH", path, {"title": "x"}, key="two")


@case(404)
async def an_id_that_does_not_exist(console: Console) -> Answered:
    return await console.call("GET", "/v1/links/1")


@case(404)
async def an_id_of_another_tenant(console: Console) -> Answered:
    profile = await console.profile()
    return await console.call("DELETE", f"/v1/profiles/{profile['id']}", key="two")


@case(405)
async def another_method(console: Console) -> Answered:
    response = await console.call("PUT", "/v1/profiles", {})
    assert "POST" in response.headers["Allow"]
    return response


@case(408)
async def a_body_that_does_not_come(console: Console) -> Answered:
    headers = {"Authorization": "Bearer one", "Content-Type": "application/json"}
    client = console.app.test_client()
    async with client.request("/v1/profiles", method="POST", headers=headers) as sent:
        await sent.send(b"{")
    response = await sent.as_response()
    data = await response.get_data(as_text=False)
    return Answered(response.status_code, response.headers, data)


@case(409)
async def a_name_that_is_taken(console: Console) -> Answered:
    await console.profile("taken")
    response = await console.call("POST", "/v1/profiles", {"handle": "TAKEN"})
    assert response.problem(409).keys() == {"handle"}
    return response


@case(412)
async def a_lost_update(console: Console) -> Answered:
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}"
    read = await console.call("GET", path)
    assert (await console.call("PATCH", path, {"title": "faster"})).status == 200
    return await console.call("PATCH", path, {"title": "x"}, If_Match=read.headers["ETag"])


@case(413)
async def too_large(console: Console) -> Answered:
    body = b'{"handle": "' + b"a" * 5000 + b'"}'
    return await console.call("POST", "/v1/profiles", body)


@case(415)
async def another_type(console: Console) -> Answered:
    return await console.call("POST", "/v1/profiles", b"a=b", Content_Type="text/plain")


@case(422)
async def a_field_of_the_wrong_type(console: Console) -> Answered:
    response = await console.call("POST", "/v1/profiles", {"handle": 5})
    assert response.problem(422).keys() == {"handle"}
    return response


@case(422)
async def an_unknown_field(console: Console) -> Answered:
    response = await console.call("POST", "/v1/profiles", {"handle": "b", "colour": "red"})
    assert response.problem(422).keys() == {"colour"}
    return response


@case(422)
async def an_unknown_parameter(console: Console) -> Answered:
    response = await console.call("GET", "/v1/profiles?page=2")
    assert response.problem(422).keys() == {"page"}
    return response


@case(422)
async def an_idempotency_key_of_another_request(console: Console) -> Answered:
    for handle in ("b", "c"):
        response = await console.call(
            "POST", "/v1/profiles", {"handle": handle}, Idempotency_Key="k"
        )
    assert response.problem(422).keys() == {"Idempotency-Key"}
    return response


@case(429)
async def too_many_logins(console: Console) -> Answered:
    body = {"email": "nobody@example.com", "password": "wrong"}
    for _ in range(200):
        response = await console.call("POST", "/v1/session", body, key="")
        if response.status == 429:
            break
        response.problem(401)
    assert int(response.headers["Retry-After"]) > 0
    return response


@case(503)
async def a_server_that_is_away(console: Console) -> Answered:
    async def away(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise UnavailableError("Postgres does not answer")

    console.profiles.list_profiles = away
    response = await console.call("GET", "/v1/profiles")
    assert response.headers["Retry-After"] == "1"
    return response


@pytest.mark.parametrize("name", CASES)
async def test_the_request_gets_its_problem(name: str, autojump_clock: object) -> None:
    status, reach = CASES[name]
    console = Console(settings=Settings(visitors_url=VISITORS, max_body_bytes=4096))
    response = await reach(console)
    response.problem(status)
    assert response.headers["X-Request-Id"]


async def test_every_documented_problem_has_its_request() -> None:
    document = (await Console().call("GET", "/openapi.json", key="")).json
    documented = {
        content["example"]["status"]
        for response in document["components"]["responses"].values()
        for content in response["content"].values()
    }
    # No operation answers 405, so the introduction tells it.
    assert documented | {405} == {status for status, _ in CASES.values()}
    assert "405" in document["info"]["description"]

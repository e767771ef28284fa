"""Problem details of every error, of the engine's and of the framework's."""

import logging

import pytest

from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Console

LARGE = b'{"handle": "' + b"a" * 3000 + b'"}'


def small() -> Console:
    return Console(settings=Settings(visitors_url=VISITORS, max_body_bytes=1024))


async def test_unknown_paths_and_methods() -> None:
    console = Console()
    for path in ("/nothing", "/v1/nothing", "/v1", "/v1/profiles/", "/v1//profiles", "/static/x"):
        (await console.call("GET", path)).problem(404)
    response = await console.call("PUT", "/v1/profiles", {})
    response.problem(405)
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b"NaN", b'"\\ud800"', b'{"handle": "\\udfff"}', b'"\xff"', b"1e999",
        b"[" * 1000 + b"]" * 999, b"[" * 500_000, b"\xef\xbb\xbf{}", b"{}{}",
    ],
)  # fmt: skip
async def test_a_body_that_is_not_json_is_400(body: bytes) -> None:
    (await Console().call("POST", "/v1/profiles", body)).problem(400)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"'])
async def test_json_that_is_no_object_is_422(body: bytes) -> None:
    assert (await Console().call("POST", "/v1/profiles", body)).problem(422).keys() == {"body"}


@pytest.mark.parametrize("type_", ["", "text/plain", "application/x-www-form-urlencoded"])
async def test_other_media_types_are_415(type_: str) -> None:
    response = await Console().call("POST", "/v1/profiles", b"{}", Content_Type=type_)
    response.problem(415)


async def test_a_large_body_is_413_with_and_without_a_length() -> None:
    console = small()
    (await console.call("POST", "/v1/profiles", LARGE)).problem(413)
    client = console.app.test_client()
    headers = {"Authorization": "Bearer one", "Content-Type": "application/json"}
    async with client.request("/v1/profiles", method="POST", headers=headers) as sent:
        await sent.send(LARGE[:600])
        await sent.send(LARGE[600:])
        await sent.send_complete()
    response = await sent.as_response()
    assert response.status_code == 413
    assert response.content_type == "application/problem+json"


async def test_a_body_that_stalls_is_408(autojump_clock: object) -> None:
    client = Console().app.test_client()
    headers = {"Authorization": "Bearer one", "Content-Type": "application/json"}
    async with client.request("/v1/profiles", method="POST", headers=headers) as sent:
        await sent.send(b"{")
    response = await sent.as_response()
    assert response.status_code == 408
    assert response.content_type == "application/problem+json"


async def test_a_bug_is_500_with_an_id_and_its_traceback_in_the_log_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    console = Console()

    async def broken(*_: object) -> object:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(console.profiles, "list_profiles", broken)
    with caplog.at_level(logging.ERROR, "waypost.api"):
        response = await console.call("GET", "/v1/profiles")
    response.problem(500)
    assert b"secret" not in response.body
    assert response.json["request_id"] == response.headers["X-Request-Id"]
    (record,) = caplog.records
    assert record.request_id == response.headers["X-Request-Id"]  # type: ignore[attr-defined]
    assert "the secret of the house" in caplog.text


@pytest.mark.parametrize("host", ["a b", "x/y", "user@h", "", "h:port", "\xff", "a" * 5000])
async def test_a_strange_host_header_is_not_a_500(host: str) -> None:
    response = await Console().call("GET", "/v1/profiles", Host=host)
    assert response.status in (200, 400)

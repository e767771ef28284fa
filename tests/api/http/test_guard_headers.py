"""Headers of every response: limits for browsers, and the request's id."""

import logging
import re

import pytest
from werkzeug.datastructures import Headers

from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Console

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
PATHS = [
    ("GET", "/docs"), ("GET", "/docs.css"), ("GET", "/openapi.json"), ("GET", "/favicon.ico"),
    ("GET", "/healthz"), ("GET", "/no"), ("PUT", "/v1/profiles"), ("OPTIONS", "/v1/profiles"),
    ("HEAD", "/v1/profiles"), ("GET", "/v1/profiles"), ("POST", "/v1/profiles"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_every_answer_has_the_safe_headers(method: str, path: str) -> None:
    headers = (await Console().call(method, path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"] == POLICY
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers
    if path.startswith("/v1"):
        assert headers["Cache-Control"] == "no-store"


async def test_behind_https_browsers_must_stay_with_https() -> None:
    settings = Settings(visitors_url=VISITORS, console_url="https://console.example")
    headers = (await Console(settings=settings).call("GET", "/")).headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_no_page_has_inline_script_or_style() -> None:
    console = Console()
    for path in ("/", "/docs"):
        page = (await console.call("GET", path, key="")).body
        assert re.search(rb"<script(?! (type=\"module\" )?src=\"/assets/)", page) is None
        assert b"<style" not in page
        assert b" style=" not in page
        assert re.search(rb"<[^>]*\son\w+=", page) is None


@pytest.mark.parametrize("sent_id", ["a", "nightly-import_17.b", "A" * 64])
async def test_a_caller_s_own_request_id_is_kept(sent_id: str) -> None:
    response = await Console().call("GET", "/v1/profiles", X_Request_Id=sent_id)
    assert response.headers.getlist("X-Request-Id") == [sent_id]


@pytest.mark.parametrize("sent_id", ["", "a" * 65, "a b", "a\xe9", "<x>", "a,b", "a%0a"])
async def test_an_unsafe_request_id_is_replaced(sent_id: str) -> None:
    response = await Console().call("GET", "/v1/profiles", X_Request_Id=sent_id)
    (new_id,) = response.headers.getlist("X-Request-Id")
    assert new_id != sent_id
    assert len(new_id) == 16


async def test_store_and_log_get_the_request_s_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    console = Console()

    async def broken(caller: object, *_: object) -> object:
        assert caller.request_id == "mine"  # type: ignore[attr-defined]
        raise RuntimeError("a bug")

    monkeypatch.setattr(console.profiles, "list_profiles", broken)
    with caplog.at_level(logging.ERROR, "waypost.api"):
        response = await console.call("GET", "/v1/profiles", X_Request_Id="mine")
    response.problem(500)
    assert response.json["request_id"] == "mine"
    assert [record.request_id for record in caplog.records] == ["mine"]  # type: ignore[attr-defined]


async def test_two_request_ids_are_both_replaced() -> None:
    headers = Headers([("X-Request-Id", "a"), ("X-Request-Id", "b")])
    response = await Console().app.test_client().get("/healthz", headers=headers)
    assert response.headers["X-Request-Id"] not in ("a", "b")

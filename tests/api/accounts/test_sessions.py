"""Logging in and out, CSRF tokens, throttling, and the caller's own account."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.accounts.access import SCOPES, Caller
from engine.common.errors import UnavailableError
from engine.operations.settings import Settings
from tests.kit.browsers import browser_of, cookie_of, logged_in
from tests.kit.consoles import PASSWORD, VISITORS, Console

LOGIN = {"email": "One@example.com", "password": PASSWORD}
WRONG = {"email": "one@example.com", "password": "wrong"}


async def test_a_login_sets_a_cookie_that_pages_cannot_read() -> None:
    response = await Console().call("POST", "/v1/session", LOGIN, key="")
    assert response.status == 201
    assert response.json.keys() == {"user", "csrf_token", "expires_at"}
    assert response.json["user"]["email"] == "one@example.com"
    cookie = cookie_of(response)
    assert cookie.value.startswith("wps_")
    assert cookie.value not in response.body.decode()
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert (cookie["secure"], cookie["max-age"]) == ("", "3600")
    assert response.headers["Cache-Control"] == "no-store"


async def test_behind_https_the_cookie_is_secure() -> None:
    settings = Settings(visitors_url=VISITORS, console_url="https://console.example")
    response = await Console(settings=settings).call("POST", "/v1/session", LOGIN, key="")
    assert cookie_of(response)["secure"] is True


async def test_a_wrong_password_and_an_unknown_email_are_the_same_401() -> None:
    console = Console()
    wrong = await console.call("POST", "/v1/session", WRONG, key="")
    unknown = await console.call("POST", "/v1/session", WRONG | {"email": "no@example.com"}, key="")
    wrong.problem(401)
    unknown.problem(401)
    assert wrong.json["detail"] == unknown.json["detail"]
    assert "Set-Cookie" not in wrong.headers


async def test_bad_fields_of_a_login_are_named() -> None:
    console = Console()
    bad = {"email": "no address", "password": "x" * 1001, "remember": True}
    response = await console.call("POST", "/v1/session", bad, key="")
    assert response.problem(422).keys() == {"email", "password", "remember"}
    assert (await console.call("POST", "/v1/session", {}, key="")).problem(422).keys() == {
        "email",
        "password",
    }


async def test_an_old_cookie_does_not_prevent_a_login() -> None:
    console = Console()
    response = await console.call(
        "POST", "/v1/session", LOGIN, key="", Cookie="waypost_session=wps_old"
    )
    assert response.status == 201


async def test_a_session_has_every_scope() -> None:
    console = Console()
    browser = await logged_in(console)
    session = (await browser.call("GET", "/v1/session")).json
    assert session["user"]["id"] == "1"
    assert session["scopes"] == list(SCOPES)
    assert session["csrf_token"] == browser.csrf
    created = await browser.call("POST", "/v1/profiles", {"handle": "mine"})
    assert created.status == 201
    assert (await browser.call("GET", f"/v1/profiles/{created.json['id']}")).status == 200
    assert console.used[-1] == (Caller(1, 1), int(session["session_id"]))


async def test_a_key_reads_its_user_and_scopes() -> None:
    console = Console()
    console.keys.add("reader", Caller(1, 1, scopes=("read",)))
    session = (await console.call("GET", "/v1/session", key="reader")).json
    assert (session["user"]["id"], session["scopes"]) == ("1", ["read"])
    assert session["is_operator"]
    stranger = (await console.call("GET", "/v1/session", key="two")).json
    assert not stranger["is_operator"]
    assert (session["session_id"], session["csrf_token"], session["expires_at"]) == (
        None,
        None,
        None,
    )


@pytest.mark.parametrize("token", ["", "x", "ключ", "none"])
async def test_changes_by_cookie_need_the_csrf_token(token: str) -> None:
    console = Console()
    browser = await logged_in(console)
    other = await logged_in(console, "two@example.com")
    for sent in (token, other.csrf):
        headers = {"X_CSRF_Token": sent} if sent != "none" else {}
        for method, path, body in (
            ("POST", "/v1/profiles", {"handle": "ada"}),
            ("DELETE", "/v1/session", None),
            ("PATCH", "/v1/user", {"name": "x"}),
        ):
            response = await console.call(
                method, path, body, key="", Cookie=browser.cookie, **headers
            )
            response.problem(403)
    assert (await browser.call("GET", "/v1/profiles")).json["items"] == []
    assert (await browser.call("GET", "/v1/session", X_CSRF_Token="")).status == 200


async def test_a_key_counts_before_a_cookie() -> None:
    console = Console()
    browser = await logged_in(console)
    response = await browser.call("GET", "/v1/session", Authorization="Bearer two")
    assert response.json["user"]["id"] == "2"
    # A key needs no CSRF token: no browser sends a key by itself.
    created = await browser.call(
        "POST", "/v1/profiles", {"handle": "two"}, Authorization="Bearer two", X_CSRF_Token=""
    )
    assert created.status == 201
    (await browser.call("GET", "/v1/session", Authorization="Bearer bad")).problem(401)


async def test_logging_out_ends_the_session_and_the_cookie() -> None:
    console = Console()
    browser, other = await logged_in(console), await logged_in(console)
    gone = await browser.call("DELETE", "/v1/session")
    assert (gone.status, cookie_of(gone).value, cookie_of(gone)["max-age"]) == (204, "", "0")
    (await browser.call("GET", "/v1/session")).problem(401)
    assert (await other.call("GET", "/v1/session")).status == 200
    (await console.call("GET", "/v1/session", key="")).problem(401)


async def test_a_session_expires() -> None:
    console = Console()
    now = [datetime(2026, 3, 1, tzinfo=UTC)]
    console.accounts._now = lambda: now[0]
    browser = await logged_in(console)
    now[0] += timedelta(seconds=3599)
    assert (await browser.call("GET", "/v1/session")).status == 200
    now[0] += timedelta(seconds=1)
    (await browser.call("GET", "/v1/session")).problem(401)


async def test_a_user_lists_and_ends_other_sessions() -> None:
    console = Console()
    browser = await logged_in(console)
    agent = {"User_Agent": "Firefox\x00" + "x" * 300}
    response = await console.call("POST", "/v1/session", LOGIN, key="", **agent)
    other, stranger = browser_of(console, response), await logged_in(console, "two@example.com")
    first, second = (await browser.call("GET", "/v1/sessions")).json["items"]
    assert (first["current"], second["current"]) == (True, False)
    assert second["user_agent"].startswith("Firefoxx")
    assert len(second["user_agent"]) == 200
    page = (await browser.call("GET", "/v1/sessions?limit=1")).json
    assert page["next_cursor"]
    (await stranger.call("DELETE", f"/v1/sessions/{second['id']}")).problem(404)
    assert (await browser.call("DELETE", f"/v1/sessions/{second['id']}")).status == 204
    (await other.call("GET", "/v1/session")).problem(401)
    (await browser.call("DELETE", f"/v1/sessions/{second['id']}")).problem(404)


async def test_a_key_cannot_use_sessions_or_passwords() -> None:
    console = Console()
    password = {"current": PASSWORD, "new": "another battery"}
    for method, path, body in (
        ("GET", "/v1/sessions", None),
        ("DELETE", "/v1/session", None),
        ("DELETE", "/v1/sessions/1", None),
        ("POST", "/v1/user/password", password),
    ):
        (await console.call(method, path, body)).problem(403)


async def test_a_name_is_changed_by_version() -> None:
    console = Console()
    browser = await logged_in(console)
    read = await browser.call("GET", "/v1/user")
    tag = read.headers["ETag"]
    assert (await browser.call("GET", "/v1/user", If_None_Match=tag)).status == 304
    changed = await browser.call("PATCH", "/v1/user", {"name": "Ada"}, If_Match=tag)
    assert (changed.status, changed.json["name"]) == (200, "Ada")
    (await browser.call("PATCH", "/v1/user", {"name": "Eve"}, If_Match=tag)).problem(412)
    bad = {"name": "x" * 201, "email": "e@example.com"}
    assert (await browser.call("PATCH", "/v1/user", bad)).problem(422).keys() == {"name", "email"}
    console.keys.add("writer", Caller(1, 1, scopes=("read", "write")))
    (await console.call("PATCH", "/v1/user", {"name": "x"}, key="writer")).problem(403)


async def test_a_new_password_ends_every_other_session() -> None:
    console = Console()
    browser, other = await logged_in(console), await logged_in(console)
    path, new = "/v1/user/password", "another battery"
    (await browser.call("POST", path, {"current": "wrong", "new": new})).problem(401)
    short = await browser.call("POST", path, {"current": PASSWORD, "new": "x" * 9})
    assert short.problem(422).keys() == {"new"}
    assert (await other.call("GET", "/v1/session")).status == 200
    assert (await browser.call("POST", path, {"current": PASSWORD, "new": new})).status == 204
    assert (await browser.call("GET", "/v1/session")).status == 200
    (await other.call("GET", "/v1/session")).problem(401)
    console.limits.flush()
    (await console.call("POST", "/v1/session", LOGIN, key="")).problem(401)
    response = await console.call("POST", "/v1/session", LOGIN | {"password": new}, key="")
    assert response.status == 201


async def test_an_account_has_five_attempts_per_minute() -> None:
    console = Console()
    for _ in range(5):
        (await console.call("POST", "/v1/session", WRONG, key="")).problem(401)
    refused = await console.call("POST", "/v1/session", LOGIN, key="")
    refused.problem(429)
    assert refused.headers["Retry-After"] == "12"
    other = LOGIN | {"email": "two@example.com"}
    assert (await console.call("POST", "/v1/session", other, key="")).status == 201
    console.clock_us += 12_000_000
    assert (await console.call("POST", "/v1/session", LOGIN, key="")).status == 201


async def test_changing_the_password_counts_for_the_account_s_limit() -> None:
    console = Console()
    browser = await logged_in(console)
    body = {"current": "wrong", "new": "another battery"}
    answers = [await browser.call("POST", "/v1/user/password", body) for _ in range(5)]
    assert [answer.status for answer in answers] == [401] * 4 + [429]


async def test_an_address_has_twenty_attempts_per_minute() -> None:
    settings = Settings(visitors_url=VISITORS, trusted_hops=1)
    console = Console(settings=settings)

    async def attempt(number: int, address: str) -> int:
        body = {"email": f"{number}@example.com", "password": "wrong"}
        headers = {"X_Forwarded_For": address}
        return (await console.call("POST", "/v1/session", body, key="", **headers)).status

    assert [await attempt(n, f"6.6.6.{n}, 198.51.100.7") for n in range(20)] == [401] * 20
    assert await attempt(20, "6.6.6.6, 198.51.100.7") == 429
    assert await attempt(21, "198.51.100.8") == 401
    # Of IPv6, a whole /64 is one address.
    assert [await attempt(30 + n, f"2001:db8::{n + 1}") for n in range(20)] == [401] * 20
    assert await attempt(50, "2001:db8::ffff") == 429
    assert await attempt(51, "2001:db8:0:1::1") == 401


async def test_without_redis_nobody_can_log_in() -> None:
    console = Console()
    console.limits.down = True
    response = await console.call("POST", "/v1/session", LOGIN, key="")
    response.problem(503)
    assert response.headers["Retry-After"]
    assert (await console.call("GET", "/v1/session")).status == 200  # keys still work


async def test_too_many_passwords_at_once_are_503(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console()

    async def full(*_: object) -> None:
        raise UnavailableError("too many passwords are being checked; retry")

    monkeypatch.setattr(console.accounts, "login", full)
    (await console.call("POST", "/v1/session", LOGIN, key="")).problem(503)

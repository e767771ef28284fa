"""`/v1/setup` and `/v1/password-resets`."""

import msgspec
import pytest
import trio

from api.accounts.recovery import ANSWER_S
from engine.accounts.recovery import GENERATED_EMAIL
from engine.operations.settings import Settings
from tests.kit.consoles import PASSWORD, VISITORS, Console

NEW = "a long sentence is best"
SMTP = Settings(visitors_url=VISITORS, smtp_url="smtp://mail.example", mail_from="a@example.com")


def fresh() -> Console:
    """Return a console whose first account is not set up."""
    console = Console()
    owner = console.accounts.users[1]
    console.accounts.users[1] = msgspec.structs.replace(owner, email=GENERATED_EMAIL)
    return console


async def test_the_first_account_is_set_up_by_a_code() -> None:
    console = fresh()
    state = await console.call("GET", "/v1/setup", key="")
    assert state.json == {"needed": True, "mail": False}
    issued = console.recovery.issue_setup_code()
    assert issued is not None
    draft = {"code": issued.token, "name": "Ada", "email": "Ada@Example.com", "password": NEW}
    response = await console.call("POST", "/v1/setup", draft, key="")
    assert response.status == 200, response.body
    assert response.json["user"]["email"] == "ada@example.com"
    assert "waypost_session=wps_" in response.headers["Set-Cookie"]
    assert (await console.call("GET", "/v1/setup", key="")).json["needed"] is False
    (await console.call("POST", "/v1/setup", draft, key="")).problem(404)
    login = {"email": "ada@example.com", "password": NEW}
    assert (await console.call("POST", "/v1/session", login, key="")).status == 201
    await console.security_log.flush()
    events = {
        (stored.event.kind, stored.event.user_id) for stored in console.security_events.stored
    }
    assert {("password.changed", 1), ("login.failed", None)} <= events


async def test_a_set_up_names_every_bad_field() -> None:
    draft = {"code": 7, "name": "a\u202eb", "email": "no address", "password": "short", "more": 1}
    reasons = (await fresh().call("POST", "/v1/setup", draft, key="")).problem(422)
    assert reasons.keys() == {"code", "name", "email", "password", "more"}
    own = {"code": "x", "email": GENERATED_EMAIL, "password": NEW}
    assert "email" in (await fresh().call("POST", "/v1/setup", own, key="")).problem(422)


async def test_codes_cannot_be_guessed_at_any_rate() -> None:
    console = fresh()
    draft = {"code": "wpo_x", "email": "a@example.com", "password": NEW}
    statuses = [(await console.call("POST", "/v1/setup", draft, key="")).status for _ in range(30)]
    assert set(statuses) == {404, 429}


async def test_a_reset_is_asked_for_and_used(autojump_clock: object) -> None:
    console = Console(settings=SMTP)
    assert (await console.call("GET", "/v1/setup", key="")).json == {"needed": False, "mail": True}
    for email in ("One@example.com", "nobody@example.com"):
        response = await console.call("POST", "/v1/password-resets", {"email": email}, key="")
        assert (response.status, response.body) == (202, b"")
    assert console.recovery.requested == [1]
    issued = await console.recovery.issue_reset_token(1, 1)
    assert issued is not None
    body = {"token": issued.token, "password": NEW}
    assert (await console.call("POST", "/v1/password-resets/use", body, key="")).status == 204
    (await console.call("POST", "/v1/password-resets/use", body, key="")).problem(404)
    login = {"email": "one@example.com", "password": PASSWORD}
    (await console.call("POST", "/v1/session", login, key="")).problem(401)
    assert (
        await console.call("POST", "/v1/session", login | {"password": NEW}, key="")
    ).status == 201


async def test_a_request_takes_equally_long_for_a_stranger(autojump_clock: object) -> None:
    console, times = Console(settings=SMTP), []
    request_reset = console.recovery.request_reset

    async def slow(email: str) -> None:
        await trio.sleep(0.1 if email.startswith("one") else 0.01)
        await request_reset(email)

    console.recovery.request_reset = slow  # type: ignore[method-assign]
    for email in ("one@example.com", "nobody@example.com"):
        began = trio.current_time()
        await console.call("POST", "/v1/password-resets", {"email": email}, key="")
        times.append(trio.current_time() - began)
    assert times == [pytest.approx(ANSWER_S)] * 2


async def test_requests_are_limited_by_address_of_mail_whether_it_has_an_account(
    autojump_clock: object,
) -> None:
    for email in ("one@example.com", "nobody@example.com"):
        console = Console(settings=SMTP)
        answers = [
            (await console.call("POST", "/v1/password-resets", {"email": email}, key="")).status
            for _ in range(4)
        ]
        assert answers == [202, 202, 202, 429]


async def test_without_mail_a_request_says_so() -> None:
    body = {"email": "one@example.com"}
    response = await Console().call("POST", "/v1/password-resets", body, key="")
    assert "mail" in response.problem(409)


async def test_a_bad_reset_is_named() -> None:
    body = {"token": 1, "password": "short"}
    response = await Console().call("POST", "/v1/password-resets/use", body, key="")
    assert response.problem(422).keys() == {"token", "password"}

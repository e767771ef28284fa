"""Teams and invitations through the API."""

import re
from typing import Any

import pytest

from engine.accounts.access import MAX_MEMBERS, Action
from engine.operations.settings import Settings
from tests.kit.browsers import Browser, browser_of, logged_in, person
from tests.kit.consoles import PASSWORD, VISITORS, Console

NEW = "another battery"


def console_at_a_url() -> Console:
    return Console(settings=Settings(visitors_url=VISITORS, console_url="https://c.example/"))


async def invited(owner: Browser, path: str, email: str, role: str = "editor") -> str:
    body = {"email": email, "role": role}
    response = await owner.call("POST", f"{path}/invitations", body)
    assert response.status == 201, response.body
    token: str = response.json["token"]
    return token


async def joined(owner: Browser, path: str, number: int, role: str = "editor") -> Browser:
    browser = await person(owner.console, number)
    token = await invited(owner, path, f"p{number}@example.com", role)
    response = await browser.call("POST", "/v1/invitations/accept", {"token": token})
    assert response.status == 200, response.body
    return browser


async def founded(console: Console) -> tuple[Browser, str]:
    owner = await logged_in(console)
    created = await owner.call("POST", "/v1/profiles", {"handle": "anna", "title": "Anna"})
    return owner, f"/v1/profiles/{created.json['id']}"


async def test_an_invitation_from_its_creation_to_its_acceptance() -> None:
    owner, path = await founded(console_at_a_url())
    body = {"email": "Ben@example.com", "role": "viewer", "expires_in_days": 1}
    created = await owner.call("POST", f"{path}/invitations", body)
    assert created.status == 201
    token, url = created.json["token"], created.json["url"]
    assert re.fullmatch(r"wpi_[\w-]{43}", token)
    assert url == f"https://c.example/join#{token}"  # the fragment never reaches a server
    assert (created.json["email"], created.json["role"]) == ("ben@example.com", "viewer")
    (open_invitation,) = (await owner.call("GET", f"{path}/invitations")).json["items"]
    assert open_invitation == {k: v for k, v in created.json.items() if k not in ("token", "url")}

    console = owner.console
    preview = await console.call("POST", "/v1/invitations/preview", {"token": token}, key="")
    assert preview.status == 200
    assert (preview.json["handle"], preview.json["inviter"]) == ("anna", "one@example.com")
    assert (preview.json["email"], preview.json["role"]) == ("ben@example.com", "viewer")

    body = {"token": token, "password": NEW, "name": "Ben"}
    response = await console.call("POST", "/v1/invitations/accept", body, key="")
    ben = browser_of(console, response)
    assert (response.json["role"], response.json["user"]["name"]) == ("viewer", "Ben")
    assert (await ben.call("GET", path)).status == 200
    assert [m["role"] for m in (await ben.call("GET", f"{path}/members")).json["items"]] == [
        "owner",
        "viewer",
    ]
    again = await console.call("POST", "/v1/invitations/accept", body, key="")
    assert again.problem(409) == {"token": "was already used"}
    again = await console.call("POST", "/v1/invitations/preview", {"token": token}, key="")
    assert again.problem(409) == {"token": "was already used"}


async def test_a_person_with_an_account_must_log_in_to_accept() -> None:
    owner, path = await founded(Console())
    token = await invited(owner, path, "two@example.com")
    body = {"token": token, "password": NEW}
    response = await owner.console.call("POST", "/v1/invitations/accept", body, key="")
    assert "log in" in response.problem(409)["email"]
    two = await logged_in(owner.console, "two@example.com")
    response = await two.call("POST", "/v1/invitations/accept", body)
    assert response.problem(422).keys() == {"password"}
    response = await two.call("POST", "/v1/invitations/accept", {"token": token})
    assert (response.status, response.json["role"]) == (200, "editor")
    assert "Set-Cookie" not in response.headers


async def test_a_session_accepts_by_its_csrf_token_and_an_ended_session_does_not() -> None:
    owner, path = await founded(Console())
    token = await invited(owner, path, "two@example.com")
    two = await logged_in(owner.console, "two@example.com")
    body = {"token": token}
    (await two.call("POST", "/v1/invitations/accept", body, X_CSRF_Token="")).problem(403)
    await two.call("DELETE", "/v1/session")
    (await two.call("POST", "/v1/invitations/accept", body)).problem(401)
    other = await invited(owner, path, "new@example.com")
    body = {"token": other, "password": NEW}
    assert (await two.call("POST", "/v1/invitations/accept", body)).status == 201
    bad_key = await owner.console.call("POST", "/v1/invitations/accept", body, key="bad")
    bad_key.problem(401)


async def test_creating_accounts_is_limited_by_address() -> None:
    console = Console()
    body = {"token": "wpi_none", "password": NEW}
    answers = [
        await console.call("POST", "/v1/invitations/accept", body, key="") for _ in range(21)
    ]
    assert [response.status for response in answers] == [404] * 20 + [429]
    assert answers[-1].headers["Retry-After"] == "3"
    console.limits.down = True
    (await console.call("POST", "/v1/invitations/accept", body, key="")).problem(503)


async def test_an_invitation_can_be_withdrawn() -> None:
    owner, path = await founded(Console())
    token = await invited(owner, path, "ben@example.com")
    (open_invitation,) = (await owner.call("GET", f"{path}/invitations")).json["items"]
    invitation_path = f"{path}/invitations/{open_invitation['id']}"
    assert (await owner.call("DELETE", invitation_path)).status == 204
    (await owner.call("DELETE", invitation_path)).problem(404)
    body = {"token": token, "password": NEW}
    (await owner.console.call("POST", "/v1/invitations/accept", body, key="")).problem(404)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"email", "role"}),
        ({"email": "no", "role": "owner"}, {"email", "role"}),
        ({"email": "a@b.c", "role": "editor", "expires_in_days": 91}, {"expires_in_days"}),
        (
            {"email": "a b@b.c", "role": "editor", "expires_in_days": "x"},
            {"email", "expires_in_days"},
        ),
    ],
)
async def test_bad_fields_of_an_invitation_are_named(body: object, fields: set[str]) -> None:
    owner, path = await founded(Console())
    response = await owner.call("POST", f"{path}/invitations", body)
    assert response.problem(422).keys() == fields


async def test_a_profile_has_fifty_open_invitations_at_most() -> None:
    owner, path = await founded(Console())
    for number in range(50):
        await invited(owner, path, f"{number}@example.com")
    body = {"email": "one-more@example.com", "role": "viewer"}
    response = await owner.call("POST", f"{path}/invitations", body)
    assert response.problem(409).keys() == {"invitations"}
    member = await owner.call("POST", f"{path}/invitations", body | {"email": "one@example.com"})
    assert member.problem(409).keys() == {"email"}


async def test_joining_a_full_profile_is_a_conflict() -> None:
    owner, path = await founded(Console())
    token = await invited(owner, path, "late@example.com")
    for number in range(10, 10 + MAX_MEMBERS - 1):
        await joined(owner, path, number, "viewer")
    body = {"token": token, "password": NEW}
    response = await owner.console.call("POST", "/v1/invitations/accept", body, key="")
    assert "10 members" in response.problem(409)["token"]


async def test_a_role_is_changed_by_version() -> None:
    owner, path = await founded(Console())
    ben = await joined(owner, path, 10)
    member_path = f"{path}/members/{ben.user_id}"
    tag = (await owner.call("GET", member_path)).headers["ETag"]
    changed = await owner.call("PATCH", member_path, {"role": "admin"}, If_Match=tag)
    assert (changed.status, changed.json["role"]) == (200, "admin")
    assert changed.headers["ETag"] != tag
    (await owner.call("PATCH", member_path, {"role": "viewer"}, If_Match=tag)).problem(412)
    (await owner.call("DELETE", member_path, If_Match=tag)).problem(412)
    bad = {"role": "king", "slot": 1}
    assert (await owner.call("PATCH", member_path, bad)).problem(422).keys() == {"role", "slot"}
    (await owner.call("PATCH", f"{path}/members/999", {"role": "viewer"})).problem(404)
    (await ben.call("PATCH", f"{path}/members/1", {"role": "viewer"})).problem(403)
    (await ben.call("PATCH", member_path, {"role": "owner"})).problem(403)
    assert (await ben.call("PATCH", member_path, {"role": "viewer"})).status == 200
    assert (await owner.call("DELETE", member_path)).status == 204
    (await ben.call("GET", path)).problem(404)


async def test_the_last_owner_stays() -> None:
    owner, path = await founded(Console())
    assert (await owner.call("DELETE", f"{path}/members/1")).problem(409).keys() == {"role"}
    body = {"role": "viewer"}
    assert (await owner.call("PATCH", f"{path}/members/1", body)).problem(409).keys() == {"role"}


async def test_a_transfer_makes_the_member_owner_and_the_owner_admin() -> None:
    owner, path = await founded(Console())
    ben = await joined(owner, path, 10, "viewer")
    for bad, status in (("1", 409), ("999", 404), ("x", 422), (None, 422)):
        (await owner.call("POST", f"{path}/transfer", {"user_id": bad})).problem(status)
    (await ben.call("POST", f"{path}/transfer", {"user_id": "1"})).problem(403)
    done = await owner.call("POST", f"{path}/transfer", {"user_id": ben.user_id})
    assert (done.status, done.json["role"]) == (200, "owner")
    mine = (await owner.call("GET", f"{path}/members/1")).json
    assert mine["role"] == "admin"


ATTEMPTS: dict[Action, list[tuple[str, str, Any]]] = {
    Action.READ: [("GET", "", None), ("GET", "/links", None), ("GET", "/members", None)],
    Action.EDIT: [
        ("PATCH", "", {"title": "x"}),
        ("POST", "/links", {"slug": "x", "target": "https://example.com/"}),
    ],
    Action.MANAGE_MEMBERS: [
        ("GET", "/invitations", None),
        ("POST", "/invitations", {"email": "x@example.com", "role": "viewer"}),
        ("PATCH", "/members/99", {"role": "viewer"}),
    ],
    Action.TRANSFER: [("POST", "/transfer", {"user_id": "99"})],
    Action.DELETE: [("DELETE", "", None)],
}


@pytest.mark.parametrize("role", ["admin", "editor", "viewer", None])
async def test_a_role_allows_exactly_its_actions(role: str | None) -> None:
    """A member whose role does not suffice gets 403, a user who is no member 404."""
    owner, path = await founded(Console())
    await joined(owner, path, 99)
    if role is None:
        browser = await person(owner.console, 10)
    else:
        browser = await joined(owner, path, 10, role)
    for action, attempts in ATTEMPTS.items():
        for method, rest, body in attempts:
            response = await browser.call(method, path + rest, body)
            if role is None:
                response.problem(404)
            elif role in action.value.roles:
                assert response.status < 300, (role, method, rest, response.body)
            else:
                response.problem(403)


async def test_accepting_without_credentials_or_password_is_401() -> None:
    response = await Console().call("POST", "/v1/invitations/accept", {"token": "x"}, key="")
    response.problem(401)
    assert PASSWORD not in response.body.decode()

"""Set-up and a forgotten password, from the engine's output and its mail to the login."""

import re
from pathlib import Path

import httpx
import pytest

from tests.kit.engines import Engine, eventually
from tests.kit.mail_servers import KeptMails, mail_server

pytestmark = pytest.mark.large

EMAIL = "ada@example.com"


def set_up(engine: Engine) -> None:
    match = re.search(r"set up your own account within an hour: (\S+)/setup#(\S+)", engine.output())
    assert match is not None
    assert match[1] == engine.console
    draft = {"code": match[2], "name": "Ada", "email": EMAIL, "password": "a first sentence"}
    assert httpx.post(f"{engine.console}/v1/setup", json=draft).status_code == 200
    assert httpx.post(f"{engine.console}/v1/setup", json=draft).status_code == 404
    with engine.api() as api:  # the key of owner.json is still the first account's
        assert api.get("/v1/user").json()["email"] == EMAIL


def reset(engine: Engine, kept: KeptMails) -> None:
    for email in (EMAIL, "nobody@example.com"):
        answer = httpx.post(f"{engine.console}/v1/password-resets", json={"email": email})
        assert (answer.status_code, answer.content) == (202, b"")
    assert eventually(lambda: kept.messages)
    message = kept.messages[-1]
    match = re.search(r"(\S+)/reset#(\S+)", message.get_content())
    assert match is not None
    assert (match[1], message["To"]) == (engine.console, EMAIL)
    body = {"token": match[2], "password": "another sentence"}
    assert httpx.post(f"{engine.console}/v1/password-resets/use", json=body).status_code == 204


def log_in(engine: Engine, password: str) -> int:
    draft = {"email": EMAIL, "password": password}
    return httpx.post(f"{engine.console}/v1/session", json=draft).status_code


def test_a_person_sets_up_and_resets_while_the_mail_server_fails_at_first(tmp_path: Path) -> None:
    with mail_server() as kept:
        kept.reply = "451 come back later"
        settings = {
            "WAYPOST_SMTP_URL": f"smtp+plain://127.0.0.1:{kept.port}",
            "WAYPOST_MAIL_FROM": "Waypost <waypost@example.com>",
        }
        engine = Engine(tmp_path / "data", **settings)
        try:
            set_up(engine)
            assert log_in(engine, "a first sentence") == 201
            httpx.post(f"{engine.console}/v1/password-resets", json={"email": EMAIL})
            assert eventually(lambda: kept.client_names)
            kept.reply = ""
            reset(engine, kept)
            assert log_in(engine, "a first sentence") == 401
            assert log_in(engine, "another sentence") == 201
            assert kept.messages[0]["Auto-Submitted"] == "auto-generated"
        finally:
            engine.stop()
        again = Engine(tmp_path / "data", **settings)
        try:
            assert "set up your own account" not in again.output()
            assert log_in(again, "another sentence") == 201
        finally:
            again.stop()

"""URLs of mail servers, and senders."""

import pytest

from engine.common.errors import SettingsError
from engine.mail.server import MailServer, Sender, mail_server, sender
from engine.operations.settings import read


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", MailServer("starttls", "mail.example", 587, "", "")),
        ("smtps://u%40x:p%2F%3A@mail.example:4650/",
         MailServer("tls", "mail.example", 4650, "u@x", "p/:")),
        ("smtp+plain://[::1]", MailServer("none", "::1", 25, "", "")),
    ],
)  # fmt: skip
def test_a_url_names_host_security_and_login(url: str, server: MailServer) -> None:
    assert mail_server(url) == server


@pytest.mark.parametrize(
    "url",
    ["mail.example", "http://mail.example", "smtp://", "smtp://h:0", "smtp://h:x", "smtp://h/path",
     "smtp://h?tls=1", "smtp://user@h", "smtp://:secret@h", "smtp+plain://user:secret@h",
     "smtp://user:sec#ret@h", "smtp://[h"],
)  # fmt: skip
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    environment = {"WAYPOST_SMTP_URL": url, "WAYPOST_MAIL_FROM": "a@example.com"}
    with pytest.raises(SettingsError, match="WAYPOST_SMTP_URL must") as refused:
        read(environment)
    assert "secret" not in str(refused.value)
    assert "sec#ret" not in str(refused.value)


def test_a_sender_is_an_address_with_or_without_a_name() -> None:
    assert sender("a@example.com") == Sender("", "a@example.com")
    assert sender("Wäy, post <a@example.com>") == Sender("Wäy, post", "a@example.com")
    for bad in ("", "a", "a@b c", "a <b", 'x"y <a@b>', "a\r\nBcc: b <a@b>", "<a@b> x", "x <é@b>"):
        with pytest.raises(ValueError, match="must be an address"):
            sender(bad)


def test_server_and_sender_are_set_both_or_neither() -> None:
    for environment in (
        {"WAYPOST_SMTP_URL": "smtp://h"},
        {"WAYPOST_MAIL_FROM": "a@example.com"},
    ):
        with pytest.raises(SettingsError, match="both, or neither"):
            read(environment)

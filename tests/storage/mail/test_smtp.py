"""Mail by SMTP, against a real server."""

from pathlib import Path

import pytest
import trio

from engine.common.errors import UnavailableError
from engine.mail.message import MailMessage
from engine.mail.ports import MailRefusedError
from engine.mail.server import MailServer, Security, Sender
from storage.mail import smtp
from storage.mail.smtp import SmtpMailer
from tests.kit.mail_servers import MAIL_PASSWORD, mail_server, self_signed

SENDER = Sender("Waypost, the engine", "waypost@example.com")
MESSAGE = MailMessage(
    to="ada@example.com",
    subject="Grüße · 1,000 clicks",
    text="Hé\n.\nFrom the engine: ✓\n",
    html="<p>Hé</p>",
    message_id="digest-1",
    unsubscribe_url="https://console.example/settings",
)


async def test_a_message_arrives_as_it_was_written() -> None:
    with mail_server() as kept:
        mailer = SmtpMailer(kept.server(), SENDER)
        await mailer.send(MESSAGE)
    (envelope,), (mail,) = kept.envelopes, kept.messages
    assert (envelope.mail_from, envelope.rcpt_tos) == ("waypost@example.com", ["ada@example.com"])
    assert mail["From"] == '"Waypost, the engine" <waypost@example.com>'
    assert (mail["To"], mail["Subject"]) == ("ada@example.com", MESSAGE.subject)
    assert mail["Message-ID"] == "<digest-1@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"] == "<https://console.example/settings>"
    text, html = mail.iter_parts()
    assert text.get_content().replace("\r\n", "\n") == MESSAGE.text
    assert html.get_content().strip() == MESSAGE.html
    assert kept.client_names == ["example.com"]
    assert [(sample.labels, sample.value) for sample in mailer.samples() if sample.value] == [
        (("sent",), 1)
    ]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x85", "\x0b", "\x00", "\ud800"])
async def test_no_text_adds_a_header_or_a_receiver(end: str) -> None:
    hostile = replace_subject(f"a{end}Bcc: eve@example.com{end}{end}<b>body")
    with mail_server() as kept:
        await SmtpMailer(kept.server(), SENDER).send(hostile)
    (mail,) = kept.messages
    assert mail["Bcc"] is None
    assert kept.envelopes[0].rcpt_tos == ["ada@example.com"]
    assert mail["Subject"].startswith("a")
    assert "eve@example.com" in mail["Subject"]


def replace_subject(subject: str) -> MailMessage:
    return MailMessage(to=MESSAGE.to, subject=subject, text="x\n", message_id="1")


@pytest.mark.parametrize(
    "address",
    ["a\r\nRCPT TO:<eve@example.com>@x", "a,b@example.com", "<eve@example.com>@x", "é@example.com",
     "a@exa mple", '"a b"@example.com', "a@b@c", "a@", "a@-x.example", "a@x." + "y" * 300, "a>@x"],
)  # fmt: skip
async def test_an_address_that_is_not_plain_gets_nothing(address: str) -> None:
    with mail_server() as kept:
        mailer = SmtpMailer(kept.server(), SENDER)
        message = MailMessage(to=address, subject="s", text="x\n", message_id="1")
        with pytest.raises(MailRefusedError):
            await mailer.send(message)
    assert kept.envelopes == []


# The server leaves the socket of a handshake that the client broke off to the collector, and it warns of logins
# that it takes without STARTTLS, also within TLS.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket", "ignore:Requiring AUTH while")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_goes_over_tls_with_a_verified_certificate(
    security: Security, tmp_path: Path
) -> None:
    certificate, trusting = self_signed(tmp_path)
    with mail_server(security, login=True, certificate=certificate) as kept:
        await SmtpMailer(kept.server(security, login=True), SENDER, trusting).send(MESSAGE)
        assert len(kept.envelopes) == 1
        with pytest.raises(UnavailableError, match="certificate"):
            await SmtpMailer(kept.server(security, login=True), SENDER).send(MESSAGE)
        wrong = kept.server(security, login=True)._replace(password="other")
        with pytest.raises(UnavailableError, match="refuses the user or password") as refused:
            await SmtpMailer(wrong, SENDER, trusting).check()
        assert "other" not in str(refused.value)
        assert MAIL_PASSWORD not in str(refused.value)
    assert len(kept.envelopes) == 1


async def test_a_server_without_starttls_gets_nothing(tmp_path: Path) -> None:
    with mail_server() as kept:
        with pytest.raises(UnavailableError, match="STARTTLS"):
            await SmtpMailer(kept.server("starttls"), SENDER).send(MESSAGE)
        await SmtpMailer(kept.server(), SENDER).check()
    assert kept.envelopes == []


@pytest.mark.parametrize(
    ("reply", "recipient_reply", "error"),
    [
        ("554 not \x1b[31mwanted", "", MailRefusedError),
        ("452 no room", "", UnavailableError),
        ("", "550 no such user", MailRefusedError),
        ("", "450 come back later", UnavailableError),
    ],
)
async def test_a_refusal_for_good_is_told_from_one_for_now(
    reply: str, recipient_reply: str, error: type[Exception]
) -> None:
    with mail_server() as kept:
        kept.reply, kept.recipient_reply = reply, recipient_reply
        with pytest.raises(error) as refused:
            await SmtpMailer(kept.server(), SENDER).send(MESSAGE)
    text = str(refused.value)
    assert text.isprintable()
    assert (reply or recipient_reply)[:3] in text


async def test_a_server_that_is_away_or_silent_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mail_server() as kept:
        gone = kept.server()
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1"):
        await SmtpMailer(gone, SENDER).send(MESSAGE)
    monkeypatch.setattr(smtp, "WAIT_S", 0.05)
    (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with silent:
        port = silent.socket.getsockname()[1]
        with pytest.raises(UnavailableError):
            await SmtpMailer(MailServer("none", "127.0.0.1", port, "", ""), SENDER).check()

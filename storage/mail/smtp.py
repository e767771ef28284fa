"""Mail by SMTP: one connection for each message, in a thread, with a bound on its time.

Guarantees:
- a message goes to one address, which was checked to be plain ASCII without quotes, and its headers are single
  lines: no text of a user adds a header or a receiver;
- with smtp:// nothing is sent before STARTTLS has succeeded, and certificates are verified;
- at most AT_ONCE connections are open; each wait for the server ends after WAIT_S, and send() after TOTAL_S;
- no error repeats the password, and what it repeats of the server's answer is one short printable line.
"""

import smtplib
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from typing import Final

import trio

from engine.common.errors import UnavailableError
from engine.mail.message import MailMessage, header_text
from engine.mail.ports import MailRefusedError
from engine.mail.server import MailServer, Sender, is_mailable
from engine.operations.metrics import Metric, Sample

AT_ONCE: Final = 2
WAIT_S: Final = 10.0
TOTAL_S: Final = 30.0
_PERMANENT: Final = 500

MAILS: Final = Metric(
    "waypost_mails_total",
    "Mails handed to the mail server, by result: sent, refused for good, or failed for now",
    ("result",),
)
_RESULTS: Final = ("sent", "refused", "failed")
NO_MAILS: Final = MAILS.by_label(dict.fromkeys(_RESULTS, 0))  # samples of an engine that sends none


class SmtpMailer:
    """Mailer over an SMTP server. `context` verifies its certificate, by default by the system's roots."""

    def __init__(
        self, server: MailServer, sender: Sender, context: ssl.SSLContext | None = None
    ) -> None:
        self._server = server
        self._sender = sender
        self._context = context
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._results = dict.fromkeys(_RESULTS, 0)

    def samples(self) -> list[Sample]:
        return MAILS.by_label(self._results)

    async def send(self, message: MailMessage) -> None:
        if not is_mailable(message.to):
            self._results["refused"] += 1
            raise MailRefusedError("the address cannot be mailed: it is not plain ASCII")
        data = encoded(message, self._sender, datetime.now(UTC))
        result = "failed"
        try:
            await self._converse(
                lambda smtp: smtp.sendmail(self._sender.address, [message.to], data)
            )
            result = "sent"
        except MailRefusedError:
            result = "refused"
            raise
        finally:
            self._results[result] += 1

    async def check(self) -> None:
        """Connect and log in, and send nothing. Raises UnavailableError."""
        try:
            await self._converse(lambda smtp: smtp.noop())
        except MailRefusedError as error:
            raise UnavailableError(str(error)) from None

    async def _converse(self, work: Callable[[smtplib.SMTP], object]) -> None:
        try:
            with trio.fail_after(TOTAL_S):
                await trio.to_thread.run_sync(
                    partial(self._in_thread, work), limiter=self._limiter, abandon_on_cancel=True
                )
        except trio.TooSlowError:
            raise UnavailableError(f"{self._name} did not answer within {TOTAL_S:g} s") from None
        except smtplib.SMTPException as error:
            raise self._error(error) from None
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise UnavailableError(f"{self._name}: {header_text(reason)}") from None

    def _in_thread(self, work: Callable[[smtplib.SMTP], object]) -> None:
        server = self._server
        context = self._context or ssl.create_default_context()
        # Its own name is the sender's: to look up this machine's can take long, and tells what it is called.
        own_name = self._sender.address.rpartition("@")[2]
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, context=context, timeout=WAIT_S, local_hostname=own_name
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=WAIT_S, local_hostname=own_name)
        with smtp:
            if server.security == "starttls":
                smtp.starttls(context=context)
            if server.user:
                smtp.login(server.user, server.password)
            work(smtp)

    @property
    def _name(self) -> str:
        return f"the mail server {self._server.host}:{self._server.port}"

    def _error(self, error: smtplib.SMTPException) -> Exception:
        """Return the error for what the server answered, or did not."""
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return UnavailableError(f"{self._name} does not offer what its URL asks for: {error}")
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return UnavailableError(f"{self._name} refuses the user or password of its URL")
        code, reply = _answer(error)
        text = f"{self._name} answered {code} {header_text(reply)}".rstrip()
        if code >= _PERMANENT and not isinstance(error, smtplib.SMTPConnectError):
            return MailRefusedError(text)
        return UnavailableError(text if code else f"{self._name}: {header_text(str(error))}")


def _answer(error: smtplib.SMTPException) -> tuple[int, str]:
    """Return the code and text of a server's refusal; 0 if it said nothing."""
    reply: tuple[int, bytes | str] = 0, ""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        reply = next(iter(error.recipients.values()), reply)
    elif isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_code, error.smtp_error
    code, text = reply
    return code, text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def encoded(message: MailMessage, sender: Sender, now: datetime) -> bytes:
    """Return the message as bytes of RFC 5322, with CRLF."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=sender.name, addr_spec=sender.address)
    mail["To"] = Address(addr_spec=message.to)
    mail["Subject"] = header_text(message.subject)
    mail["Date"] = now
    mail["Message-ID"] = f"<{message.message_id}@{sender.address.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        if message.one_click:
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(message.text, cte="quoted-printable")
    if message.html:
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return mail.as_bytes()

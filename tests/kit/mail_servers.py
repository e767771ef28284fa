"""Mail servers for tests: real SMTP on a free port of the loopback, in a thread of their own."""

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cache
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.mail.server import MailServer, Security

USER, MAIL_PASSWORD = "waypost", "p@ss word"


@dataclass
class KeptMails:
    """Handler of a mail server, which keeps what it took. `reply` is its answer to a message, if set, and
    `recipient_reply` its answer to each receiver."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    reply: str = ""
    recipient_reply: str = ""
    client_names: list[str] = field(default_factory=list)

    @property
    def messages(self) -> list[EmailMessage]:
        return [
            message_from_bytes(cast(bytes, envelope.content), policy=default)
            for envelope in self.envelopes
        ]

    def server(self, security: Security = "none", *, login: bool = False) -> MailServer:
        user, password = (USER, MAIL_PASSWORD) if login else ("", "")
        return MailServer(security, "127.0.0.1", self.port, user, password)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.recipient_reply:
            return self.recipient_reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.client_names.append(str(session.host_name))
        if self.reply:
            return self.reply
        self.envelopes.append(envelope)
        return "250 OK"


def _authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    success = (data.login, data.password) == (USER.encode(), MAIL_PASSWORD.encode())
    return AuthResult(success=success, handled=False)


@contextmanager
def mail_server(
    security: Security = "none", *, login: bool = False, certificate: Path | None = None
) -> Iterator[KeptMails]:
    """Yield the handler of a mail server that runs until the context ends."""
    kept, loop = KeptMails(), asyncio.new_event_loop()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    options: dict[str, Any] = {"loop": loop, "auth_required": login}
    if login:
        options["authenticator"] = _authenticate
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    elif security == "tls":
        options["auth_require_tls"] = False

    async def listen() -> asyncio.Server:
        return await loop.create_server(
            lambda: SMTP(kept, **options),
            "127.0.0.1",
            0,
            ssl=context if security == "tls" else None,
        )

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(5)
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:

        async def close() -> None:
            server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@cache
def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    return certificate.public_bytes(encoding) + key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a certificate for 127.0.0.1 with its key, and a client's context that trusts it."""
    file = folder / "mail.pem"
    file.write_bytes(_certificate())
    return file, ssl.create_default_context(cafile=str(file))

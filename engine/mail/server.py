"""The mail server of WAYPOST_SMTP_URL, and the sender of WAYPOST_MAIL_FROM: parsers of both.

No reason repeats any part of the URL: it may hold a password.
"""

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

Security = Literal["starttls", "tls", "none"]
_SCHEMES: Final[dict[str, tuple[Security, int]]] = {
    "smtp": ("starttls", 587),
    "smtps": ("tls", 465),
    "smtp+plain": ("none", 25),
}
_FORM: Final = "smtp://USER:PASSWORD@HOST:PORT"
_ATEXT: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(rf"{_ATEXT}(\.{_ATEXT})*@{_LABEL}(\.{_LABEL})*")
_NAMED: Final = re.compile(r"(?P<name>[^<>\"\\\x00-\x1f\x7f-\x9f]*?) *<(?P<address>[^<>]+)>")
MAX_ADDRESS_CHARS: Final = 254


class MailServer(NamedTuple):
    """A mail server, and how its connection is secured. Without `user` no one logs in."""

    security: Security
    host: str
    port: int
    user: str
    password: str


class Sender(NamedTuple):
    """The sender of mail. `name` may be empty."""

    name: str
    address: str


def parse_smtp_url(text: str) -> str:
    """Parse the URL of a mail server: smtp:// with STARTTLS, smtps:// with TLS, smtp+plain:// with neither."""
    mail_server(text)
    return text


def mail_server(url: str) -> MailServer:
    """Return the server that a URL names. Raises ValueError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"must be a URL whose host and port can be read: {_FORM}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"must start with {', '.join(f'{name}://' for name in _SCHEMES)}: {_FORM}")
    if not parts.hostname or port == 0 or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"must name a host, and no path or options: {_FORM}")
    if any(ord(character) < 0x21 for character in parts.hostname):
        raise ValueError(f"must name a host without blanks: {_FORM}")
    security, default_port = _SCHEMES[parts.scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError(f"must have both a user and a password, or neither: {_FORM}")
    if user and security == "none":
        raise ValueError("must not send a password without TLS: use smtp:// or smtps://")
    return MailServer(security, parts.hostname, port or default_port, user, password)


def parse_mail_from(text: str) -> str:
    """Parse the sender of mail: an address, or a name and an address in angle brackets."""
    sender(text)
    return text


def sender(text: str) -> Sender:
    """Return the name and address of a sender. Raises ValueError."""
    named = _NAMED.fullmatch(text)
    parsed = Sender(named["name"].strip(), named["address"]) if named else Sender("", text)
    if not is_mailable(parsed.address) or len(text) > 2 * MAX_ADDRESS_CHARS:
        raise ValueError("must be an address, as in Waypost <waypost@example.com>")
    return parsed


def is_mailable(address: str) -> bool:
    """Return whether mail can be sent to an address: it is plain ASCII, without quotes and comments.

    Accounts may have other addresses, because whoever types one need not have proven it.
    """
    return len(address) <= MAX_ADDRESS_CHARS and _ADDRESS.fullmatch(address) is not None

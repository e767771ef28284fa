"""Declaration of a setting: a dataclass field with its variable, parser, bounds and help.

Parsers take the text of an environment variable and return the value. They raise ValueError; its
text continues the variable's name: "must be …".
"""

import re
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

PREFIX: Final = "WAYPOST_"
_CONTACT: Final = re.compile(r"(?:https://[!-~]+|mailto:[!-~]+@[!-~]+)")
MAX_URL_CHARS: Final = 200
MAX_TOKEN_CHARS: Final = 255
_DNS_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")
_DECLARATION: Final = "declaration"


class Setting(NamedTuple):
    """A declared setting. The value of a secret setting appears in no message, help text or repr."""

    variable: str
    field: str
    default: Any
    parse: Callable[[str], Any]
    help: str
    secret: bool


class _Declaration(NamedTuple):
    parse: Callable[[str], Any]
    help: str
    variable: str
    secret: bool


_BUCKET_URL: Final = re.compile(
    r"(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{1,62}(?:/[A-Za-z0-9._-]+)*/?"
)


def setting(
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    *,
    variable: str = "",
    secret: bool = False,
) -> Any:
    """Declare a field of a frozen dataclass as a setting.

    `variable` defaults to WAYPOST_ and the field's name in capitals. `help` is a noun phrase for
    `waypost --help`, with the unit if the name has none, and the meaning of 0.
    """
    declaration = _Declaration(parse, help, variable, secret)
    return field(default=default, repr=not secret, metadata={_DECLARATION: declaration})


def declared_settings(settings_class: type) -> tuple[Setting, ...]:
    """Return the settings that a dataclass declares, in the order of its fields."""
    return tuple(
        Setting(
            declaration.variable or PREFIX + field_.name.upper(),
            field_.name,
            field_.default,
            declaration.parse,
            declaration.help,
            declaration.secret,
        )
        for field_ in fields(settings_class)
        if (declaration := field_.metadata.get(_DECLARATION)) is not None
    )


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`, both included."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts exactly these texts."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    """Return a parser of URLs with one of these schemes, without credentials."""

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            scheme, _ = parts.scheme, parts.port
        except ValueError:
            raise ValueError("must be a URL whose host and port can be read") from None
        if scheme not in schemes:
            raise ValueError(
                f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"
            )
        if "@" in parts.netloc:
            raise ValueError("must be a URL without user name and password")
        return text

    return parse


def url_list(most: int) -> Callable[[str], str]:
    """Return a parser of up to `most` http and https URLs with blanks between them."""

    def parse(text: str) -> str:
        urls = list(dict.fromkeys(text.split()))
        if len(urls) > most or any(len(each) > 2048 for each in urls):
            raise ValueError(f"must be up to {most} URLs with blanks between, of 2,048 characters")
        for each in urls:
            if not urlsplit(url("http", "https")(each)).hostname:
                raise ValueError("must be URLs with hosts, with blanks between them")
        return " ".join(urls)

    return parse


def bucket_url(text: str) -> str:
    """Parse the URL of a bucket: s3://bucket/path, gs://bucket/path or az://container/path."""
    if _BUCKET_URL.fullmatch(text) is None:
        raise ValueError(
            "must be s3://, gs:// or az://, a bucket and a path, such as s3://pictures/live"
        )
    return text


def contact_url(text: str) -> str:
    """Parse an https or mailto URL of printable ASCII, or nothing."""
    if text and _CONTACT.fullmatch(text) is None:
        raise ValueError(
            "must be a URL such as mailto:security@example.com or https://example.com/"
        )
    return text


def site_url(text: str) -> str:
    """Parse an http or https URL of a host alone: paths below it are the visitors'."""
    site = url("http", "https")(text)
    parts = urlsplit(site)
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "must be a URL without a path, such as https://go.example; a prefix takes a host of its own"
        )
    return site


def base_url(text: str) -> str:
    """Parse an http or https URL to which paths are appended. Cuts off a slash at its end."""
    base = url("http", "https")(text)
    parts = urlsplit(base)
    unusable = parts.username or parts.port == 0 or parts.query or parts.fragment
    if unusable or not parts.hostname or len(text) > MAX_URL_CHARS:
        raise ValueError(
            "must be a URL without credentials, query and fragment, such as https://api.github.com"
        )
    return base.rstrip("/")


def switch(text: str) -> bool:
    """Parse a yes or no."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be one of 1, 0, true, false, yes, no, on, off")


def token(text: str) -> str:
    """Parse a credential for an HTTP header."""
    if len(text) > MAX_TOKEN_CHARS or not all("!" <= c <= "~" for c in text):
        raise ValueError(
            f"must be 1 to {MAX_TOKEN_CHARS} printable ASCII characters without blanks"
        )
    return text


def host(text: str) -> str:
    """Parse a host name or address."""
    if not text or any(ord(c) < 0x21 for c in text):
        raise ValueError("must not be empty or have blanks")
    return text


def host_list(most: int) -> Callable[[str], str]:
    """Return a parser of up to `most` DNS names with commas between them; it returns them in lower case."""

    def parse(text: str) -> str:
        names = [name.strip().lower() for name in text.split(",") if name.strip()]
        if len(names) > most or not all(map(_DNS_NAME.fullmatch, names)):
            raise ValueError(
                f"must be up to {most} hosts with commas between, such as a.example,b.example"
            )
        return ",".join(names)

    return parse


def path(text: str) -> str:
    """Parse a path of a file."""
    if not text.isprintable():
        raise ValueError("must be a path without control characters")
    return text


milliseconds: Final = whole(10, 86_400_000)
port: Final = whole(0, 65_535)

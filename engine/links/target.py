"""Targets of links: URLs that members enter, validated as a browser parses them.

`ada_url` implements the WHATWG URL standard. So the validation sees the same URL as a visitor's browser will
see in the `Location` header, and not another parser's reading of it.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

import ada_url

from engine.github.repository import WEB_HOST, parse_repository_url
from engine.links.targets.program_target import EXAMPLES, kind_of_scheme, normalised_program_target

TargetKind = Literal["url", "mailto", "tel", "sms", "magnet", "app", "github"]
TARGET_KINDS: Final[tuple[str, ...]] = get_args(TargetKind)

MAX_TARGET_CHARS: Final = 32_768  # of a link
MAX_URL_CHARS: Final = 2_048  # of any other URL: a picture, a variant, a domain, a repository
LOOP_REASON: Final = "must not lead back to this server, such as to the link itself"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LOCATION_SAFE: Final = re.compile(rb"[\x21-\x7e]+")
_UNSAFE: Final = re.compile(rb"[^\x21-\x7e]")
_LOOPBACK: Final = {"localhost", "127.0.0.1", "[::1]"}
_PRIVATE_SUFFIXES: Final = ("localhost", ".localhost", ".local", ".internal", ".home.arpa")
_LAST_32_BITS: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))


class TargetError(ValueError):
    """A target that is refused. `str(error)` is the reason, as in FieldError."""


def check(
    url: str,
    kind: TargetKind = "url",
    *,
    private_hosts: bool = True,
    github_host: str = WEB_HOST,
    max_chars: int = MAX_TARGET_CHARS,
) -> str:
    """Return a link's target normalised. Raises TargetError with the reason.

    `kind` "url" takes http and https only; "github" takes a repository's page, or a page below it, on
    `github_host`; the others take schemes of programs (engine/links/targets/program_target.py). With
    `private_hosts=False`, hosts that are not on the public internet (loopback, private and link-local
    addresses, `localhost`, single-label and `.internal` names) are refused. The result is printable
    ASCII of at most `max_chars` characters, so it can be written into a header unencoded.
    """
    if kind == "github":
        max_chars = min(max_chars, MAX_URL_CHARS)
    if _CONTROL.search(url):
        raise TargetError("must not contain control characters")
    text = url.strip(" ")
    if not text:
        raise TargetError("must not be empty")
    if len(text) > max_chars:
        raise TargetError(f"must have at most {max_chars:,} characters")
    target = (
        _normalise_web(text, private_hosts) if kind in ("url", "github") else _program(text, kind)
    )
    if kind == "github" and parse_repository_url(target, github_host) is None:
        raise TargetError(f"must be a repository, such as https://{github_host}/owner/name")
    if len(target) > max_chars:
        raise TargetError(f"must have at most {max_chars:,} characters once encoded")
    if not is_location_safe(target.encode("utf-8")):
        raise TargetError("must not contain characters that a URL cannot have")
    return target


def is_location_safe(value: bytes) -> bool:
    """Return whether `value` may be written into a Location header: printable ASCII without blanks."""
    return _LOCATION_SAFE.fullmatch(value) is not None


def add_query(target: bytes, query: bytes) -> bytes:
    """Return `target` with the visitor's `query` (no leading `?`) added before its fragment.

    The caller must have checked `query` with is_location_safe(). Parameters of the target stay, in front.
    """
    base, hash_mark, fragment = target.partition(b"#")
    joint = b"?" if b"?" not in base else b"" if base.endswith((b"?", b"&")) else b"&"
    return base + joint + query + hash_mark + fragment


def replace_query(target: bytes, query: bytes) -> bytes:
    """Return `target` with the visitor's `query` instead of its own parameters of the same names, and behind
    the others. The caller must have checked `query` with is_location_safe()."""
    base, mark, own = target.partition(b"#")[0].partition(b"?")
    if mark:
        names = {_parameter_name(part) for part in query.split(b"&")}
        kept = [part for part in own.split(b"&") if _parameter_name(part) not in names]
        if len(kept) != own.count(b"&") + 1:
            fragment = target.partition(b"#")
            target = base + (b"?" + b"&".join(kept) if kept else b"") + fragment[1] + fragment[2]
    return add_query(target, query)


def safe_query(query: bytes) -> bytes:
    """Return a visitor's query with every byte percent-encoded that no Location may have."""
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], query)


def _parameter_name(parameter: bytes) -> bytes:
    name = parameter.partition(b"=")[0]
    return unquote_to_bytes(name) if b"%" in name else name


def add_utm(target: bytes, utm: Mapping[str, str]) -> bytes:
    """Return `target` with campaign parameters (`source`, `medium`, …) that it does not have and that are set.

    Anything but http and https is returned as it is.
    """
    if not target.startswith((b"http://", b"https://")):
        return target
    query = target.partition(b"#")[0].partition(b"?")[2].decode("ascii", "replace")
    names = {name.lower() for name, _ in parse_qsl(query, keep_blank_values=True)}
    missing = [
        (f"utm_{name}", value)
        for name, value in utm.items()
        if value and f"utm_{name}" not in names
    ]
    return add_query(target, urlencode(missing).encode("ascii")) if missing else target


def _normalise_web(text: str, private_hosts: bool) -> str:
    scheme = text.partition(":")[0].lower()
    if ":" not in text or not re.fullmatch(r"[a-z][a-z0-9+.\-]*", scheme):
        raise TargetError("must be an absolute URL, such as https://example.com/")
    if scheme not in ("http", "https"):
        kind = kind_of_scheme(text)
        hint = "" if kind == "url" else f"; give the link the kind '{kind}'"
        raise TargetError(f"must have the scheme http or https, not '{scheme[:32]}'{hint}")
    try:
        parsed = ada_url.URL(text)
    except ValueError:
        raise TargetError("must be a valid URL") from None
    if parsed.username or parsed.password:
        raise TargetError("must not have credentials (user:password@): visitors would see them")
    if not parsed.hostname:
        raise TargetError("must have a host")
    if not private_hosts and is_private_host(parsed.hostname):
        raise TargetError("must lead to a host on the public internet")
    return parsed.href


def leads_back(target: str, visitors_url: str) -> bool:
    """Return whether a normalised target is an address of the visitors' server that may redirect again.

    Pages of profiles (`/@handle`) do not. Names that lead here by DNS alone are not known.
    """
    if not visitors_url or not target.startswith(("http://", "https://")):
        return False
    own, other = ada_url.URL(visitors_url), ada_url.URL(target)
    if own.port != other.port or other.pathname.startswith("/@"):
        return False
    hosts = {own.hostname.rstrip("."), other.hostname.rstrip(".")}
    return len(hosts) == 1 or hosts <= _LOOPBACK


def is_private_host(host: str) -> bool:
    """Return whether a host, as the URL parser normalises it, is by its text not on the public internet."""
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return "." not in name or name.endswith(_PRIVATE_SUFFIXES)
    if isinstance(address, ipaddress.IPv6Address):
        address = _embedded_ipv4(address) or address
    return not address.is_global or address.is_multicast


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that an IPv6 one embeds: mapped, 6to4, NAT64 (RFC 6052) or compatible."""
    ipv4 = address.ipv4_mapped or address.sixtofour
    if ipv4 is None and any(address in network for network in _LAST_32_BITS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return ipv4


def _program(text: str, kind: TargetKind) -> str:
    try:
        target = normalised_program_target(text, kind)
    except ValueError:  # lone surrogates, which no encoding can carry
        raise TargetError("must not contain characters that a URL cannot have") from None
    if target is None:
        raise TargetError(f"must be a {kind} address, such as {EXAMPLES[kind]}")
    return target

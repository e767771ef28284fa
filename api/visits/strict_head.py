"""Strict reading of one whole request head, by all callbacks of llhttp.

What both ways of reading must agree on is stated in api/visits/head.py.
"""

import re
from typing import Final

import httptools
import msgspec

from api.visits.pages.negotiation import is_negotiated, negotiate
from engine.clicks.agents.client_hints import with_hints
from engine.clicks.click import MAX_LANGUAGE_BYTES, MAX_REFERRER_BYTES, MAX_USER_AGENT_BYTES
from engine.visits.classifier import is_prefetch
from engine.visits.request import VisitRequest

_COOKIES: Final = re.compile(rb"(?i)\r\ncookie:[ \t]*([^\r]*)").findall
_WP_V: Final = re.compile(rb"(?:\A|[; \t])wp_v=([A-Za-z0-9_-]{22})(?=\Z|[; \t])").findall
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_PORT: Final = re.compile(rb":[0-9]*\Z")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e]+")
_RAW_TARGET: Final = re.compile(rb"[A-Z]+ +(/[^ \r\n]*) +HTTP/1\.[01]\r\n").match
_RAW_BYTE: Final = re.compile(rb"[\x80-\xff]")


# A form of a page of ours, such as a link's password; or of a mail program, which may send the other type.
MAX_FORM_BYTES: Final = 4096
_FORM_TYPE: Final = re.compile(
    rb"(?:application/x-www-form-urlencoded|multipart/form-data)[ \t]*(?:;.*)?", re.IGNORECASE
)


class RefusedHead(msgspec.Struct, gc=False, frozen=True):
    """Bytes that the server refuses: send `status` and close."""

    status: int
    head_only: bool = False


# The host of each well-formed Host value, blanks around it included: a few names, so a small table.
KNOWN_HOSTS: Final[dict[bytes, bytes]] = {}
_MAX_HOSTS: Final = 256


def parse_host(value: bytes) -> bytes | None:
    """Return the host of a header's value, in lower case and without port; None when it is not well-formed."""
    stripped = value.strip(b" \t")
    if _HOST.fullmatch(stripped) is None:
        return None
    host = _PORT.sub(b"", stripped).lower().rstrip(b".")
    if len(KNOWN_HOSTS) >= _MAX_HOSTS:
        KNOWN_HOSTS.clear()
    KNOWN_HOSTS[value] = host
    return host


def visitor_cookie(head: bytes) -> bytes:
    """Return the value of the cookie `wp_v`; empty when there is none, or several."""
    fields = _COOKIES(head)
    values = _WP_V(b"; ".join(fields)) if fields else []
    return values[0] if len(values) == 1 else b""


class _Events:
    """llhttp's callbacks. They keep the URL, and header fields by name: lower-cased, blanks around values cut.

    Whether the connection may be kept is read in the callback: afterwards llhttp has forgotten.
    """

    def __init__(self) -> None:
        self.url = b""
        self.fields: dict[bytes, list[bytes]] = {}
        self.prefetch = False
        self.complete = False
        self.keep_alive = False
        self.parser: httptools.HttpRequestParser | None = None

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        value = (value or b"").strip(b" \t")
        self.fields.setdefault(name.lower(), []).append(value)
        if is_prefetch(name.decode("latin-1"), value.decode("latin-1")):
            self.prefetch = True

    def on_message_complete(self) -> None:
        self.complete = True
        self.keep_alive = self.parser.should_keep_alive()  # type: ignore[union-attr]

    def last(self, name: bytes) -> bytes:
        """Return the value of the last field of this name; empty without one."""
        return self.fields.get(name, (b"",))[-1]


def read_head(head: bytes, *, behind_proxies: bool) -> VisitRequest | RefusedHead:
    """Read one whole head, whose only blank line is its end."""
    events = _Events()
    parser = events.parser = httptools.HttpRequestParser(events)
    try:
        parser.feed_data(_with_ascii_target(head))
    except httptools.HttpParserUpgrade:
        pass  # an offer to change the protocol, which a server may ignore (RFC 9110 7.8)
    except httptools.HttpParserError:
        return RefusedHead(400)
    finally:
        events.parser = None  # otherwise the two would be a reference cycle
    method, version = parser.get_method(), parser.get_http_version()
    head_only = method == b"HEAD"
    form_bytes = _form_bytes(events.fields) if method == b"POST" else 0
    status = _refusal_status(method, version, events, form_bytes)
    if status:
        return RefusedHead(status, head_only)
    form = _origin_form(events.url)
    if form is None:
        return RefusedHead(400, head_only)
    target, authority = form
    # RFC 9112 3.2.2: ignore the Host field of a request in absolute form.
    host = authority or events.last(b"host")
    path, _, query = target.partition(b"?")
    agent = events.last(b"user-agent")[:MAX_USER_AGENT_BYTES]
    if brands := events.last(b"sec-ch-ua"):
        agent = with_hints(
            agent, brands, events.last(b"sec-ch-ua-mobile"), events.last(b"sec-ch-ua-platform")
        )
    request = VisitRequest(
        path,
        query,
        agent,
        events.last(b"referer")[:MAX_REFERRER_BYTES],
        events.last(b"accept-language")[:MAX_LANGUAGE_BYTES],
        head_only,
        version == "1.1" and events.keep_alive and not form_bytes,
        events.prefetch,
        b", ".join(events.fields.get(b"x-forwarded-for", ())) if behind_proxies else b"",
        KNOWN_HOSTS.get(host) or parse_host(host) or b"",
        visitor_cookie(head) if b"wp_v=" in head else b"",
        form_bytes,
    )
    return negotiate(request, events.fields) if is_negotiated(path) else request


def _form_bytes(fields: dict[bytes, list[bytes]]) -> int:
    """Return the length of the form that a POST announces; 0 for what is no form, or a longer one."""
    types, lengths = fields.get(b"content-type", ()), fields.get(b"content-length", ())
    if (
        len(types) != 1
        or len(lengths) != 1
        or b"transfer-encoding" in fields
        or b"upgrade" in fields
    ):
        return 0
    if _FORM_TYPE.fullmatch(types[0]) is None or not lengths[0].isdigit() or len(lengths[0]) > 9:
        return 0
    length = int(lengths[0])
    return length if length <= MAX_FORM_BYTES else 0


def _with_ascii_target(head: bytes) -> bytes:
    """Return the head with a target in raw UTF-8, as curl sends it, percent-encoded as browsers send it.

    llhttp refuses bytes above 127 in a target. Each of them stands for its percent-encoding, in a path or query
    in origin form; the rest of the head keeps its bytes.
    """
    target = _RAW_TARGET(head)
    if target is None or target[1].isascii():
        return head
    start, end = target.span(1)
    return head[:start] + _RAW_BYTE.sub(_percent_encoded, target[1]) + head[end:]


def _percent_encoded(byte: re.Match[bytes]) -> bytes:
    return b"%%%02X" % byte[0][0]


def _refusal_status(method: bytes, version: str, events: _Events, form_bytes: int) -> int:
    """Return the status to refuse a head with; 0 when it is acceptable so far."""
    if version not in ("1.0", "1.1"):
        return 505
    hosts = events.fields.get(b"host", ())
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        return 400
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        return 400
    if form_bytes:
        return 0
    if method not in (b"GET", b"HEAD"):
        return 405
    return 0 if events.complete and not _announces_body(events.fields) else 413


def _announces_body(fields: dict[bytes, list[bytes]]) -> bool:
    lengths = fields.get(b"content-length", ())
    return b"transfer-encoding" in fields or any(value.strip(b"0") for value in lengths)


def _origin_form(url: bytes) -> tuple[bytes, bytes] | None:
    """Return (path with query, the authority of an http(s) URL or empty); None for another form."""
    if _TARGET.fullmatch(url) is None:
        return None
    if url.startswith(b"/"):
        return url, b""
    absolute = _ABSOLUTE.match(url)
    if absolute is None or _HOST.fullmatch(absolute[1]) is None:
        return None
    rest = url[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest, absolute[1]

"""Reference reading of a connection's requests: llhttp with all callbacks, fed everything that comes.

llhttp has its own view of where a head, a body, a trailer and the next request begin, and of which fields are
whose. Which requests an edge serves, and what it keeps of them, is written here a second time, in plain terms.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import httptools

from engine.clicks.agents.client_hints import with_hints
from engine.clicks.click import MAX_LANGUAGE_BYTES, MAX_REFERRER_BYTES, MAX_USER_AGENT_BYTES
from engine.visits.classifier import is_prefetch
from engine.visits.content_coding import coding_of
from engine.visits.request import VisitRequest

Field = tuple[bytes, bytes]

_AUTHORITY = re.compile(rb"([A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")
_COOKIE_VALUE = re.compile(rb"[A-Za-z0-9_-]{22}")
_FORM_TYPES = b"application/x-www-form-urlencoded", b"multipart/form-data"


class Reading(NamedTuple):
    """The requests to serve, and whether a whole message followed that must be refused."""

    requests: list[VisitRequest]
    refuses: bool


@dataclass
class _Message:
    url: bytes = b""
    method: bytes = b""
    version: str = ""
    fields: list[Field] = field(default_factory=list)
    has_head: bool = False
    has_more: bool = False  # a body, a chunk or a trailer
    body: bytes = b""
    ended: bool = False
    keep_alive: bool = False

    def values(self, name: bytes) -> list[bytes]:
        return [value for other, value in self.fields if other.lower() == name]

    def last(self, name: bytes, max_bytes: int) -> bytes:
        values = self.values(name)
        return values[-1][:max_bytes] if values else b""


class _Callbacks:
    """All callbacks of llhttp."""

    def __init__(self) -> None:
        self.messages: list[_Message] = []
        self.url_grew = False
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.messages.append(_Message())

    def on_url(self, url: bytes) -> None:
        self.messages[-1].url += url
        self.url_grew = True

    def on_header(self, name: bytes, value: bytes | None) -> None:
        message = self.messages[-1]
        if message.has_head:
            message.has_more = True
        else:
            message.fields.append((name, (value or b"").strip(b" \t")))

    def on_headers_complete(self) -> None:
        message = self.messages[-1]
        message.has_head = True
        message.method = self.parser.get_method()
        message.version = self.parser.get_http_version()

    def on_body(self, body: bytes) -> None:
        self.messages[-1].has_more = True
        self.messages[-1].body += body

    def on_chunk_header(self) -> None:
        self.messages[-1].has_more = True

    def on_message_complete(self) -> None:
        self.messages[-1].ended = True
        self.messages[-1].keep_alive = self.parser.should_keep_alive()


def read(data: bytes, *, behind_proxies: bool) -> Reading:
    """Read all requests of a connection whose client has sent `data`."""
    requests: list[VisitRequest] = []
    for message in _messages(data):
        if not message.has_head or (_is_form(message) and not message.ended):
            return Reading(requests, False)
        request = _request(message, behind_proxies)
        if request is None:
            return Reading(requests, True)
        requests.append(request)
        if not request.keep_alive:
            break
    return Reading(requests, False)


def _messages(data: bytes) -> list[_Message]:
    messages: list[_Message] = []
    while data:
        callbacks = _Callbacks()
        try:
            if data.isascii():
                callbacks.parser.feed_data(data)
            else:
                _feed_bytes(callbacks, data)
        except httptools.HttpParserUpgrade as upgrade:
            # What follows an offer that was not taken is the next request.
            messages += callbacks.messages
            data = data[upgrade.args[0] :]
            continue
        except httptools.HttpParserError:
            pass
        messages += callbacks.messages
        break
    return messages


def _feed_bytes(callbacks: _Callbacks, data: bytes) -> None:
    """Feed one byte at a time, and bytes above 127 in a path or query percent-encoded: llhttp refuses them raw.

    Raises HttpParserUpgrade with the place in `data`, HttpParserError.
    """
    in_path = False
    for place in range(len(data)):
        byte = data[place : place + 1]
        callbacks.url_grew = False
        try:
            callbacks.parser.feed_data(b"%%%02X" % byte[0] if in_path and byte > b"\x7f" else byte)
        except httptools.HttpParserUpgrade:
            raise httptools.HttpParserUpgrade(place + 1) from None
        in_path = callbacks.url_grew and callbacks.messages[-1].url.startswith(b"/")


def _request(message: _Message, behind_proxies: bool) -> VisitRequest | None:
    """Return the request that a message is; None when it must be refused."""
    hosts = message.values(b"host")
    if (
        message.version not in ("1.0", "1.1")
        or not (_is_form(message) or _has_no_body(message))
        or len(hosts) > 1
        or (message.version == "1.1" and not hosts)
    ):
        return None
    host = hosts[0] if hosts else b""
    if hosts and _AUTHORITY.fullmatch(host) is None:
        return None
    target = message.url
    if b"#" in target:
        return None
    if not target.startswith(b"/"):
        scheme, _, rest = target.partition(b"://")
        host = re.split(rb"[/?]", rest)[0]
        if scheme.lower() not in (b"http", b"https") or _AUTHORITY.fullmatch(host) is None:
            return None
        target = rest[len(host) :]
        target = target if target.startswith(b"/") else b"/" + target
    path, _, query = target.partition(b"?")
    is_page, is_asset = path == b"/" or path.startswith(b"/@"), path.startswith(b"/a/")
    ranges = message.values(b"range") if is_asset and not message.values(b"if-range") else []
    return VisitRequest(
        path,
        query,
        _hinted_agent(message),
        message.last(b"referer", MAX_REFERRER_BYTES),
        message.last(b"accept-language", MAX_LANGUAGE_BYTES),
        message.method == b"HEAD",
        message.version == "1.1" and message.keep_alive and not _is_form(message),
        any(is_prefetch(name.decode(), value.decode("latin-1")) for name, value in message.fields),
        b", ".join(message.values(b"x-forwarded-for")) if behind_proxies else b"",
        re.sub(rb":[0-9]*\Z", b"", host).lower().rstrip(b"."),
        _visitor_cookie(message.values(b"cookie")),
        len(message.body),
        message.body,
        coding=coding_of(b",".join(message.values(b"accept-encoding"))) if is_page else b"",
        known_tags=b",".join(message.values(b"if-none-match"))[:512]
        if is_page or is_asset
        else b"",
        byte_range=ranges[0][:64] if len(ranges) == 1 else b"",
    )


def _has_no_body(message: _Message) -> bool:
    return (
        message.method in (b"GET", b"HEAD")
        and not message.has_more
        and not message.values(b"transfer-encoding")
        and not any(int(length) for length in message.values(b"content-length"))
    )


def _is_form(message: _Message) -> bool:
    types, lengths = message.values(b"content-type"), message.values(b"content-length")
    return (
        message.method == b"POST"
        and len(types) == len(lengths) == 1
        and types[0].split(b";")[0].strip().lower() in _FORM_TYPES
        and 0 < int(lengths[0]) <= 4096
        and not message.values(b"transfer-encoding")
        and not message.values(b"upgrade")
    )


def _hinted_agent(message: _Message) -> bytes:
    agent = message.last(b"user-agent", MAX_USER_AGENT_BYTES)
    brands, mobile, platform = (
        message.last(b"sec-ch-ua" + name, 10_000) for name in (b"", b"-mobile", b"-platform")
    )
    return with_hints(agent, brands, mobile, platform) if brands else agent


def _visitor_cookie(fields: list[bytes]) -> bytes:
    pairs = [pair for text in fields for pair in re.split(rb"[; \t]", text)]
    values = [pair[5:] for pair in pairs if pair.startswith(b"wp_v=")]
    values = [value for value in values if _COOKIE_VALUE.fullmatch(value)]
    return values[0] if len(values) == 1 else b""

"""Request heads of visitors, parsed from a connection's bytes by llhttp. No socket, no await.

The visitor server takes GET and HEAD without a body, nothing else, so nothing is left to smuggle: a request
that has, or might have, a body is refused and its connection closed; bytes behind it are never read as a
request.

There are two parsers. The fast one is for the usual request of a browser: one whole `GET /… HTTP/1.1` head in
one read. llhttp checks it without header callbacks (1.4 µs) and one regular expression finds the four fields
that are needed (2 µs; a longer list of names takes 5, and searching a lower-cased copy for each name 3). The
strict one, with all of llhttp's callbacks, is for the rest: HEAD, pipelined or cut in pieces, HTTP/1.0,
anything unusual. Both read a head alike: a test feeds every input whole, cut anywhere and a byte at a time.
"""

import re
from typing import Final

import httptools
import msgspec

from engine.clicks.click import MAX_LANGUAGE_BYTES, MAX_REFERRER_BYTES, MAX_USER_AGENT_BYTES
from engine.visits.classifier import is_prefetch
from engine.visits.request import VisitRequest

MAX_HEAD_BYTES: Final = 8192

_FIELDS: Final = re.compile(
    rb"(?i)\r\n(user-agent|referer|accept-language|host):[ \t]*([^\r]*)"
).findall
_FIELDS_BEHIND_PROXIES: Final = re.compile(
    rb"(?i)\r\n(user-agent|referer|accept-language|host|x-forwarded-for):[ \t]*([^\r]*)"
).findall
_COOKIES: Final = re.compile(rb"(?i)\r\ncookie:[ \t]*([^\r]*)").findall
_WP_V: Final = re.compile(rb"(?:\A|[; \t])wp_v=([A-Za-z0-9_-]{22})(?=\Z|[; \t])").findall
_METHOD: Final = re.compile(rb"[A-Za-z!#$%&'*+.^_`|~-]{1,32}\Z|[A-Za-z!#$%&'*+.^_`|~-]{1,32} ")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_PORT: Final = re.compile(rb":[0-9]*\Z")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@\s]+)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"[\x21\x22\x24-\x7e\x80-\xff]+")


# The host of each well-formed Host value, blanks around it included: a few names, so a small table.
_hosts: dict[bytes, bytes] = {}
_MAX_HOSTS: Final = 256


def _host(value: bytes) -> bytes | None:
    """Return the host of a header's value, in lower case and without port; None when it is not well-formed."""
    stripped = value.strip(b" \t")
    if _HOST.fullmatch(stripped) is None:
        return None
    host = _PORT.sub(b"", stripped).lower().rstrip(b".")
    if len(_hosts) >= _MAX_HOSTS:
        _hosts.clear()
    _hosts[value] = host
    return host


class RefusedHead(msgspec.Struct, gc=False, frozen=True):
    """Bytes that the server refuses: send `status` and close."""

    status: int
    head_only: bool = False


class _Completion:
    """llhttp's callbacks of the fast parser: they only count the messages that began and ended.

    Whether the connection may be kept is read in the callback: afterwards llhttp has forgotten.
    """

    __slots__ = ("begun", "ended", "keep_alive", "parser")

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.keep_alive = False
        self.parser: httptools.HttpRequestParser | None = None

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_message_complete(self) -> None:
        self.ended += 1
        self.keep_alive = self.parser.should_keep_alive()  # type: ignore[union-attr]


# One for all parsers: parsing never waits, and a parser with its own would be a reference cycle.
_completion: Final = _Completion()


class HeadParser:
    """Parses one connection's bytes: feed() returns the requests that are complete.

    After a RefusedHead, feed it no more. It never holds more than MAX_HEAD_BYTES of an unfinished head.
    """

    __slots__ = ("_fields", "_parser", "_rest")

    def __init__(self, *, behind_proxies: bool = False) -> None:
        self._fields = _FIELDS_BEHIND_PROXIES if behind_proxies else _FIELDS
        self._parser = httptools.HttpRequestParser(_completion)
        self._rest = b""

    @property
    def unfinished(self) -> bool:
        """Whether a head has begun and not ended."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[VisitRequest | RefusedHead]:
        """Parse fast if possible, else strictly."""
        request = self.parse_fast(data)
        return self.parse_strict(data) if request is None else [request]

    # long: the hot path of every request in one piece; each call that it were cut into costs 50 ns.
    def parse_fast(self, data: bytes) -> VisitRequest | None:  # noqa: C901
        """Return the request if `data` is exactly one usual head; None: pass the bytes to parse_strict()."""
        end = data.find(b" ", 4)
        if (
            data[end : end + 11] != b" HTTP/1.1\r\n"
            or data[:5] != b"GET /"
            # The first blank line ends the bytes: what follows a head is no field of it.
            or data.find(b"\r\n\r\n") != len(data) - 4
            or len(data) > MAX_HEAD_BYTES
            or self._rest
            # Perhaps a prefetch. `in` would take 0.5 µs, as it first tries to read the bytes as a number.
            or data.find(b"urpose:") >= 0
        ):
            return None
        host = agent = referrer = language = forwarded = b""
        hosts = 0
        for field, value in self._fields(data):
            length = len(field)  # tells all names but two apart, in any case
            if length == 10:
                agent = value
            elif length == 4:
                host = value
                hosts += 1
            elif length == 7:
                referrer = value
            elif field[0] in b"aA":
                language = value
            else:
                forwarded = b"%b, %b" % (forwarded, value) if forwarded else value
        if hosts != 1:
            return None
        name = _hosts.get(host)
        if name is None:
            name = _host(host)
            if name is None:
                return None
        completion = _completion
        completion.begun = completion.ended = 0
        completion.parser = parser = self._parser
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser = httptools.HttpRequestParser(completion)
            return None
        if completion.begun != 1 or completion.ended != 1:
            self._parser = httptools.HttpRequestParser(completion)
            return None
        path = data[4:end]
        query = b""
        if path.find(b"#") >= 0:
            return None
        mark = path.find(b"?")
        if mark >= 0:
            path, query = path[:mark], path[mark + 1 :]
        return VisitRequest(
            path,
            query,
            agent.rstrip(b" \t")[:MAX_USER_AGENT_BYTES],
            referrer.rstrip(b" \t")[:MAX_REFERRER_BYTES],
            language.rstrip(b" \t")[:MAX_LANGUAGE_BYTES],
            False,
            completion.keep_alive,
            False,
            forwarded,
            name,
            _visitor_cookie(data) if data.find(b"wp_v=") >= 0 else b"",
        )

    def parse_strict(self, data: bytes) -> list[VisitRequest | RefusedHead]:
        """Return the requests that `data` completes, in order; the last one may be a refusal."""
        data = self._rest + data
        heads: list[VisitRequest | RefusedHead] = []
        while True:
            # RFC 9112 2.2: ignore empty lines before a request line.
            while data.startswith(b"\r\n"):
                data = data[2:]
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            if end + 4 > MAX_HEAD_BYTES:
                heads.append(RefusedHead(_too_large(data)))
                return heads
            head = check_head(data[: end + 4])
            heads.append(head)
            if isinstance(head, RefusedHead):
                return heads
            if not head.keep_alive:
                self._rest = b""
                return heads
            data = data[end + 4 :]
        if len(data) > MAX_HEAD_BYTES:
            heads.append(RefusedHead(_too_large(data)))
        elif data not in (b"", b"\r") and (
            _METHOD.match(data) is None or b"\n\n" in data or b"\n\r\n" in data
        ):
            # Not HTTP, or line ends that no head can end with: more bytes cannot repair it.
            heads.append(RefusedHead(400))
        else:
            self._rest = data
        return heads


def _visitor_cookie(head: bytes) -> bytes:
    """Return the value of the cookie `wp_v`; empty when there is none, or several."""
    fields = _COOKIES(head)
    values = _WP_V(b"; ".join(fields)) if fields else []
    return values[0] if len(values) == 1 else b""


def _too_large(data: bytes) -> int:
    line = data.find(b"\r\n")
    return 414 if line < 0 or line > MAX_HEAD_BYTES else 431


class _Events:
    """llhttp's callbacks of the strict parser."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.keep_alive = False
        self.parser: httptools.HttpRequestParser | None = None

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        self.headers.append((name.lower(), (value or b"").strip(b" \t")))

    def on_message_complete(self) -> None:
        self.complete = True
        self.keep_alive = self.parser.should_keep_alive()  # type: ignore[union-attr]


def check_head(head: bytes) -> VisitRequest | RefusedHead:
    """Parse one whole head, blank line included."""
    events = _Events()
    parser = events.parser = httptools.HttpRequestParser(events)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        # An offer to change the protocol, which a server may ignore (RFC 9110 7.8).
        events.complete = True
    except httptools.HttpParserError:
        return RefusedHead(400)
    finally:
        events.parser = None  # otherwise the two would be a reference cycle
    method, version = parser.get_method(), parser.get_http_version()
    head_only = method == b"HEAD"
    status = _refusal_status(head, method, version, events)
    if status:
        return RefusedHead(status, head_only)
    form = _origin_form(events.url)
    if form is None:
        return RefusedHead(400, head_only)
    target, authority = form
    # RFC 9112 3.2.2: ignore the Host field of a request in absolute form.
    host = authority or next((value for name, value in events.headers if name == b"host"), b"")
    path, _, query = target.partition(b"?")
    fields = dict(events.headers)
    return VisitRequest(
        path,
        query,
        fields.get(b"user-agent", b"")[:MAX_USER_AGENT_BYTES],
        fields.get(b"referer", b"")[:MAX_REFERRER_BYTES],
        fields.get(b"accept-language", b"")[:MAX_LANGUAGE_BYTES],
        head_only,
        version == "1.1" and events.keep_alive,
        # As the fast parser looks for it: every spelling of every name would cost each request more.
        b"urpose:" in head and _is_prefetch(events.headers),
        b", ".join(value for name, value in events.headers if name == b"x-forwarded-for"),
        _hosts.get(host) or _host(host) or b"",
        _visitor_cookie(head) if b"wp_v=" in head else b"",
    )


def _refusal_status(head: bytes, method: bytes, version: str, events: _Events) -> int:
    """Return the status to refuse a head with; 0 when it is acceptable so far."""
    if version not in ("1.0", "1.1"):
        return 505
    hosts = [value for name, value in events.headers if name == b"host"]
    if len(hosts) > 1 or (version == "1.1" and not hosts):
        return 400
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        return 400
    if b"\r\n " in head or b"\r\n\t" in head:  # obsolete line folding, RFC 9112 5.2
        return 400
    if method not in (b"GET", b"HEAD"):
        return 405
    if not events.complete or _announces_body(events.headers):
        return 413
    return 0


def _announces_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in headers
    )


def _is_prefetch(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        b"purpose" in name and is_prefetch(name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
    )


def _origin_form(url: bytes) -> tuple[bytes, bytes] | None:
    """Return (path with query, the authority of an absolute URL or empty); None for another form."""
    if _TARGET.fullmatch(url) is None:
        return None
    if url.startswith(b"/"):
        return url, b""
    absolute = _ABSOLUTE.match(url)
    if absolute is None:
        return None
    rest = url[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest, absolute[1]

"""Request heads of visitors, parsed from a connection's bytes by llhttp. No socket, no await.

The visitor server takes GET and HEAD without a body, and a POST with a form of at most 4 KiB, whose length is
stated once; nothing else, so nothing is left to smuggle: a request that has, or might have, another body is
refused and its connection closed. A form is the connection's last request; bytes behind it, or behind a refused
request, are never read as a request.

There are two ways to read a head. The fast one is for the usual request of a browser: one whole
`GET /… HTTP/1.1` head in one read. llhttp checks it without header callbacks (1.4 µs) and one regular
expression finds the fields that are needed (2 µs; a name's first letter in both cases is told apart without
trying the name, which makes ten names as fast as five; searching a lower-cased copy for each name takes 3).
The strict one (api/visits/strict_head.py), with all of llhttp's callbacks,
is for the rest: HEAD, pipelined or cut in pieces, HTTP/1.0, raw UTF-8, anything unusual.

A request has one reading. Whatever bytes come, in whatever pieces, both ways agree on:

- where a head ends: at its first blank line. The fast way takes bytes only if this line ends them, so it takes
  no field out of a body, a trailer or the next head;
- what is served: GET or HEAD without a body, or POST with a form, HTTP/1.0 or 1.1, one well-formed Host, no
  folded line, a target that is a path or an http(s) URL. After anything else, no byte of the connection is
  read as a request;
- path and query: the target before and after its first `?`, bytes above 127 percent-encoded;
- User-Agent, Referer and Accept-Language: the last field of the name, without blanks around it, cut to size;
- what the last Sec-CH-UA, Sec-CH-UA-Mobile and Sec-CH-UA-Platform say beyond the user agent stands behind it
  (engine/clicks/agents/client_hints.py); the two are read only beside a Sec-CH-UA that is not empty;
- X-Forwarded-For, behind trusted proxies only: all fields, joined by commas in their order;
- the host: that of an absolute target, otherwise the Host field's, in lower case and without port;
- for a path that may be a page's (`/`, `/@…`): the content coding that all Accept-Encoding fields ask for, and
  the tags of all If-None-Match fields; for one below `/a/` these tags, and the value of the only Range field,
  unless there is an If-Range (api/visits/pages/negotiation.py);
- the cookie `wp_v`: the value, if all Cookie fields together have exactly one;
- whether it is a prefetch, by Sec-Purpose, Purpose, X-Purpose and X-Moz, and whether the connection is kept.

The fast way may leave any head to the strict one, and leaves every head that is not served. llhttp with all
callbacks, fed a whole connection without our cuts, is the reference: tests/api/visits/test_head_readings.py
compares both ways with it.
"""

import re
from typing import Final

import httptools

from api.visits.head_memory import HeadMemory
from api.visits.pages.negotiation import MARKS, negotiate_by_head
from api.visits.strict_head import (
    KNOWN_HOSTS,
    RefusedHead,
    parse_host,
    read_head,
    visitor_cookie,
)
from engine.clicks.agents.client_hints import HintedAgents
from engine.clicks.click import MAX_LANGUAGE_BYTES, MAX_REFERRER_BYTES, MAX_USER_AGENT_BYTES
from engine.visits.request import VisitRequest

# RFC 9110 4.1 asks for 8000 octets at least. Part of it may become part of a Location, so it is not set.
MAX_REQUEST_LINE_BYTES: Final = 8192

_NAMES: Final = (
    rb"[uU](?i:ser-agent)|[rR](?i:eferer)|[aA](?i:ccept-language)|[hH](?i:ost)|[cC](?i:ookie)|"
    rb"[sS](?i:ec-(?:ch-ua|purpose))|[pP](?i:urpose)|[xX](?i:-purpose|-moz%b)"
)
_FIELD: Final = rb"\r\n(%b):[ \t]*([^\r]*)"
_FIELDS: Final = re.compile(_FIELD % (_NAMES % b"")).findall
_FIELDS_BEHIND_PROXIES: Final = re.compile(_FIELD % (_NAMES % b"|-forwarded-for")).findall
_PLATFORM_HINTS: Final = re.compile(rb"(?i)\r\nsec-ch-ua-(mobile|platform):[ \t]*([^\r]*)").findall
_METHOD: Final = re.compile(rb"[A-Za-z!#$%&'*+.^_`|~-]{1,32}\Z|[A-Za-z!#$%&'*+.^_`|~-]{1,32} ")
_BARE_BLANK_LINE: Final = re.compile(rb"\n\r?\n")


class _Completion:
    """llhttp's only callback of the fast way: it counts messages.

    Whether the connection may be kept is read in the callback: afterwards llhttp has forgotten.
    """

    __slots__ = ("ended", "keep_alive", "parser")

    def __init__(self) -> None:
        self.ended = 0
        self.keep_alive = False
        self.parser: httptools.HttpRequestParser | None = None

    def on_message_complete(self) -> None:
        self.ended += 1
        self.keep_alive = self.parser.should_keep_alive()  # type: ignore[union-attr]


_hinted_agents: Final = HintedAgents()
# One for all parsers: parsing never waits, and a parser with its own would be a reference cycle.
_completion: Final = _Completion()


class HeadParser:
    """Parses one connection's bytes.

    parse_fast() returns the request of bytes that are one usual head. Other bytes are kept by feed(), and
    take() returns the heads that they complete, one at a time. After a RefusedHead, or a request that does not
    keep the connection, feed it no more. Feed it while peek() returns None only: so it never keeps more than a
    head's bound and what one call of feed() adds.
    """

    __slots__ = (
        "_behind_proxies", "_examined", "_fields", "_head", "_head_bytes", "_max_bytes", "_memory", "_parser",
        "_rest", "_searched",
    )  # fmt: skip

    def __init__(self, memory: HeadMemory, *, behind_proxies: bool = False) -> None:
        self._memory = memory
        self._max_bytes = memory.max_head_bytes
        self._behind_proxies = behind_proxies
        self._fields = _FIELDS_BEHIND_PROXIES if behind_proxies else _FIELDS
        self._parser = httptools.HttpRequestParser(_completion)
        self._rest = b""
        # The first head of the rest, once that has been examined, and where it ends. While it is unfinished,
        # the rest is searched from here on only, or each byte that drips would cost a look at all before it.
        self._searched = 0
        self._examined = False
        self._head: VisitRequest | RefusedHead | None = None
        self._head_bytes = 0

    @property
    def kept_bytes(self) -> int:
        return len(self._rest)

    @property
    def unfinished(self) -> bool:
        """Whether a head has begun and not ended."""
        return bool(self._rest) and self.peek() is None

    # long: the hot path of every request in one piece; each call that it were cut into costs 50 ns.
    def parse_fast(self, data: bytes) -> VisitRequest | None:  # noqa: C901
        """Return the request if `data` is exactly one usual head; None: pass the bytes to feed()."""
        end = data.find(b" ", 4, MAX_REQUEST_LINE_BYTES - 8)
        if (
            data[end : end + 11] != b" HTTP/1.1\r\n"
            or data[:5] != b"GET /"
            # The first blank line ends the bytes: what follows a head is no field of it.
            or data.find(b"\r\n\r\n") != len(data) - 4
            or len(data) > self._max_bytes
            or self._rest
        ):
            return None
        host = agent = referrer = language = forwarded = brands = b""
        hosts = forwards = 0
        has_cookie = False
        for field, value in self._fields(data):
            length = len(field)  # tells most names apart, in any case
            if length == 10:
                agent = value
            elif length == 4:
                host = value
                hosts += 1
            elif length == 15:
                if field[0] in b"aA":
                    language = value
                else:
                    value = value.rstrip(b" \t")
                    forwarded = b"%b, %b" % (forwarded, value) if forwards else value
                    forwards += 1
            elif length == 7 and field[0] in b"rR":
                referrer = value
            elif length == 9 and field[0] in b"sS":
                brands = value
            elif length == 6:
                has_cookie = has_cookie or value.find(b"wp_v=") >= 0
            else:
                return None  # perhaps a prefetch
        if hosts != 1:
            return None
        name = KNOWN_HOSTS.get(host)
        if name is None:
            name = parse_host(host)
            if name is None:
                return None
        completion = _completion
        completion.ended = 0
        completion.parser = parser = self._parser
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser = httptools.HttpRequestParser(completion)
            return None
        if completion.ended != 1:
            self._parser = httptools.HttpRequestParser(completion)
            return None
        agent = agent.rstrip(b" \t")[:MAX_USER_AGENT_BYTES]
        if brands:
            agent = _hinted_agents[agent, brands] or _with_platform(data, agent, brands)
        path = data[4:end]
        query = b""
        if path.find(b"#") >= 0:
            return None
        mark = path.find(b"?")
        if mark >= 0:
            path, query = path[:mark], path[mark + 1 :]
        request = VisitRequest(
            path,
            query,
            agent,
            referrer.rstrip(b" \t")[:MAX_REFERRER_BYTES],
            language.rstrip(b" \t")[:MAX_LANGUAGE_BYTES],
            False,
            completion.keep_alive,
            False,
            forwarded,
            name,
            visitor_cookie(data) if has_cookie else b"",
        )
        return negotiate_by_head(request, data) if data[5] in MARKS else request

    def feed(self, data: bytes) -> None:
        """Keep bytes that parse_fast() did not take."""
        if not self._rest:
            self._keep(data)
            return
        self._memory.kept_bytes += len(data)
        self._rest += data
        if self._head is None:
            self._examined = False

    def peek(self) -> VisitRequest | RefusedHead | None:
        """Return the first head of the bytes kept; None while it is unfinished."""
        if not self._examined:
            self._examined = True
            self._head = self._first_head() if self._rest else None
        return self._head

    def take(self) -> VisitRequest | RefusedHead | None:
        """Return the first head of the bytes kept, and keep what is behind it; None while it is unfinished."""
        head = self.peek()
        if head is not None:
            is_last = isinstance(head, RefusedHead) or not head.keep_alive
            self._keep(b"" if is_last else self._rest[self._head_bytes :])
        return head

    def clear(self) -> None:
        """Keep nothing."""
        self._keep(b"")

    def _keep(self, rest: bytes) -> None:
        # RFC 9112 2.2: ignore empty lines before a request line. llhttp ignores bare ends of lines there, too.
        rest = rest.lstrip(b"\r\n")
        self._memory.kept_bytes += len(rest) - len(self._rest)
        self._rest = rest
        self._searched = 0
        self._examined = False
        self._head = None

    def _with_form(self, head: VisitRequest) -> VisitRequest | None:
        """Return a POST once its form has come. It is the connection's last request."""
        end = self._head_bytes + head.form_bytes
        if len(self._rest) < end:
            return None
        head.form = self._rest[self._head_bytes : end]
        return head

    def _first_head(self) -> VisitRequest | RefusedHead | None:
        rest, start = self._rest, self._searched
        end = rest.find(b"\r\n\r\n", start)
        size = self._head_bytes = end + 4 if end >= 0 else len(rest)
        line_end = rest.find(b"\r\n", 0, MAX_REQUEST_LINE_BYTES + 2)
        if line_end < 0 and size >= MAX_REQUEST_LINE_BYTES + 2:
            return RefusedHead(414)
        if size > self._max_bytes:
            return RefusedHead(431)
        if end >= 0:
            head = read_head(rest[:size], behind_proxies=self._behind_proxies)
            return (
                head
                if isinstance(head, RefusedHead) or not head.form_bytes
                else self._with_form(head)
            )
        if _METHOD.match(rest) is None or _BARE_BLANK_LINE.search(rest, start):
            # Not HTTP, or line ends that no head can end with: more bytes cannot repair it.
            return RefusedHead(400)
        self._searched = max(len(rest) - 3, 0)
        return None


def _with_platform(head: bytes, user_agent: bytes, brands: bytes) -> bytes:
    """Return the user agent with all its hints; for one that may hide its platform."""
    if head.find(b"Android") < 0 and head.find(b"Chrome OS") < 0:
        return _hinted_agents[user_agent, brands, b"", b""]
    hints = {name.lower(): value.rstrip(b" \t") for name, value in _PLATFORM_HINTS(head)}
    return _hinted_agents[
        user_agent, brands, hints.get(b"mobile", b""), hints.get(b"platform", b"")
    ]

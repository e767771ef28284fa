"""Heads of visitors' requests: both parsers read alike, and nothing with a body gets through."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.visits.head import MAX_REQUEST_LINE_BYTES
from api.visits.head_memory import DEFAULT_HEAD_BYTES
from api.visits.strict_head import RefusedHead
from engine.visits.request import VisitRequest
from tests.kit.heads import Heads, cut, head_parser, read_heads

PLAIN = b"GET /spring?a=b HTTP/1.1\r\nHost: x:8080\r\nUser-Agent: ua\r\nReferer: https://r.example/\r\n\r\n"


def feed(data: bytes, cuts: list[int]) -> Heads:
    """Return the heads of a connection when `data` comes in pieces, cut at these places."""
    return read_heads(cut(data, cuts))


def test_a_plain_request_is_read() -> None:
    assert head_parser().parse_fast(PLAIN) == VisitRequest(
        b"/spring", b"a=b", b"ua", b"https://r.example/", b"", False, True, host=b"x"
    )


@pytest.mark.parametrize("fields", [b"", b"X-Forwarded-For: 8.8.8.8\r\nUser-Agent: forged\r\n"])
@pytest.mark.parametrize(
    ("announced", "body"),
    [
        (b"Content-Length: %d", b"\r\n%b\r\n"),
        (b"Content-Length: %d", b"%b\r\n"),
        (b"Content-Length: 0", b"\r\n%b\r\n"),
        (b"Transfer-Encoding: chunked", b"6\r\n%b\r\n\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"0\r\n%b\r\n"),
    ],
)
def test_the_first_blank_line_ends_a_plain_head(
    announced: bytes, body: bytes, fields: bytes
) -> None:
    body %= fields
    if b"%d" in announced:
        announced %= len(body)
    for behind_proxies in (False, True):
        parser = head_parser(behind_proxies=behind_proxies)
        assert parser.parse_fast(PLAIN[:-2] + announced + b"\r\n\r\n" + body) is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"Sec-Purpose: prefetch;prerender", True),
        (b"purpose: Prefetch", True),
        (b"X-Purpose: preview", True),
        (b"Purpose: navigate", False),
        (b"PURPOSE: prefetch", True),
        (b"sec-purposE: prerender", True),
        (b"X-Moz: prefetch", True),
        (b"x-MOZ: Preview", True),
        (b"Repurpose: prefetch", False),
        (b"X-Mozilla: prefetch", False),
    ],
)
def test_a_prefetch_is_recognised(field: bytes, expected: bool) -> None:
    (request,) = feed(PLAIN[:-2] + field + b"\r\n\r\n", [])
    assert isinstance(request, VisitRequest)
    assert request.prefetch == expected


BRAVE = b'Sec-CH-UA: "Not A";v="8", "Chromium";v="131", "Brave";v="131"'
ANDROID = b'sec-ch-ua-platform: "Android"'
MOBILE = b"SEC-CH-UA-MOBILE: ?1"


@pytest.mark.parametrize(
    ("agent", "fields", "expected"),
    [
        (b"ua", (BRAVE,), b"ua Sec-CH-UA (Brave)"),
        (b"ua", (BRAVE, ANDROID, MOBILE), b"ua Sec-CH-UA (Brave)"),
        (b"X11; Linux", (ANDROID, BRAVE, MOBILE), b"X11; Linux Sec-CH-UA (Brave; Android; Mobile)"),
        (b"X11; Linux", (ANDROID, MOBILE), b"X11; Linux"),  # no browser sends it without its brands
        (b"Brave/1", (BRAVE,), b"Brave/1"),
        (b"ua", (BRAVE, b"Sec-CH-UA:"), b"ua"),  # the last field of the name
        (b"ua", (BRAVE.lower(),), b"ua"),
        (b"a" * 300, (BRAVE,), b"a" * 237 + b" Sec-CH-UA (Brave)"),
    ],
)
def test_client_hints_stand_behind_the_user_agent(
    agent: bytes, fields: tuple[bytes, ...], expected: bytes
) -> None:
    head = b"GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n" % agent
    head += b"\r\n".join(fields) + b"\r\n\r\n"
    fast = head_parser().parse_fast(head)
    assert fast is not None
    assert fast.user_agent == expected
    assert read_heads([head], fast=False) == [fast]


HEADS = st.lists(
    st.sampled_from(
        [
            b"GET /x HTTP/1.1\r\nHost: a\r\nSec-Purpose: prefetch\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nPURPOSE: prefetch\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nX-Moz: prefetch\r\n\r\n",
            PLAIN,
            b"GET / HTTP/1.1\r\nhOsT: a\r\nACCEPT-language:  de \t\r\n\r\n",
            b"HEAD /x HTTP/1.1\r\nHost: a\r\nuser-agent: one\r\nUser-Agent: two\r\n\r\n",
            b"GET /x HTTP/1.0\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"GET http://other.example/y?q HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            b"\r\n",
        ]
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(HEADS, st.data())
def test_cuts_change_nothing(heads: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(heads)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6))
    expected = feed(whole, [])
    assert feed(whole, cuts) == expected
    assert feed(whole, list(range(1, len(whole)))) == expected


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # RFC 9112 3.2
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),  # RFC 9112 5.1
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400),  # RFC 9112 5.2
        (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"GET /" + b"a" * MAX_REQUEST_LINE_BYTES, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * DEFAULT_HEAD_BYTES, 431),
    ],
)
def test_refusals(head: bytes, status: int) -> None:
    results = feed(head + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", [len(head)])
    assert [result.status for result in results if isinstance(result, RefusedHead)] == [status]
    assert not any(isinstance(result, VisitRequest) for result in results)


@pytest.mark.parametrize(
    ("field", "keep_alive"),
    [
        (b"Connection: close", False),
        (b"connection:\t Close ", False),
        (b"Connection: keep-alive, close", False),
        (b"Connection: x\r\nConnection: close", False),
        (b"Connection: Upgrade, close\r\nUpgrade: h2c", False),
        (b"Connection: Upgrade\r\nUpgrade: h2c", True),
        (b"Connection: keep-alive", True),
        (b"X: close", True),
    ],
)
def test_both_parsers_know_whether_the_connection_is_kept(field: bytes, keep_alive: bool) -> None:
    head = b"GET /x HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n"
    (strict,) = read_heads([head], fast=False)
    assert isinstance(strict, VisitRequest)
    assert strict.keep_alive is keep_alive
    assert head_parser().parse_fast(head) in (strict, None)


@pytest.mark.parametrize("surplus", [0, 1])
@pytest.mark.parametrize("piece", [1, 1000, 4096, DEFAULT_HEAD_BYTES - 1, DEFAULT_HEAD_BYTES])
def test_a_bound_holds_in_whatever_pieces_a_head_comes(piece: int, surplus: int) -> None:
    line_bytes = MAX_REQUEST_LINE_BYTES - len(b"GET /? HTTP/1.1")
    line = b"GET /?%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"q" * (line_bytes + surplus))
    rest = DEFAULT_HEAD_BYTES - len(PLAIN) - len(b"Cookie: \r\n")
    head = PLAIN[:-2] + b"Cookie: %b\r\n\r\n" % (b"c" * (rest + surplus))
    assert len(head) == DEFAULT_HEAD_BYTES + surplus
    for data, status in ((line, 414), (head, 431)):
        (result,) = feed(data, list(range(0, len(data), piece)))
        assert isinstance(result, RefusedHead) is bool(surplus)
        assert not isinstance(result, RefusedHead) or result.status == status

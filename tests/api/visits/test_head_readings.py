"""One reading of each request: an edge's two ways against llhttp with all callbacks.

The reference is fed a whole connection, the parser the same bytes whole, cut, and past its fast way. All must
serve the same requests with the same fields, and what the reference refuses, the parser refuses.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.visits.client_resolver import ClientResolver
from api.visits.strict_head import RefusedHead
from engine.visits.client_address import client_address, packed_network
from engine.visits.request import VisitRequest
from tests.kit import head_streams, llhttp_reference
from tests.kit.heads import cut, head_parser, read_heads

SEED = 20_000
PROXY = "192.0.2.1"


def compare(data: bytes, *cuts: list[int], behind_proxies: bool = False) -> None:
    """Compare the readings of a connection's bytes: whole, strictly, and in pieces for each list of places."""
    expected = llhttp_reference.read(data, behind_proxies=behind_proxies)
    whole, strict = [data], False
    for pieces, fast in ((whole, True), (whole, strict), *((cut(data, c), True) for c in cuts)):
        heads = read_heads(pieces, behind_proxies=behind_proxies, fast=fast)
        served = [head for head in heads if isinstance(head, VisitRequest)]
        assert served == expected.requests, (data, pieces, fast)
        if expected.refuses:
            assert isinstance(heads[-1], RefusedHead), (data, pieces, fast)


def compare_streams(seed: int, count: int) -> int:
    """Compare this many made-up connections. Returns how many of them the fast way served whole."""
    random, fast = Random(seed), 0
    for number in range(count):
        data = head_streams.stream(random)
        cuts = [head_streams.places(random, data)]
        if number % 64 == 0:
            cuts.append(list(range(len(data))))
        compare(data, *cuts, behind_proxies=number % 3 != 0)
        fast += head_parser().parse_fast(data) is not None
    return fast


def test_20_000_connections_have_one_reading() -> None:
    fast = compare_streams(SEED, 20_000)
    assert fast > 2_000  # otherwise the test proves little of the fast way


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_a_million_connections_have_one_reading(part: int) -> None:
    assert compare_streams(part, 100_000) > 10_000


PLAIN = b"GET /a HTTP/1.1\r\nHost: a\r\n%b\r\n"
FORGED = b"X-Forwarded-For: 8.8.8.8\r\nUser-Agent: forged\r\nHost: forged\r\n"
NEXT = b"GET /b HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"


def twice(name: bytes, first: bytes, second: bytes) -> bytes:
    return PLAIN % b"%b: %b\r\n%b: %b\r\n" % (name, first, name.upper(), second)


def with_length(body: bytes) -> bytes:
    return PLAIN % (b"Content-Length: %d\r\n" % len(body)) + body


def form(length: bytes, rest: bytes, type_: bytes = b"application/x-www-form-urlencoded") -> bytes:
    head = PLAIN % b"Content-Type: %b\r\nContent-Length: %b\r\n" % (type_, length)
    return head.replace(b"GET", b"POST") + rest


def chunked(rest: bytes) -> bytes:
    return PLAIN % b"Transfer-Encoding: chunked\r\n" + rest


CORPUS = {
    "body of fields": with_length(b"\r\n" + FORGED + b"\r\n"),
    "body of fields alone": with_length(FORGED + b"\r\n"),
    "body that is a blank line": with_length(b"\r\n\r\n"),
    "body that ends in blank lines": with_length(b"a" + b"\r\n" * 4),
    "body that is a request": with_length(NEXT) + NEXT,
    "body behind another length": PLAIN % b"Content-Length: 3\r\n" + b"\r\n" + FORGED + b"\r\n",
    "body that is not announced": PLAIN % b"" + FORGED + b"\r\n",
    "length 0 and a body": PLAIN % b"Content-Length: 0\r\n" + b"\r\n" + FORGED + b"\r\n",
    "chunk of fields": chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(FORGED), FORGED)),
    "chunk of blank lines": chunked(b"4\r\n\r\n\r\n\r\n0\r\n\r\n"),
    "chunk extension": chunked(b"0;X-Forwarded-For: 8.8.8.8\r\n\r\n"),
    "trailers": chunked(b"0\r\n" + FORGED + b"\r\n"),
    "trailers and a request": chunked(b"0\r\n" + FORGED + b"\r\n") + NEXT,
    "broken chunk": chunked(b"+5\r\nhello\r\n0\r\n\r\n"),
    "length and chunks": chunked(b"0\r\n\r\n").replace(b"Host", b"Content-Length: 3\r\nHost"),
    "form": form(b"10", b"password=x"),
    "form and a request": form(b"10", b"password=x" + NEXT),
    "form that is a request": form(b"%d" % len(NEXT), NEXT + NEXT),
    "form of blank lines": form(b"8", b"\r\n" * 4 + FORGED),
    "form that is unfinished": form(b"10", b"pass"),
    "form that is too long": form(b"4097", b"a" * 4097),
    "form of the longest": form(b"4096", b"a" * 4096 + NEXT),
    "form without bytes": form(b"0", b"" + NEXT),
    "form of another type": form(b"1", b"a", b"text/plain"),
    "form with parameters": form(b"1", b"a", b"Application/X-WWW-Form-urlencoded ; charset=utf-8"),
    "form in parts": form(b"1", b"a", b"multipart/form-data; boundary=b1"),
    "form and chunks": form(b"1", b"a").replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
    "form with two lengths": form(b"1\r\nContent-Length: 1", b"a"),
    "form with a signed length": form(b"+1", b"a"),
    "form and an upgrade": form(b"1", b"a").replace(b"Host", b"Connection: upgrade\r\nUpgrade: x\r\nHost"),
    "form of 1.0": form(b"1", b"a").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "pipelined before a form": PLAIN % b"" + form(b"1", b"a") + NEXT,
    "pipelined": PLAIN % b"" * 3 + NEXT,
    "pipelined with empty lines": b"\r\n\r\n" + PLAIN % b"" + b"\r\n" + NEXT + b"\r\n\r\n",
    "pipelined behind a close": PLAIN % b"Connection: close\r\n" + NEXT,
    "pipelined behind 1.0": (PLAIN % b"").replace(b"1.1", b"1.0") + NEXT,
    "pipelined behind an upgrade": PLAIN % b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + NEXT,
    "upgrade with a body": with_length(NEXT).replace(b"Host", b"Upgrade: x\r\nConnection: Upgrade\r\nHost"),
    "request in a field": b"GET /x HTTP/1.1\r\nX: " + PLAIN % b"",
    "agent twice": twice(b"User-Agent", b"a", b"b"),
    "referrer twice": twice(b"Referer", b"https://a/", b""),
    "language twice": twice(b"Accept-Language", b"de", b"en"),
    "forwarded twice": twice(b"X-Forwarded-For", b"8.8.8.8", b"9.9.9.9, 1.1.1.1"),
    "forwarded empty, then not": twice(b"X-Forwarded-For", b"", b"9.9.9.9"),
    "forwarded with blanks": twice(b"X-Forwarded-For", b"8.8.8.8 \t", b"\t9.9.9.9 "),
    "cookie twice": twice(b"Cookie", b"wp_v=abcdefghijklmnopqrstuv", b"wp_v=abcdefghijklmnopqrstuw"),
    "cookies": twice(b"Cookie", b"a=b; wp_v=abcdefghijklmnopqrstuv", b"c"),
    "length twice": twice(b"Content-Length", b"0", b"0"),
    "host twice": twice(b"Host", b"a", b"a"),
    "folded agent": PLAIN % b"User-Agent: a\r\n b\r\n",
    "folded empty agent": PLAIN % b"User-Agent:\r\n b\r\n",
    "bare line feeds": PLAIN % b"" + b"GET /b HTTP/1.1\nHost: b\n\n" + NEXT,
    "bare line feed in a head": PLAIN % b"X: a\nContent-Length: 6\n\nab\r\n" + b"\r\n",
    "bare carriage return": PLAIN % b"X: a\rUser-Agent: forged\r\n",
    "user in an authority": (PLAIN % b"").replace(b"/a", b"http://b@c/a"),
    "authority that is no host": (PLAIN % b"").replace(b"/a", b"http://b:c:d/a"),
    "raw UTF-8": (PLAIN % b"").replace(b"/a", "/приветü?é=ü".encode()),
    "raw Latin-1": (PLAIN % b"").replace(b"/a", b"/\xe9?\xff"),
    "raw bytes in an authority": (PLAIN % b"").replace(b"/a", b"http://\xc3\xa9/a"),
    "raw blank of Unicode": (PLAIN % b"").replace(b"/a", "/a\u00a0\u2003b\u0085c".encode()),
}  # fmt: skip


@pytest.mark.parametrize("hops", [0, 1, 2])
@pytest.mark.parametrize("data", CORPUS.values(), ids=CORPUS.keys())
def test_a_connection_of_the_corpus_has_one_reading(data: bytes, hops: int) -> None:
    halves = [[place] for place in range(1, len(data))]
    compare(data, list(range(len(data))), *halves, behind_proxies=hops > 0)
    clients = ClientResolver(lambda _: b"", hops)
    for head in read_heads([data], behind_proxies=hops > 0):
        if isinstance(head, VisitRequest):
            address = client_address(PROXY, head.forwarded_for.decode("latin-1"), hops)
            client = clients.of_forwarded(PROXY, head.forwarded_for)
            assert client.network == packed_network(address)
            assert (address == PROXY) >= (hops == 0)
            assert b"forged" not in head.user_agent + head.host


PIECES = st.one_of(
    st.integers(0, 2**32).map(lambda seed: head_streams.stream(Random(seed))),
    st.sampled_from([*CORPUS.values(), FORGED, NEXT, b"\r\n", b"\r\n\r\n", b"GET /a HTTP/1.1\r\n"]),
    st.binary(max_size=12),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4), st.data(), st.booleans())
def test_whatever_comes_has_one_reading(
    pieces: list[bytes], data: st.DataObject, behind_proxies: bool
) -> None:
    whole = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=4))
    compare(whole, cuts, behind_proxies=behind_proxies)

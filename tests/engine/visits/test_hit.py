"""Hits: what a pixel's request says of the page that it is on."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.click import MAX_REFERRER_BYTES
from engine.clicks.record_items import MAX_HOST_BYTES
from engine.visits.hit import hit_of
from engine.visits.page_variant import parse_ref, ref_text
from engine.visits.request import VisitRequest


def pixel(query: bytes, referrer: bytes = b"") -> VisitRequest:
    return VisitRequest(
        b"/@a/pixel.gif", query, b"ua", referrer, b"de", False, True, host=b"go.example"
    )


PAGE = b"https%3A%2F%2FFront.Example%3A8443%2Fbio%3Futm_source%3Dig%26a%3Db%23x"


@pytest.mark.parametrize(
    ("query", "header", "host", "page_query", "referrer", "is_inside"),
    [
        (b"u=" + PAGE + b"&r=https%3A%2F%2Fl.instagram.com%2F", b"https://front.example/",
         b"front.example", b"utm_source=ig&a=b", b"https://l.instagram.com/", False),
        (b"u=" + PAGE + b"&r=http://front.example/other", b"", b"front.example", b"utm_source=ig&a=b", b"",
         True),
        # An image without a script: its Referer is the page.
        (b"", b"https://front.example/bio?utm_source=ig", b"front.example", b"utm_source=ig", b"", False),
        (b"", b"", b"", b"", b"", False),
        (b"u=javascript:alert(1)&r=%0d%0aX%20y", b"https://front.example/", b"", b"", b"%0D%0AX%20y", False),
        (b"u=https://a.example&u=https://b.example", b"", b"a.example", b"", b"", False),
    ],
)  # fmt: skip
def test_the_page_of_a_hit(
    query: bytes, header: bytes, host: bytes, page_query: bytes, referrer: bytes, is_inside: bool
) -> None:
    hit = hit_of(pixel(query, header))
    assert (hit.request.host, hit.request.query) == (host, page_query)
    assert (hit.request.referrer, hit.is_inside) == (referrer, is_inside)
    assert (hit.request.user_agent, hit.request.language) == (b"ua", b"de")


@pytest.mark.parametrize(
    ("query", "refs"),
    [
        (b"x=81-1-0", {(81, 1, 0)}),
        (b"x=81-1-0%2C82-12-9,,81-1-0", {(81, 1, 0), (82, 12, 9)}),
        (b"x=81-1-0&x=82-1-0", {(81, 1, 0)}),
        (b"x=%s" % b",".join(b"%d-1-0" % n for n in range(1, 12)), {(n, 1, 0) for n in range(1, 9)}),
        (b"x=81-1,81-1-10,081-1-0,81-0-0,-1-1-1,81-1-0-aaaa,b,%FF,81-1-0%0A", set()),
        (b"x=", set()),
        (b"x=81-1-0&event=signup", set()),
        (b"", set()),
    ],
)  # fmt: skip
def test_the_variants_that_a_page_names(query: bytes, refs: set[tuple[int, int, int]]) -> None:
    hit = hit_of(pixel(query))
    assert hit.refs == refs
    assert hit.takes_part == bool(refs)
    assert all(parse_ref(ref_text(ref)) == ref for ref in hit.refs)


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_nothing_unprintable_and_nothing_too_long_comes_of_a_hit(one: bytes, two: bytes) -> None:
    hit = hit_of(pixel(b"u=https://" + one + b"&r=" + two)).request
    assert re.fullmatch(rb"[\x21-\x7e]*", hit.host + hit.query + hit.referrer)
    assert len(hit.host) <= MAX_HOST_BYTES
    assert len(hit.referrer) <= MAX_REFERRER_BYTES

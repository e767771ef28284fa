"""Forms that report links: what is read of any bytes."""

from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from engine.links.abuse.report import CATEGORIES, MAX_DETAILS_CHARS, parse_form


def test_a_form_is_read_without_what_no_reader_sees() -> None:
    body = urlencode({"category": "spam", "details": "a\x00b\r\nc‮", "token": "t"}).encode()
    form = parse_form(body)
    assert form is not None
    assert (form.category, form.details, form.token) == ("spam", "a b\nc", "t")


def test_incomplete_and_doubled_forms_are_none() -> None:
    for body in (
        b"", b"category=spam", b"token=t", b"category=none&token=t", b"category=spam&category=spam&token=t",
        b"category=spam&token=t&token=t", b"&" * 4000, b"\xff=\xfe",
    ):  # fmt: skip
        assert parse_form(body) is None, body


@given(st.binary(max_size=300))
def test_any_bytes_are_read_within_bounds(body: bytes) -> None:
    form = parse_form(b"category=other&token=t&details=" + body)
    assert form is None or len(form.details) <= MAX_DETAILS_CHARS
    assert form is None or (form.category in CATEGORIES and "\0" not in form.details)

"""Retry-After headers, well-formed and malformed."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.retry import parse_retry_after

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None), ("120", 120), (" 120 ", 120), ("1.5", 1.5), ("-1", None), ("1e3", None), ("Ⅻ", None),
        ("9" * 400, None), ("nan", None), ("Fri, 99 Foo 2026", None), ("\x00", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0),
        ("Friday, 01-May-26 12:01:30 GMT", 90), ("Fri May  1 12:01:30 2026", 90),
    ],
)  # fmt: skip
def test_a_retry_after_header_gives_seconds_or_none(header: str, expected: float | None) -> None:
    assert parse_retry_after(header, NOW) == expected


@given(st.text())
def test_no_header_breaks_the_parser(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or seconds >= 0

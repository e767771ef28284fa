"""Responses to visitors, as bytes: what browsers may keep of them, and for how long."""

import pytest

from api.visits.responses import REFUSALS, page_tail, redirect_tail, visitor_cookie


@pytest.mark.parametrize(
    ("status", "cache"),
    [(301, b"private, max-age=90"), (308, b"private, max-age=90"),
     (302, b"private, no-store"), (307, b"private, no-store")],
)  # fmt: skip
def test_browsers_keep_a_permanent_redirect_for_90_seconds_and_no_other(
    status: int, cache: bytes
) -> None:
    assert b"\r\nCache-Control: " + cache + b"\r\n" in redirect_tail(status, b"https://a.example/")


@pytest.mark.parametrize("location", [b"", b"/a b", b"/a\r\nX: y", b"/\x00", b"/\xff"])
def test_a_location_that_would_break_the_header_is_refused(location: bytes) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        redirect_tail(302, location)


def test_no_page_and_no_refusal_is_kept() -> None:
    for response in (page_tail(b""), *REFUSALS.values()):
        assert b"no-store\r\n" in response
    for status in (429, 503):
        assert b"\r\nRetry-After: 1\r\n" in REFUSALS[status]


def test_the_cookie_of_an_experiment_lasts_180_days_and_no_script_reads_it() -> None:
    plain, secure = (visitor_cookie(b"x", secure=secure) for secure in (False, True))
    assert plain == b"Set-Cookie: wp_v=x; Path=/; Max-Age=15552000; SameSite=Lax; HttpOnly\r\n"
    assert secure == plain.replace(b"HttpOnly", b"HttpOnly; Secure")

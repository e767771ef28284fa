"""Triggers and campaigns of queries; nothing but `wp_t` is taken out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.record_items import Trigger
from engine.visits.query_parameters import campaign, take_trigger

PART = st.sampled_from(
    [b"a=b", b"", b"wp_t=page", b"wp_t=qr", b"wp_t=", b"wp_t", b"xwp_t=qr", b"utm_source=x%20y", b"utm_term=",
     b"utm_id=1", b"UTM_TERM=x", b"utm_source=2", b"%77p_t=qr"]
)  # fmt: skip
UTM = (b"utm_source=", b"utm_medium=", b"utm_campaign=", b"utm_term=", b"utm_content=")
QUERIES = st.lists(PART, max_size=8).map(b"&".join)


@given(QUERIES)
def test_only_the_trigger_is_taken_out(query: bytes) -> None:
    trigger, rest = take_trigger(query)
    parts = query.split(b"&")
    named = [part for part in parts if part.startswith(b"wp_t=")]
    assert rest == (b"&".join(p for p in parts if not p.startswith(b"wp_t=")) if named else query)
    expected = {b"wp_t=page": Trigger.PAGE, b"wp_t=qr": Trigger.QR}
    assert trigger == (expected.get(named[0], Trigger.LINK) if named else Trigger.LINK)


@given(QUERIES | st.binary(max_size=400), st.integers(-5, 300))
def test_a_campaign_fits_its_bound(query: bytes, max_bytes: int) -> None:
    cut = campaign(query, max_bytes)
    assert len(cut) <= max(0, max_bytes)
    whole = b"&".join(part for part in query.split(b"&") if part.lower().startswith(UTM))
    assert whole.startswith(cut)
    if len(whole) <= max_bytes:
        assert cut == whole


@pytest.mark.parametrize("max_bytes", range(9, 20))
def test_no_escape_is_cut_in_two(max_bytes: int) -> None:
    cut = campaign(b"utm_term=a%20b%C3%A9", max_bytes)
    assert b"%" not in cut[-2:]
    assert b"utm_term=a%20b%C3%A9".startswith(cut)
    assert len(cut) >= max_bytes - 2

"""Packing of the clicks of a fold: one click gives the bytes that many would."""

from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.click import VisitorClass
from engine.clicks.day_rows import ClickHead, DayRows
from engine.clicks.record_items import (
    EXPOSURES,
    HOST,
    PLACE,
    TRIGGER,
    UTM,
    VariantRef,
    item,
    pack_variant_refs,
)
from engine.clicks.record_layout import NO_VISITOR
from engine.stats.dimension_counts import KINDS
from engine.stats.packed.click_packer import ValueTexts, pack_day, pack_many

TEXTS = ValueTexts()
_items = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from([b"", item(TRIGGER, b"\1"), item(TRIGGER, b"\2")]),
    st.sampled_from([b"", item(PLACE, b"EU\x1fDE\x1fBE\x1fBerlin"), item(HOST, b"a.example")]),
    st.sampled_from([b"", item(EXPOSURES, pack_variant_refs([VariantRef(7, 1, 2)]))]),
    st.sampled_from([b"", item(UTM, b"utm_source=ig&utm_campaign=x")]),
)
_agents = st.sampled_from(
    [b"", b"Mozilla/5.0 (X11; Linux) Firefox/130.0", b"Instagram 300.0", b"\x1e\xff"]
)


@given(
    head=st.builds(
        ClickHead,
        st.integers(0, 95),
        st.integers(0, 2**63 - 1),
        st.integers(0, 2),
        st.sampled_from(list(KINDS)).map(VisitorClass),
    ),
    agent=_agents,
    referrer=st.sampled_from([b"", b"https://t.co/x", b"android-app://com.x", b"nonsense"]),
    language=st.sampled_from([b"", b"de-DE,de;q=0.9", b"*"]),
    visitor_id=st.sampled_from([b"", NO_VISITOR, b"12345678"]),
    items=_items,
)
def test_one_click_is_packed_as_many_are(
    head: ClickHead, agent: bytes, referrer: bytes, language: bytes, visitor_id: bytes, items: bytes
) -> None:
    day = DayRows()
    number = day.add_head(head)
    day.rows.append((number, agent, referrer, language, visitor_id, items))
    assert pack_day(day, TEXTS) == pack_many(day, TEXTS)

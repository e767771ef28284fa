"""Invariant: the compiled packing gives the bytes that Python's does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.click import VisitorClass
from engine.clicks.day_rows import ClickHead, DayRows
from engine.clicks.own_event import event_items
from engine.clicks.record_items import EXPOSURES, PLACE, TRIGGER, UTM, item
from engine.clicks.record_layout import NO_VISITOR
from engine.stats.dimension_counts import KINDS
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.packed_clicks import MAX_TEXTS

compiled = pytest.importorskip("engine.stats.packed.compiled.packer")
TEXTS = ValueTexts()
HEADS = st.builds(
    ClickHead,
    st.integers(0, 3) | st.integers(0, 95),
    st.integers(0, 3) | st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 3),
    st.sampled_from(list(KINDS)).map(VisitorClass),
)
ROWS = st.tuples(
    st.integers(0, 9),
    st.sampled_from([b"", b"Mozilla/5.0 (X11; Linux) Firefox/130.0", b"Instagram 300.0", b"\x1e\xff"]),
    st.sampled_from([b"", b"https://t.co/x", b"https://t.co/y", b"android-app://com.x", b"nonsense"]),
    st.sampled_from([b"", b"de-DE,de;q=0.9", b"de", b"*"]),
    st.sampled_from([b"", NO_VISITOR, bytes(8)]) | st.binary(min_size=8, max_size=8),
    st.sampled_from(
        [
            b"", item(TRIGGER, b"\1"), item(TRIGGER, b"\2"), item(PLACE, b"EU\x1fDE\x1fBE\x1fBerlin"),
            item(UTM, b"utm_source=ig&utm_campaign=x"), item(EXPOSURES, bytes(range(22))),
            event_items(b"signup\x1fplan=pro"),
        ]
    ),
)  # fmt: skip


@given(st.lists(HEADS, min_size=1, max_size=10), st.lists(ROWS, min_size=1, max_size=40))
def test_equals_python(
    heads: list[ClickHead], rows: list[tuple[int, bytes, bytes, bytes, bytes, bytes]]
) -> None:
    day = DayRows()
    for head in heads:
        day.add_head(head)
    day.rows = [(row[0] % len(heads), row[1], row[2], row[3], row[4], row[5]) for row in rows]
    assert compiled.pack_day(day, TEXTS) == pack_day(day, TEXTS)


@pytest.mark.parametrize("texts", [255, 256, 257, MAX_TEXTS + 2])
def test_equals_python_for_as_many_texts_as_a_width_of_numbers_has(texts: int) -> None:
    day = DayRows()
    head = day.add_head(ClickHead(7, 5, 0, VisitorClass.HUMAN))
    day.rows = [
        (head, b"", b"https://a%d.example/" % number, b"", b"%08d" % number, b"")
        for number in (*range(texts), 0, texts - 1)
    ]
    values = ValueTexts()
    assert compiled.pack_day(day, values) == pack_day(day, values)

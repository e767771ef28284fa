"""Invariant: the compiled fold makes of any bytes what Python makes of them, and refuses them in its words."""

import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks import copy_rows, new_texts
from engine.clicks.batch import Batch
from engine.clicks.click import LAST_US, Click
from engine.clicks.copy_rows import EncodedTexts, FoldRows
from engine.clicks.journal_format import FRAME_BYTES
from engine.clicks.new_texts import NewTexts
from engine.clicks.own_event import event_items
from engine.clicks.record_items import EXPOSURES, OUTCOMES, PLACE, UTM, item
from tests.kit.shipped_batches import NOW_US, batch

compiled = pytest.importorskip("engine.clicks.compiled.fold_rows")
JOURNAL = UUID(int=7)
I64 = st.integers(-(2**63), 2**63 - 1)
ITEMS = st.sampled_from(
    [
        b"", item(PLACE, b"EU\x1fDE"), item(UTM, b"utm_source=ig"), event_items(b"a\x1fb=" + b"x" * 500),
        item(EXPOSURES, bytes(11)), item(OUTCOMES, bytes(11)) + b"\xff",
    ]
)  # fmt: skip
CLICKS = st.builds(
    Click,
    kind=st.integers(0, 3),
    classification=st.integers(0, 9) | st.integers(0, 255),
    at_us=st.sampled_from([NOW_US, NOW_US + 900_000_000, NOW_US + 86_400_000_000, -1, LAST_US + 1]) | I64,
    tenant_id=st.integers(1, 2) | I64,
    profile_id=st.integers(1, 2) | I64,
    link_id=st.integers(0, 2) | I64,
    user_agent=st.sampled_from([b"", b"curl", b"Instagram 300.0", b"\xff\0"]) | st.binary(max_size=9),
    referrer=st.sampled_from([b"", b"https://t.co/", b"HTTP://x\0y/"]) | st.binary(max_size=9),
    language=st.sampled_from([b"", b"de-AT,en;q=0.5"]) | st.binary(max_size=3),
    visitor_id=st.sampled_from([b"", bytes(8)]) | st.binary(min_size=8, max_size=8),
    items=ITEMS | st.binary(max_size=20),
)  # fmt: skip
FRAMES = st.lists(st.lists(CLICKS, min_size=1, max_size=9), min_size=1, max_size=4)


class Folded:
    """Batches of a journal folded one after the other by one class, and the texts that it knows."""

    def __init__(self, rows: Callable[[UUID, EncodedTexts], FoldRows]) -> None:
        self.texts = EncodedTexts(NewTexts())
        self.rows = rows
        self.folds: list[Any] = []

    def add(self, batches: list[Batch], after: int) -> None:
        """Fold batches in one transaction, and note what becomes of them."""
        fold = self.rows(JOURNAL, self.texts)
        error = ""
        try:
            for part in batches:
                fold.add(part, after)
        except Exception as refused:
            error = f"{type(refused).__name__}: {refused}"
        days = {key: (day.heads, day.rows) for key, day in fold.days.items()}
        self.folds.append((fold.rows, days, fold.experiment_clicks, fold.clicks, error))

    @property
    def all(self) -> tuple[Any, ...]:
        texts = self.texts
        tables = (texts.agents, texts.referrers, texts.languages, texts.items)
        return self.folds, tables, texts.unstored, texts.new_texts.replaced


def both(add: Callable[[Folded], None]) -> None:
    python, c = Folded(FoldRows), Folded(compiled.CompiledFoldRows)
    add(python)
    add(c)
    assert c.all == python.all


def batches_of(parts: list[list[Click]], first: int) -> list[Batch]:
    batches = []
    for clicks in parts:
        batches.append(batch(first, clicks))
        first += len(clicks)
    return batches


@given(FRAMES, st.integers(1, 2**62) | st.integers(1, 9), st.integers(0, 9), st.integers(1, 3))
def test_equals_python(parts: list[list[Click]], first: int, skipped: int, bound: int) -> None:
    """Twice the same clicks, as texts are known the second time; few new ones are allowed, few are kept."""
    batches = batches_of(parts, first)

    def add(folded: Folded) -> None:
        for _ in range(2):
            folded.add(batches, first - 1 + skipped)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_texts, "NEW_TEXTS", bound)
        patch.setattr(copy_rows, "_MAX_TEXTS", bound)
        both(add)


@given(FRAMES, st.data())
def test_damage_is_refused_in_the_same_words(parts: list[list[Click]], data: st.DataObject) -> None:
    """Bytes change anywhere, and the checksum may be made right again, so that the records are looked at."""
    whole = batch(3, [click for clicks in parts for click in clicks])
    payload = bytearray(whole.payload)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        _seal(payload)
    cut = data.draw(
        st.sampled_from([len(payload), len(payload) - 1]) | st.integers(0, len(payload))
    )
    last = whole.last + data.draw(st.integers(-1, 1))
    after = data.draw(st.integers(0, last + 1))
    damaged = Batch(3, last, bytes(payload[:cut]))
    both(lambda folded: folded.add([damaged], after))


def _seal(payload: bytearray) -> None:
    """Make the checksums of frames right, as far as their lengths are."""
    start = 0
    while len(payload) - start >= FRAME_BYTES:
        (length,) = struct.unpack_from("<I", payload, start)
        if not FRAME_BYTES <= length <= len(payload) - start:
            return
        crc = google_crc32c.value(bytes(payload[start + 8 : start + length]))
        struct.pack_into("<I", payload, start + 4, crc)
        start += length


@pytest.mark.parametrize(
    "odd",
    [
        Batch(5, 4, b""), Batch(0, 0, b""), Batch(1, 1, b""), Batch(2**63, 2**64, b"x"),
        batch(2**63, [Click(1, 1, NOW_US, 1, 2, 3, b"", b"", b"")]),
    ],
)  # fmt: skip
def test_batches_that_no_edge_ships_are_refused_in_the_same_words(odd: Batch) -> None:
    both(lambda folded: folded.add([odd], 0))


def test_more_texts_than_there_are_places_in_a_table_are_told_apart() -> None:
    clicks = [
        Click(1, 1, NOW_US, 1, 2, number % 1500, b"agent %d" % (number % 300),
              b"https://a%d.example/" % (number % 17), b"de", b"%08d" % number)
        for number in range(3_000)
    ]  # fmt: skip

    def add(folded: Folded) -> None:
        for _ in range(2):
            folded.add([batch(1, clicks, 100)], 0)

    both(add)

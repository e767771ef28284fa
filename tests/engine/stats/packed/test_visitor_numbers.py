"""Tests of engine/stats/packed/visitor_numbers.py."""

from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.stats.packed.packed_clicks import (
    VALUE_COLUMNS,
    PackedClicks,
    pack_links,
    pack_pseudonyms,
    pack_quarters,
    pack_texts,
    pack_visitors,
)
from engine.stats.packed.profile_clicks import QUARTERS, Piece, ProfileClicks

FIRST = date(2026, 3, 1)
# (day, pseudonym) of each click of a piece; some pseudonyms are on several days.
CLICKS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=12)
PIECES = st.lists(st.tuples(CLICKS, st.booleans()), max_size=6)


@given(pieces=PIECES)
def test_a_number_is_one_visitor_of_one_day(
    pieces: list[tuple[list[tuple[int, int]], bool]],
) -> None:
    clicks = ProfileClicks(Piece(FIRST, _packed(sorted(of), numbered)) for of, numbered in pieces)
    visitors = [click for of, _ in pieces for click in sorted(of)]
    numbers = clicks.visitors.tolist()
    assert [number == 0 for number in numbers] == [pseudonym == 0 for _, pseudonym in visitors]
    known = {(visitor, n) for visitor, n in zip(visitors, numbers, strict=True) if n}
    assert len({visitor for visitor, _ in known}) == len(known) == len({n for _, n in known})


def test_a_piece_that_has_its_day_alone_keeps_its_numbers_without_pseudonyms() -> None:
    pieces = [
        _packed([(day, 1), (day, 1), (day, 2)], True)._replace(pseudonyms=None) for day in (0, 1)
    ]
    clicks = ProfileClicks([Piece(FIRST, pieces[0]), Piece(FIRST, pieces[1])])
    assert clicks.visitors.tolist() == [1, 1, 2, 3, 3, 4]
    assert clicks.quarters[3] == clicks.quarters[0] + QUARTERS


def _packed(clicks: list[tuple[int, int]], numbered: bool) -> PackedClicks:
    pseudonyms = np.array([pseudonym for _, pseudonym in clicks], np.int64)
    visitors, column = pack_visitors(pseudonyms)
    if not numbered:
        visitors, column = pack_pseudonyms(pseudonyms.astype(">i8").tobytes()), b""
    nothing = [0] * len(clicks)
    return PackedClicks(
        len(clicks),
        pack_quarters([day * QUARTERS for day, _ in clicks]),
        pack_links([1], nothing),
        {name: pack_texts([""], nothing) for name in VALUE_COLUMNS},
        visitors,
        column if numbered else None,
    )

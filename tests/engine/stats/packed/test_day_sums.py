"""Invariant: day sums and the columns of the other days add up to what the columns of all days say."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks.click import Click
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.clicks.rollup import TIME_BUCKET_US
from engine.stats.packed import day_sums
from engine.stats.packed.column_sums import ColumnSums, column_sums
from engine.stats.packed.day_sums import (
    DaySums,
    day_sums_parts,
    days_by_sums,
    pack_day_sums,
    sums_of_days,
)
from engine.stats.packed.profile_clicks import QUARTERS, Piece, ProfileClicks
from engine.stats.packed.repacking import repacked
from engine.stats.period_split import PeriodSplit
from engine.stats.plan import CountsStatement, RowKind, VisitorSketches
from engine.stats.query import Filter
from tests.engine.stats.packed.test_column_sums import CLICKS, DAY_US, packed
from tests.kit.shipped_batches import NOW_US

FIRST = datetime.fromtimestamp((NOW_US - DAY_US) // DAY_US * DAY_US / 1e6, UTC)
DAYS = 5
FILTERS = [
    (),
    (Filter(Dimension.COUNTRY, "=", ("DE",)),),
    (Filter(Dimension.COUNTRY, "!=", ("DE",)),),
]
Key = tuple[int | None, str | None, int]


@st.composite
def statements(draw: st.DrawFn) -> CountsStatement:
    """Statements whose rows mostly begin with UTC days, or once within each."""
    within = draw(st.sampled_from([0, 0, 8, 88]))
    days = sorted(draw(st.sets(st.integers(0, DAYS), min_size=2, max_size=DAYS)))
    edges = [day * QUARTERS + within for day in days]
    if draw(st.booleans()):
        edges = sorted({*edges, draw(st.integers(0, DAYS * QUARTERS))})
    times = [FIRST + timedelta(microseconds=edge * TIME_BUCKET_US) for edge in edges]
    filters = draw(st.sampled_from(FILTERS))
    return CountsStatement(
        dimension=filters[0].dimension if filters else draw(st.sampled_from(Dimension)),
        kinds=(RowKind.LIVE_DIMENSIONS,),
        split=PeriodSplit(tuple(times[:-1]), times[-1]),
        links=draw(st.sampled_from([(ALL_LINKS,), (ALL_LINKS,), (0,)])),
        filters=filters,
        by_value=draw(st.booleans()),
        limit=1000,
        sketches=draw(st.sampled_from([None, VisitorSketches(())])),
    )


@given(st.lists(CLICKS, min_size=1, max_size=40), statements())
@settings(deadline=None, max_examples=150)
def test_sums_of_days_and_columns_of_the_rest_add_up(
    clicks: list[Click], statement: CountsStatement
) -> None:
    pieces = [_segment(piece) for piece in packed(clicks)]
    whole = as_sums([column_sums(ProfileClicks(pieces), statement, visitors=True)])
    named = days_by_sums(statement, FIRST.date(), FIRST.date() + timedelta(DAYS))
    summed = {
        piece.day: DaySums(day_sums_parts(data))
        for piece in pieces
        if piece.day in named
        and (data := pack_day_sums(ProfileClicks([piece]), piece.day)) is not None
    }
    sums = sums_of_days(statement, list(summed.items()))
    rest = ProfileClicks(piece for piece in pieces if piece.day not in summed)
    both = as_sums([sums, column_sums(rest, statement, visitors=True)])
    if statement.sketches is None:  # then visitors are not asked for
        both, whole = _without_visitors(both), _without_visitors(whole)
    assert both == whole


def test_a_day_is_cut_once_where_the_whole_profile_is_counted() -> None:
    rome = tuple(FIRST + timedelta(days=n, hours=-2) for n in range(1, 4))
    statement = CountsStatement(
        dimension=Dimension.TOTAL, kinds=(), split=PeriodSplit(rome[:-1], rome[-1]), limit=10
    )
    first = FIRST.date()
    days = {first + timedelta(n) for n in range(5)}
    assert days_by_sums(statement, first, max(days)) == days
    by_country = msgspec.structs.replace(statement, dimension=Dimension.COUNTRY, by_value=True)
    assert days_by_sums(by_country, first, max(days)) == {max(days), max(days) - timedelta(1)}


def test_a_day_of_too_many_values_has_no_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_sums, "MAX_VALUES", 1)
    clicks = [Click(1, 1, NOW_US, 1, 1, link, b"", b"", b"", b"visitor1", b"") for link in (1, 2)]
    (piece,) = packed(clicks)
    assert pack_day_sums(ProfileClicks([piece]), piece.day) is None


def _segment(piece: Piece) -> Piece:
    return Piece(piece.day, repacked(ProfileClicks([piece]), piece.day, as_segment=True))


def as_sums(parts: list[ColumnSums]) -> dict[Key, list[int]]:
    sums: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for part in parts:
        for link, value, row, *counts in zip(*part, strict=True):
            if any(counts):
                sums[link, value, row] = [
                    a + b for a, b in zip(sums[link, value, row], counts, strict=True)
                ]
    return dict(sums)


def _without_visitors(sums: dict[Key, list[int]]) -> dict[Key, list[int]]:
    return {key: counts[:3] for key, counts in sums.items() if any(counts[:3])}

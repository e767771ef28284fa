"""Invariant: sums of packed clicks equal the plain counts, in any pieces, over any rows and links."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clicks import user_agent as agents
from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    Click,
    ClickKind,
    VisitorClass,
)
from engine.clicks.day_rows import ClickHead, DayRows, how_counted
from engine.clicks.dimension import ALL_LINKS, EVENT_DIMENSIONS, Dimension
from engine.clicks.rollup import TIME_BUCKET_US
from engine.stats.dimension_counts import count_by_dimension
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.column_sums import ColumnSums, column_sums
from engine.stats.packed.packed_clicks import PackedClicks, decode, encode
from engine.stats.packed.profile_clicks import QUARTERS, Piece, ProfileClicks
from engine.stats.period_split import PeriodSplit
from engine.stats.plan import CountsStatement, RowKind, VisitorSketches
from tests.engine.stats.test_dimension_counts import RECORD_ITEMS
from tests.kit.shipped_batches import NOW_US

agents.load()
DAY_US = 86_400_000_000
CLICKS = st.builds(
    Click,
    kind=st.integers(1, 3),
    classification=st.integers(0, 255),
    at_us=st.integers(NOW_US - DAY_US, NOW_US + 2 * DAY_US),
    tenant_id=st.just(1),
    profile_id=st.just(1),
    link_id=st.integers(0, 2) | st.integers(1, 2**63 - 1),
    user_agent=st.sampled_from([b"", b"curl/8", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5) Instagram 3"]),
    referrer=st.sampled_from([b"", b"https://t.co/x", b"https://www.example.org/", b"https://example.org/a"]),
    language=st.sampled_from([b"", b"de-AT", b"en", b"de"]),
    visitor_id=st.sampled_from([b"", b"visitor1", b"visitor2", b"\xff" * 8]),
    items=st.just(b"") | RECORD_ITEMS,
)  # fmt: skip
PIECES = st.lists(st.lists(CLICKS, min_size=1, max_size=25), min_size=1, max_size=3)
TEXTS = ValueTexts()


def packed(clicks: list[Click]) -> list[Piece]:
    """Pack the counted clicks by UTC day."""
    by_day: defaultdict[int, list[Click]] = defaultdict(list)
    for click in clicks:
        if how_counted(click.kind, click.classification & CLASS_MASK) is not None:
            by_day[click.at_us // DAY_US].append(click)
    return [
        Piece(date(1970, 1, 1) + timedelta(day), decode(encode(_pack(day, of_day))))
        for day, of_day in by_day.items()
    ]


def _pack(day: int, clicks: list[Click]) -> PackedClicks:
    rows = DayRows()
    for click in clicks:
        visitor_class = VisitorClass(click.classification & CLASS_MASK)
        counted_as = how_counted(click.kind, visitor_class)
        assert counted_as is not None
        quarter = (click.at_us - day * DAY_US) // TIME_BUCKET_US
        head = rows.add_head(ClickHead(quarter, click.link_id, counted_as, visitor_class))
        rows.rows.append(
            (head, click.user_agent, click.referrer, click.language, click.visitor_id, click.items)
        )
    return pack_day(rows, TEXTS)


class Key(NamedTuple):
    link: int | None
    value: str | None
    row: int


def plain(clicks: list[Click], statement: CountsStatement) -> dict[Key, tuple[int, int, int, int]]:
    """Sum as the statement says, click by click."""
    sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    visitors: dict[Key, set[tuple[int, int]]] = defaultdict(set)
    starts = [int(start.timestamp() * 1_000_000) for start in statement.split.starts]
    end = int(statement.split.end.timestamp() * 1_000_000)
    for click in clicks:
        if not starts[0] <= click.at_us < end:
            continue
        if statement.of_events:  # own events are counted as clicks are
            if click.kind != ClickKind.EVENT or click.classification & CLASS_MASK in BOT_CLASSES:
                continue
            click = click._replace(kind=ClickKind.CLICK)
        links = statement.links or ()
        if ALL_LINKS not in links and click.link_id not in links:
            continue
        row = sum(start <= click.at_us for start in starts)
        seen: set[Key] = set()
        for key, counts in count_by_dimension([click]).items():
            wanted = key.link_id == ALL_LINKS and key.dimension == statement.dimension
            if not wanted or (statement.values is not None and key.value not in statement.values):
                continue
            group = Key(
                click.link_id if statement.by_link else None,
                key.value if statement.by_value else None,
                row,
            )
            if group in seen:
                continue
            seen.add(group)
            for place, count in enumerate((counts.clicks, counts.views, counts.bots)):
                sums[group][place] += count
            visitors[group] |= {(click.at_us // DAY_US, visitor) for visitor in counts.visitors}
    return {
        key: (clicked, viewed, bots, len(visitors[key]))
        for key, (clicked, viewed, bots) in sums.items()
    }


def as_dict(sums: ColumnSums) -> dict[Key, tuple[int, int, int, int]]:
    rows = list(zip(*sums, strict=True))
    assert len({row[:3] for row in rows}) == len(rows)
    return {Key(*row[:3]): row[3:] for row in rows}


@st.composite
def statements(draw: st.DrawFn) -> CountsStatement:
    quarter_us = TIME_BUCKET_US
    first = (NOW_US - DAY_US) // quarter_us * quarter_us
    edges = draw(st.lists(st.integers(0, 3 * QUARTERS), min_size=2, max_size=6, unique=True))
    times = [datetime.fromtimestamp((first + e * quarter_us) / 1e6, UTC) for e in sorted(edges)]
    dimensions = [d for d in Dimension if d not in {Dimension.TOTAL} | EVENT_DIMENSIONS]
    dimension = draw(st.sampled_from(dimensions))
    links = draw(st.sampled_from([(ALL_LINKS,), (0,), (1, 2)]))
    return CountsStatement(
        dimension=dimension,
        kinds=(RowKind.LIVE_DIMENSIONS,),
        split=PeriodSplit(tuple(times[:-1]), times[-1]),
        links=links,
        values=draw(st.none() | st.just(("", "de", "human", "instagram", "1", "link"))),
        by_link=draw(st.booleans()),
        by_value=draw(st.booleans()),
        limit=1000,
        sketches=draw(st.sampled_from([None, VisitorSketches(())])),
        of_events=draw(st.booleans()),
    )


@given(PIECES, statements())
@settings(deadline=None, max_examples=100)
def test_sums_of_packed_clicks_equal_the_plain_ones(
    pieces: list[list[Click]], statement: CountsStatement
) -> None:
    clicks = ProfileClicks(piece for part in pieces for piece in packed(part))
    expected = plain([click for part in pieces for click in part], statement)
    assert as_dict(column_sums(clicks, statement, visitors=True)) == expected
    without = {key: (*row[:3], 0) for key, row in expected.items()}
    assert as_dict(column_sums(clicks, statement, visitors=False)) == without

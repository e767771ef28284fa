"""Stats by dimension from live and compacted tables, compared with brute force over all clicks."""

import random
import re
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from engine.clicks.click import Click
from engine.clicks.dimension import Dimension
from engine.clicks.record_items import EXPOSURES, VariantRef, item, pack_variant_refs
from engine.common.errors import InvalidError, SlowQueryError
from engine.stats import plan
from engine.stats.parameters import group_cursor
from engine.stats.period import interval_start_utc, zone
from engine.stats.ports import ClickExport, ProfileQuestion
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from engine.stats.result import Stats, StatsRow, TimeInterval
from storage.postgres.database import Database
from storage.stats import crossed, packed_sums
from storage.stats.export import PostgresClickExport
from storage.stats.memory_click_tables import MemoryClickTables
from storage.stats.memory_stats import MemoryClickExport, answered, counted, moment
from storage.stats.pieces import StoredPieces, read_pieces
from storage.stats.reader import PostgresStatsReader
from storage.stats.reading import snapshot_clicks
from tests.conftest import execute
from tests.kit.hosted import hosted_run
from tests.kit.stats_database import FilledDatabase, ask, fill, fold_and_settle, random_clicks

pytestmark = pytest.mark.slow

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
FIRST = datetime(2026, 2, 26, tzinfo=UTC)
DIMENSIONS = [
    Dimension.TOTAL, Dimension.COUNTRY, Dimension.CITY, Dimension.BROWSER, Dimension.REFERRER,
    Dimension.SOURCE, Dimension.UTM_SOURCE, Dimension.KIND, Dimension.LINK, Dimension.VARIANT,
]  # fmt: skip


CLICKS = random_clicks(random.Random(5), 300, FIRST, 83.4)
# The same visitors at the same time with other links and values: totals count them once.
CLICKS += [
    one._replace(
        link_id=other.link_id,
        items=other.items,
        kind=other.kind,
        classification=other.classification,
    )
    for one, other in zip(CLICKS[:150], CLICKS[7:157], strict=True)
]
# Some clicks show variants of one experiment or of two.
VARIANTS = [[VariantRef(9, 1, 0), VariantRef(8, 2, 1)], [VariantRef(9, 1, 1)], []]
CLICKS = [
    one._replace(items=one.items + item(EXPOSURES, pack_variant_refs(VARIANTS[n % 3])))
    for n, one in enumerate(CLICKS)
]
# Late clicks are in the live tables of a compacted day, until the next compaction.
LATE = random_clicks(random.Random(6), 30, FIRST, 80)
COMPACTED = {FIRST.date() + timedelta(days=n) for n in range(82)} - {date(2026, 4, 3)}


# Every day is hot, compacted by hand or by the engine; or packed by day or month.
KEPT: dict[str, Callable[[FilledDatabase], str]] = {
    "by hand": lambda filled: filled("by_hand", fill, CLICKS, COMPACTED, DIMENSIONS, LATE),
    "by the aggregation": lambda filled: filled(
        "hot", fold_and_settle, CLICKS, LATE, hot_clicks=0, compacted_before=max(COMPACTED)
    ),
    "by day": lambda filled: filled("days", fold_and_settle, CLICKS, LATE, hot_clicks=2_000),
    "by month": lambda filled: filled(
        "months", fold_and_settle, CLICKS, LATE, hot_clicks=2_000, months_before=NOW.date()
    ),
}
PACKED = {"by day", "by month"}


@pytest.fixture(scope="module", params=KEPT)
def kept(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(kept: str, filled_database: FilledDatabase) -> str:
    """One filled database for all queries."""
    return KEPT[kept](filled_database)


def query(**parameters: str) -> StatsQuery:
    pairs = [(name.rstrip("_"), value) for name, value in parameters.items()]
    pairs = [(f"filter[{n[2:]}]" if n.startswith("f_") else n, v) for n, v in pairs]
    return parse_query(pairs, NOW)


def brute(query_: StatsQuery, clicks: list[Click]) -> Stats:
    expected = [click for click in clicks if query_.start <= moment(click) < query_.end]
    return counted(expected, query_, None)


SPAN = {"from": "2026-02-20", "to": "2026-05-30"}
QUERIES = [
    query(**SPAN),
    query(**SPAN, tz="Asia/Kathmandu", link="5"),
    query(**SPAN, tz="America/Havana", interval="month"),
    query(**SPAN, interval="month", f_country="DE"),
    query(**SPAN, tz="Europe/Rome", interval="week", group="time,country", limit="2"),
    query(**SPAN, interval="hour", tz="Australia/Lord_Howe", f_browser="Chrome"),
    query(**{"from": "2026-03-10", "to": "2026-03-12"}, interval="15m", group="country,time"),
    query(**SPAN, group="country"),
    query(**SPAN, group="country", order="country" and "value", tz="Asia/Kathmandu"),
    query(**SPAN, group="link", order="-value"),
    query(**SPAN, group="link,browser"),
    query(**SPAN, group="browser,link", f_link="6"),
    query(**SPAN, group="link", f_country="", order="views", limit="2"),
    query(**SPAN, group="link", f_country="DE", order="-value", limit="2"),
    query(**SPAN, group="source", order="-click_rate"),
    query(**SPAN, group="kind", order="-bots"),
    query(**SPAN, group="variant", metrics="clicks,views,bots"),
    query(**SPAN, group="variant,link", metrics="clicks,views,bots", f_link="6"),
    query(**{"from": "2026-03-10T07:10:00Z", "to": "2026-05-19T13:05:00Z"}, group="referrer"),
    query(**{"from": "2026-03-10T07:10:00Z", "to": "2026-03-10T13:05:00Z"}, group="city"),
    query(**SPAN, **{"filter[referrer]~": "NEWS"}, group="referrer"),
    query(**SPAN, **{"filter[country]!": "DE"}, interval="day"),
    query(**SPAN, **{"filter[link]!": "5"}, group="time,link"),
    query(**SPAN, **{"filter[link]!": "5"}, group="country"),
    # From raw clicks.
    query(**SPAN, group="country,browser", order="-views", limit="3"),
    query(**SPAN, group="kind,source", order="value"),
    query(**SPAN, f_country="DE", f_browser="Chrome", tz="Asia/Kathmandu", interval="month"),
    query(**SPAN, **{"filter[city]~": "m"}, group="time,utm_source", interval="week", link="5"),
    query(**SPAN, f_trigger="link", group="link,referrer", order="-bots"),
    query(**SPAN, group="variant,country"),
    query(**SPAN, group="time,variant", interval="month", f_os="ios"),
    query(**SPAN, f_variant="9.1.0,8.2.1", group="variant"),
    query(**SPAN, **{"filter[variant]!": "9.1.0"}),
    query(**SPAN, **{"filter[variant]!": "9.1.0,9.1.1"}, group="variant,link"),
    # Several values, in any case where names have none.
    query(**SPAN, f_country="de,IT", f_link="5,6", interval="quarter"),
    query(**SPAN, f_browser="chrome,Mobile Safari", group="browser"),
    query(**SPAN, **{"filter[city]": "munich, de"}, group="city"),
    query(**SPAN, **{"filter[referrer]~": "NEWS,gram"}, group="referrer", interval="year"),
    query(**SPAN, **{"filter[source]!": "x,y", "filter[source]~": "GRAM,e"}, group="source"),
    query(**SPAN, interval="week", week_start="thursday", tz="America/Havana"),
    query(**SPAN, group="hour_of_week", tz="Asia/Kathmandu", f_country="DE"),
]  # fmt: skip


def plain(answer: Stats) -> list[Any]:
    """Return the rows without visitors, which are estimates by UTC day."""
    return [(row.time, row.values, row.clicks, row.views, row.bots) for row in answer.rows]


def test_every_kind_of_query_is_answered_as_by_brute_force(url: str) -> None:
    everything = CLICKS + LATE
    for query_, stats in zip(QUERIES, ask(url, QUERIES), strict=True):
        expected = brute(query_, everything)
        assert plain(stats) == plain(expected), query_
        assert stats.totals.clicks == expected.totals.clicks
        # Raw clicks give exact numbers of visitors by UTC day.
        if plan.is_crossed(query_):
            assert stats.totals == expected.totals
        assert (stats.totals.views, stats.totals.bots) == (
            expected.totals.views,
            expected.totals.bots,
        )
    assert all(stats.rows for stats in ask(url, QUERIES))


def test_many_clicks_are_counted_in_parts_as_few_are_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = ask(url, QUERIES)
    monkeypatch.setattr(packed_sums, "CLICKS_IN_LOOP", 0)
    monkeypatch.setattr(packed_sums, "PART_CLICKS", 50)
    monkeypatch.setattr(packed_sums, "KEPT_CLICKS", 0)
    assert ask(url, QUERIES) == at_once


def test_rows_of_a_series_are_those_of_the_links_that_it_shows(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of other links do not fill the largest number of rows of a series."""
    query_ = query(**SPAN, group="time,link", limit="1", f_browser="Chrome", interval="week")
    expected = brute(query_, CLICKS + LATE)
    first = min(click.link_id for click in CLICKS)
    shown_links = {int(row.values[0]) for row in expected.rows}
    assert first not in shown_links
    monkeypatch.setattr(plan, "MAX_SUMS", len(expected.rows) + 9)
    (stats,) = ask(url, [query_])
    assert plain(stats) == plain(expected)


def test_a_query_of_too_many_links_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise sums of some links would pass for sums of all."""
    monkeypatch.setattr(plan, "MAX_LINKS", 2)
    for query_ in (
        query(**SPAN, group="link,country"),
        query(**SPAN, **{"filter[link]!": "5"}, f_country="DE"),
    ):
        with pytest.raises(InvalidError, match=r"link: must not have more than 2 links"):
            ask(url, [query_])


@pytest.mark.parametrize("interval", ["hour", "15m"])
@pytest.mark.parametrize("metrics", ["clicks,views,bots", "clicks,views,bots,visitors"])
def test_a_period_of_one_hour_or_quarter_is_counted(
    url: str, interval: TimeInterval, metrics: str
) -> None:
    """Live and compacted days alike."""
    query_ = []
    for click in CLICKS[:20]:
        start = interval_start_utc(moment(click), interval, zone("UTC"))
        length = timedelta(minutes=60 if interval == "hour" else 15)
        period = {"from": start.isoformat(), "to": (start + length).isoformat()}
        query_ += [
            query(**period, interval=interval, metrics=metrics, group=group)
            for group in ("time", "time,country")
        ]
    stats = ask(url, query_)
    for question, answer in zip(query_, stats, strict=True):
        expected = brute(question, CLICKS + LATE)
        assert plain(answer) == plain(expected)
        assert answer.totals.clicks == expected.totals.clicks
    assert sum(answer.totals.clicks for answer in stats) > 10


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-15T03:00:00Z", "2026-03-15T20:15:00Z"),
        ("2026-03-15T22:45:00Z", "2026-03-16T00:30:00Z"),
        ("2026-03-14T13:15:00Z", "2026-03-20T06:00:00Z"),
        ("2026-03-15T00:00:00Z", "2026-03-17T00:00:00Z"),
    ],
)
def test_a_refused_crossed_query_states_its_number_of_clicks(
    url: str, kept: str, monkeypatch: pytest.MonkeyPatch, start: str, end: str
) -> None:
    """A part of a UTC day, or of a month that is packed, counts whole."""
    query_ = query(**{"from": start, "to": end}, group="city,country")
    first, last = query_.start.date(), (query_.end - timedelta(seconds=1)).date()
    whole = query(**{"from": f"{first}", "to": f"{last + timedelta(days=1)}"})
    monkeypatch.setattr(crossed, "MAX_CROSSED", -1)
    with pytest.raises(InvalidError) as refused:
        ask(url, [query_])
    stated = re.search(r"the period has about (\d+)", str(refused.value))
    assert stated is not None
    clicks = size(brute(whole, CLICKS + LATE))
    if kept == "by month":
        march = query(**{"from": "2026-03-01", "to": "2026-04-01"})
        clicks = size(brute(march, CLICKS)) + size(brute(whole, LATE))
    assert int(stated[1]) == clicks


def size(stats: Stats) -> int:
    return stats.totals.clicks + stats.totals.views + stats.totals.bots


def test_a_query_that_cannot_be_crossed_is_refused(
    url: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed_query = query(**SPAN, group="city,country")
    with monkeypatch.context() as few:
        few.setattr(crossed, "MAX_GROUPS", 3)
        with pytest.raises(InvalidError, match="group: must not make more than 3 groups"):
            ask(url, [crossed_query])
    with monkeypatch.context() as few:
        few.setattr(crossed, "MAX_CROSSED", 100)
        with pytest.raises(InvalidError, match=r"from: .* in at most 100 clicks"):
            ask(url, [crossed_query])
    with monkeypatch.context() as few:
        few.setattr(snapshot_clicks, "MAX_CLICKS", 100)
        if kept in PACKED:
            with pytest.raises(InvalidError, match=r"from: must be later: .* at most 100 clicks"):
                ask(url, [query(**SPAN)])
    execute(url, "UPDATE waypost.profiles SET raw_retention_days = 30")
    check_crossed(
        url, kept, crossed_query, r"from: must not be before .*: of days with many clicks"
    )
    # A longer retention does not restore deleted clicks, of this profile or of all.
    execute(url, "UPDATE waypost.profiles SET raw_retention_days = 3650")
    for whose in ("1, 2", "0, 0"):
        execute(url, f"INSERT INTO waypost.raw_click_retention VALUES ({whose}, '2026-03-03')")
        check_crossed(url, kept, crossed_query, r"from: must not be before 2026-03-03")
        execute(url, "DELETE FROM waypost.raw_click_retention")


def check_crossed(url: str, kept: str, crossed_query: StatsQuery, refusal: str) -> None:
    """Packed days outlive raw clicks: only those of hot days are gone with them."""
    if kept not in PACKED:
        with pytest.raises(InvalidError, match=refusal):
            ask(url, [crossed_query])
        return
    (stats,) = ask(url, [crossed_query])
    assert stats.totals == brute(crossed_query, CLICKS + LATE).totals


def test_a_statement_ends_at_the_time_limit(url: str) -> None:
    async def run() -> None:
        app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
        try:
            with pytest.raises(SlowQueryError, match="shorter period"):
                await PostgresStatsReader(app, timeout_ms=1).stats(1, 2, QUERIES[5])
        finally:
            await app.close()

    hosted_run(run)


def test_visitors_are_those_of_each_utc_day(url: str, kept: str) -> None:
    """Sketches of so few visitors are exact for UTC days and hours. A local day made of parts of two UTC days
    counts a visitor of both twice. Visitors of packed days are exact, late clicks included."""
    whole = {"from": "2026-03-02", "to": "2026-04-30"}
    query_ = [
        query(**whole), query(**whole, f_country="DE"),
        query(**{"from": "2026-05-15", "to": "2026-05-21"}, interval="hour", metrics="visitors,clicks"),
        query(**{"from": "2026-03-15T03:00:00Z", "to": "2026-03-15T20:00:00Z"}, group="time"),
        query(**{"from": "2026-03-15T03:00:00Z", "to": "2026-03-15T20:00:00Z"}, interval="15m",
              metrics="visitors,clicks"),
        query(**whole, group="browser", order="-visitors"),
        query(**whole, group="link", metrics="clicks,visitors"),
        query(**whole, group="kind", metrics="clicks,visitors"),
        query(**whole, group="time,country", metrics="clicks,visitors"),
    ]  # fmt: skip
    for click, stats in zip(query_, ask(url, query_), strict=True):
        expected = brute(click, CLICKS + LATE)
        late = len([c for c in LATE if click.start <= moment(c) < click.end])
        if kept in PACKED:
            late = 0
        assert 0 <= (stats.totals.visitors or 0) - (expected.totals.visitors or 0) <= late
        for row, by_hand in zip(stats.rows, expected.rows, strict=True):
            assert 0 <= (row.visitors or 0) - (by_hand.visitors or 0) <= late
        assert stats.totals.visitors


def test_raw_clicks_are_exported_as_the_twin_has_them(url: str) -> None:
    counts = MemoryClickTables(clicks=[(uuid4(), click) for click in CLICKS + LATE])
    first, last = FIRST + timedelta(days=3), FIRST + timedelta(days=60)

    async def exported(source: ClickExport) -> list[Any]:
        stats: list[Any] = []
        async with aclosing(source.clicks(1, 2, first, last)) as chunks:
            async for rows in chunks:
                stats += rows
        return sorted(stats, key=repr)

    async def run() -> None:
        app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
        try:
            stored = await exported(PostgresClickExport(app))
        finally:
            await app.close()
        assert stored == await exported(MemoryClickExport(counts))
        assert len(stored) > 100

    hosted_run(run)


FILTERS_OF_SEVERAL = [
    {"filter[country]!": "US"},
    {"filter[country]": "DE,IT"},
    {"filter[browser]~": "o"},
    {"filter[link]!": "5"},
    {"filter[link]": "5,6"},
    {"filter[country]!": "US", "link": "5"},
    {"filter[referrer]~": "news,gram", "filter[referrer]!": "news.example"},
    {"filter[country]": "DE,IT", "filter[browser]!": "Chrome"},
]


@pytest.mark.parametrize("filters", FILTERS_OF_SEVERAL, ids=str)
def test_a_filter_adds_nobody(url: str, filters: dict[str, str]) -> None:
    """Visitors of several values are counted by value, and by link, on days in tables."""
    month = {"from": "2026-03-01", "to": "2026-05-01", "metrics": "clicks,views,bots,visitors"}
    of_link = {"link": "5"} if "link" in filters else {}
    for more in ({}, {"interval": "month"}, {"tz": "Asia/Kathmandu", "interval": "week"}):
        questions = [query(**month, **more, **filters), query(**month, **more, **of_link)]
        filtered, everybody = ask(url, questions)
        assert filtered.totals.visitors
        numbers = [
            [stats.totals.visitors, *(row.visitors for row in stats.rows)]
            for stats in (filtered, everybody)
        ]
        assert all((a or 0) <= (b or 0) for a, b in zip(*numbers, strict=True))
        expected = brute(questions[0], CLICKS + LATE).totals.visitors
        assert (filtered.totals.visitors or 0) >= (expected or 0)


@pytest.mark.parametrize(
    ("group", "order"),
    [
        ("link,city", "-clicks"), ("city,link", "value"), ("link", "click_rate"),
        ("referrer", "-visitors"), ("browser,city", "-value"), ("variant,link", "bots"),
    ],
)  # fmt: skip
def test_pages_of_groups_are_the_groups_of_one_answer(url: str, group: str, order: str) -> None:
    whole = query(**SPAN, group=group, order=order, limit="1000")
    (answer,) = ask(url, [whole])
    assert answer.next is None
    page = query(**SPAN, group=group, order=order, limit="3")
    pages: list[StatsRow] = []
    while True:
        (stats,) = ask(url, [page])
        assert stats.totals == answer.totals
        pages.extend(stats.rows)
        if stats.next is None:
            break
        page = msgspec.structs.replace(
            page, after=group_cursor.decode(group_cursor.encode(stats.next))
        )
    assert pages == list(answer.rows)
    assert len(pages) > 3


def test_a_comparison_has_the_groups_of_the_answer(url: str) -> None:
    questions = [
        query(**{"from": "2026-05-01", "to": "2026-06-01"}, group="country", compare="previous",
              limit="2", order="value"),
        query(**{"from": "2026-04-20", "to": "2026-04-27"}, group="time,link", compare="year", limit="2"),
        query(**{"from": "2026-04-20", "to": "2026-04-27"}, group="link,browser", limit="3",
              compare="2026-03-01..2026-03-20"),
        query(**{"from": "2026-04-20", "to": "2026-04-27"}, group="browser,country", limit="3",
              compare="2026-03-01..2026-03-20"),
        query(**{"from": "2020-04-20", "to": "2020-04-27"}, group="country", compare="2026-03-01..2026-03-20"),
    ]  # fmt: skip
    for question, stats in zip(questions, ask(url, questions), strict=True):
        expected = answered(CLICKS + LATE, question, None)
        assert plain(stats) == plain(expected)
        assert stats.compared is not None
        assert expected.compared is not None
        assert plain(stats.compared) == plain(expected.compared)
        assert {row.values for row in stats.compared.rows} == {row.values for row in stats.rows}
        assert stats.compared.totals.clicks == expected.compared.totals.clicks


def test_a_refused_crossed_query_says_what_would_work(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossed, "MAX_CROSSED", 150)
    with pytest.raises(InvalidError) as refused:
        ask(url, [query(**SPAN, group="city,country")])
    offer = re.search(r"ask for (\S+) or later", str(refused.value))
    assert offer is not None
    (stats,) = ask(url, [query(**SPAN | {"from": offer[1]}, group="city,country")])
    assert stats.rows
    monkeypatch.setattr(crossed, "MAX_CROSSED", -1)
    with pytest.raises(
        InvalidError, match="its last day alone has too many; ask for one dimension"
    ):
        ask(url, [query(**SPAN | {"to": "2026-05-20"}, group="city,country")])


@pytest.mark.parametrize("kept_clicks", [0, 100, packed_sums.KEPT_CLICKS])
def test_questions_of_one_snapshot_are_answered_as_each_alone(
    url: str, kept_clicks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed clicks and totals of one period are read once for all, if few enough clicks are to be kept."""
    monkeypatch.setattr(snapshot_clicks, "KEPT_CLICKS", kept_clicks)
    period = {"from": "2026-03-10", "to": "2026-05-10"}
    week = {"from": "2026-05-03", "to": "2026-05-10"}
    questions = [
        *(
            query(**days, group=group, metrics="clicks,visitors")
            for group in ("os", "device")
            for days in (week, period)
        ),
    ] + [
        query(**period, group=group, **more)
        for group in ("country", "link", "time", "browser", "variant", "hour_of_week")
        for more in ({}, {"metrics": "clicks"}, {"f_country": "DE"}, {"filter[link]!": "5"})
    ]

    async def run() -> list[Stats]:
        app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
        try:
            together = [ProfileQuestion(2, question) for question in questions]
            return (await PostgresStatsReader(app).answers(1, together))[0]
        finally:
            await app.close()

    reads = []

    async def noted(*arguments: Any, **options: Any) -> StoredPieces:
        reads.append(arguments[3:5])
        return await read_pieces(*arguments, **options)

    alone = ask(url, questions)
    monkeypatch.setattr(snapshot_clicks, "read_pieces", noted)
    assert hosted_run(run) == alone
    if kept_clicks > len(CLICKS + LATE):
        assert len(reads) == len(set(reads)) == 2

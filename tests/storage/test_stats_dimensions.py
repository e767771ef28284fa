"""Statistics by dimension, from tables of which some days are compacted, against each click looked at."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from engine.click import Click
from engine.dimension import Dimension
from engine.rollup import Stats
from engine.stats_query import StatsQuery, read
from storage.memory.stats import counted, moment
from tests.storage.stats_database import FilledDatabase, ask, random_clicks

pytestmark = pytest.mark.slow

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
FIRST = datetime(2026, 2, 26, tzinfo=UTC)
DIMENSIONS = [
    Dimension.TOTAL, Dimension.COUNTRY, Dimension.CITY, Dimension.BROWSER, Dimension.REFERRER,
    Dimension.SOURCE, Dimension.UTM_SOURCE, Dimension.KIND, Dimension.LINK,
]  # fmt: skip


CLICKS = random_clicks(random.Random(5), 500, FIRST, 83.4)
# Late clicks stand in the live tables for a day that is compacted, until that is done again.
LATE = random_clicks(random.Random(6), 30, FIRST, 80)
COMPACTED = {FIRST.date() + timedelta(days=n) for n in range(82)} - {date(2026, 4, 3)}


@pytest.fixture(scope="module")
def url(filled_database: FilledDatabase) -> str:
    """One filled database for all questions."""
    return filled_database("dimensions", CLICKS, COMPACTED, DIMENSIONS, LATE)


def query(**given: str) -> StatsQuery:
    pairs = [(name.rstrip("_"), value) for name, value in given.items()]
    pairs = [(f"filter[{n[2:]}]" if n.startswith("f_") else n, v) for n, v in pairs]
    return read(pairs, NOW)


def brute(asked: StatsQuery, clicks: list[Click]) -> Stats:
    wanted = [one for one in clicks if asked.start <= moment(one) < asked.end]
    return counted(wanted, asked, None)


SPAN = {"from": "2026-02-20", "to": "2026-05-30"}
QUESTIONS = [
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
    query(**SPAN, group="source", order="-click_rate"),
    query(**SPAN, group="kind", order="-bots"),
    query(**{"from": "2026-03-10T07:10:00Z", "to": "2026-05-19T13:05:00Z"}, group="referrer"),
    query(**{"from": "2026-03-10T07:10:00Z", "to": "2026-03-10T13:05:00Z"}, group="city"),
    query(**SPAN, **{"filter[referrer]~": "NEWS"}, group="referrer"),
    query(**SPAN, **{"filter[country]!": "DE"}, interval="day"),
    query(**SPAN, **{"filter[link]!": "5"}, group="time,link"),
    query(**SPAN, **{"filter[link]!": "5"}, group="country"),
]  # fmt: skip


def plain(stats: Stats) -> list[Any]:
    """Without visitors, which are estimates, and told apart by UTC days."""
    return [(row.time, row.values, row.clicks, row.views, row.bots) for row in stats.rows]


def test_every_kind_of_question_is_answered_as_by_brute_force(url: str) -> None:
    everything = CLICKS + LATE
    for asked, found in zip(QUESTIONS, ask(url, QUESTIONS), strict=True):
        wanted = brute(asked, everything)
        assert plain(found) == plain(wanted), asked
        assert found.totals.clicks == wanted.totals.clicks
        assert (found.totals.views, found.totals.bots) == (wanted.totals.views, wanted.totals.bots)
    assert all(found.rows for found in ask(url, QUESTIONS))

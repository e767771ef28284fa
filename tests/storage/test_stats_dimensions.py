"""Statistics by dimension, from tables of which some days are compacted, against each click looked at."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest

from engine.click import Click, Kind, Verdict
from engine.dimension import Dimension
from engine.extra import HOST, PLACE, UTM, item
from engine.rollup import Stats
from engine.stats_query import StatsQuery, read
from storage.bridge import in_asyncio
from storage.memory.stats import counted, moment
from storage.postgres import Database
from storage.stats import PostgresStatsReader
from tests.hosted import hosted_run
from tests.storage import summaries
from tests.storage.shipped import click

pytestmark = pytest.mark.slow

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)
FIRST = datetime(2026, 2, 26, tzinfo=UTC)
PLACES = [
    ("EU", "DE", "BY", "Munich"),
    ("EU", "IT", "25", "Milan"),
    ("NA", "US", "", ""),
    ("", "", "", ""),
]
AGENTS = [
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    b"Chrome/137.0.0.0 Safari/537.36",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.5 Mobile/15E148 Safari/604.1",
]
REFERRERS = [
    b"",
    b"https://www.instagram.com/",
    b"https://news.example/a",
    b"https://News.Example.org/b",
]
DIMENSIONS = [
    Dimension.TOTAL, Dimension.COUNTRY, Dimension.CITY, Dimension.BROWSER, Dimension.REFERRER,
    Dimension.SOURCE, Dimension.UTM_SOURCE, Dimension.KIND, Dimension.LINK,
]  # fmt: skip


def random_clicks(dice: random.Random, count: int, days: float) -> list[Click]:
    made = []
    for _ in range(count):
        at = FIRST + timedelta(days=days) * dice.random()
        view = dice.random() < 0.2
        place = "\x1f".join(dice.choice(PLACES)).encode()
        utm = dice.choice([b"", b"utm_source=Spring%20Mail", b"utm_source=x"])
        extra = item(PLACE, place) + item(HOST, b"go.example") + item(UTM, utm)
        one = click(
            0 if view else dice.choice([5, 6, 7]), round(at.timestamp() * 1e6),
            kind=Kind.VIEW if view else Kind.CLICK,
            verdict=dice.choices([Verdict.HUMAN, Verdict.BOT, Verdict.TOOL, Verdict.HEAD], [8, 2, 1, 1])[0],
            user_agent=dice.choice(AGENTS), referrer=dice.choice(REFERRERS),
        )  # fmt: skip
        made.append(one._replace(visitor=dice.randrange(1, 60).to_bytes(8, "big"), extra=extra))
    return made


CLICKS = random_clicks(random.Random(5), 500, 83.4)
# Late clicks stand in the live tables for a day that is compacted, until that is done again.
LATE = random_clicks(random.Random(6), 30, 80)
COMPACTED = {FIRST.date() + timedelta(days=n) for n in range(82)} - {date(2026, 4, 3)}


@pytest.fixture(scope="module")
def url(servers: Any, template: str) -> Iterator[str]:
    """One filled database for all questions."""
    from tests.conftest import execute, with_database

    name = f"{template}_stats"
    execute(servers.database_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    filled = with_database(servers.database_url, name)

    async def fill() -> None:
        connection = await asyncpg.connect(filled)
        await summaries.write(connection, CLICKS, COMPACTED, DIMENSIONS)
        await summaries.write(connection, LATE, (), DIMENSIONS)
        await connection.close()

    hosted_run(partial(in_asyncio, fill))
    yield filled
    execute(servers.database_url, f"DROP DATABASE {name} WITH (FORCE)")


def ask(url: str, queries: list[StatsQuery]) -> list[Stats]:
    async def run() -> list[Stats]:
        app = await Database.open(url, role="waypost_app", size=1, query_timeout_ms=5_000)
        reader = PostgresStatsReader(app)
        try:
            return [await reader.stats(1, 2, query) for query in queries]
        finally:
            await app.close()

    return hosted_run(run)


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

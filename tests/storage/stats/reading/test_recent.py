"""Active visitors and latest clicks of a profile, with the names of links, from raw clicks."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.common.errors import InvalidError
from engine.stats.ports import LatestClick, ProfileQuestion, RecentAnswer, RecentQuestion
from engine.stats.query_parser import parse_query
from engine.stats.result import LinkName
from storage.bridge import in_asyncio
from storage.postgres.database import Database
from storage.stats import crossed, settling
from storage.stats.reader import PostgresStatsReader
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import click
from tests.kit.stats_database import add_profile, days_with_deltas, fold, random_clicks

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

NOW = datetime(2026, 5, 20, 9, 40, tzinfo=UTC)


async def add_link(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET search_path = waypost; SET session_replication_role = replica; "
            "INSERT INTO links (tenant_id, profile_id, id, revision, slug, target, title) "
            "VALUES (1, 2, 5, 1, 'notes', 'https://example.org/', 'Notes')"
        )
    finally:
        await connection.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await in_asyncio(add_profile, database_url)
    await in_asyncio(add_link, database_url)
    database = await Database.open(
        database_url, role="waypost_aggregator", size=2, query_timeout_ms=5_000
    )
    yield database
    await database.close()


@pytest.fixture
async def reader(database_url: str, database: Database) -> AsyncIterator[PostgresStatsReader]:
    app = await Database.open(database_url, role="waypost_app", size=1, query_timeout_ms=5_000)
    yield PostgresStatsReader(app)
    await app.close()


def recent(minutes: float, link: int, visitor: int, verdict: int = VisitorClass.HUMAN) -> Click:
    at_us = round((NOW - timedelta(minutes=minutes)).timestamp() * 1e6)
    kind = ClickKind.CLICK if link else ClickKind.VIEW
    return click(link, at_us, kind=kind, verdict=verdict)._replace(
        visitor_id=visitor.to_bytes(8, "big")
    )


async def answer(reader: PostgresStatsReader, latest: int) -> RecentAnswer:
    question = RecentQuestion(2, NOW, NOW - timedelta(minutes=5), latest)
    _, answer = await reader.answers(1, [], question)
    assert answer is not None
    return answer


@pytest.mark.parametrize("hot_clicks", [0, 2_000])
async def test_active_visitors_and_latest_clicks(
    database: Database,
    reader: PostgresStatsReader,
    monkeypatch: pytest.MonkeyPatch,
    hot_clicks: int,
) -> None:
    """Whether the day is in tables, packed or in deltas."""
    monkeypatch.setattr(settling, "HOT_CLICKS", hot_clicks)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    assert await answer(reader, 3) == RecentAnswer(0, [])
    minutes: list[tuple[float, int, int]]
    minutes = [(1, 5, 1), (2, 6, 1), (200, 5, 9), (3_000, 5, 4), (20_000, 5, 5)]
    await fold(database, [recent(*each) for each in minutes])
    await settling.settle(database, await days_with_deltas(database), pack_few=True)
    minutes = [(4, 0, 2), (4.5, 5, 0), (6, 5, 3)]
    deltas = [recent(*each) for each in minutes]
    deltas += [recent(0.5, 5, 7, VisitorClass.BOT), recent(0.5, 5, 8, VisitorClass.HEAD)]
    await fold(database, [*deltas, recent(1, 5, 99)._replace(profile_id=3)])
    recent_answer = await answer(reader, 50)
    assert recent_answer.visitors_now == 2
    latest = recent_answer.latest
    assert latest is not None
    assert [((NOW - each.at).total_seconds() / 60, each.link_id) for each in latest] == [
        (1, 5), (2, 6), (4, 0), (4.5, 5), (6, 5), (200, 5), (3_000, 5),
    ]  # fmt: skip
    first, deleted, page = latest[:3]
    values = first.values | {"kind": "human", "trigger": "link"}
    assert first == LatestClick(first.at, 5, LinkName("two", "notes", "Notes"), values)
    assert deleted.name is None
    assert page.name == LinkName("two", None, "")
    assert (await answer(reader, 2)).latest == latest[:2]


async def test_answers_of_one_snapshot_name_their_links_and_a_refused_question(
    database: Database, reader: PostgresStatsReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await reader.first_day(1, 2) is None
    first = NOW - timedelta(days=30)
    clicks = random_clicks(random.Random(1), 60, first, 30)
    await fold(database, clicks)
    first_us = min(each.at_us for each in clicks)
    assert await reader.first_day(1, 2) == datetime.fromtimestamp(first_us / 1e6, UTC).date()
    assert [await reader.first_day(1, 3), await reader.first_day(2, 2)] == [None, None]
    questions = [
        ProfileQuestion(profile, parse_query([("group", group), ("metrics", "clicks")], NOW))
        for profile, group in ((2, "link"), (2, "city,country"), (3, "time"))
    ]
    (links, both, nobody), recent_answer = await reader.answers(1, questions)
    assert recent_answer is None
    assert links.links == {"5": LinkName("two", "notes", "Notes"), "0": LinkName("two", None, "")}
    assert links.as_of == both.as_of == nobody.as_of
    assert links.totals.clicks == both.totals.clicks > 0
    assert nobody.totals.clicks == 0
    monkeypatch.setattr(crossed, "MAX_CROSSED", 3)
    with pytest.raises(InvalidError) as refused:
        await reader.answers(1, questions)
    assert [error.field for error in refused.value.errors] == ["questions[1].from"]
    with pytest.raises(InvalidError) as refused:
        await reader.stats(1, *questions[1])
    assert [error.field for error in refused.value.errors] == ["from"]

"""Days that are over: whatever is compacted, counted or judged anew, and whenever, every sum stays right."""

import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import trio

from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    ClickKind,
    VisitorClass,
)
from engine.clicks.dimension import ALL_LINKS, Dimension
from engine.clicks.record_items import PLACE, UTM, item
from engine.clicks.rollup import TIME_BUCKET_US
from engine.clicks.rollup import rollup_counts as rollups
from engine.stats.click_buffer import ClickBuffer, ValueDictionary
from engine.stats.compaction import CompactedDay, expand_day
from engine.stats.dimension_counts import count_by_dimension, dimension_values
from engine.stats.ledger_ports import JournalLease, WatermarkAdvance
from engine.stats.query import StatsQuery
from engine.visits.classifier import RULES_VERSION
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats import compaction
from storage.stats.compaction import ProfileDay, compact, compact_day
from storage.stats.daily import DailyAggregation
from storage.stats.reader import PostgresStatsReader
from storage.stats.rebuild import DayRebuild, RebuildError
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

TENANT, PROFILE = 1, 2
TODAY = datetime.now(UTC).date()
MIDNIGHT_US = int(datetime.combine(TODAY, datetime.min.time(), UTC).timestamp()) * 1_000_000
DAY_US = 96 * TIME_BUCKET_US
AGENTS = (b"", b"curl/8", b"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0")
CRAWLER = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"

# By link, dimension, value and bucket: clicks, views, bots.
Sums = dict[tuple[int, int, str, int], tuple[int, ...]]


def clicks(chance: random.Random, count: int, days: int = 3) -> list[Click]:
    """Of the last `days` UTC days and today's beginning."""
    return [
        Click(
            kind=chance.choice([ClickKind.CLICK, ClickKind.CLICK, ClickKind.VIEW]),
            classification=chance.choice([0, 1, 1, 2, 3, 5, 6]) | RULES_VERSION << 3,
            at_us=MIDNIGHT_US + chance.randrange(-days * DAY_US, TIME_BUCKET_US),
            tenant_id=TENANT,
            profile_id=PROFILE,
            link_id=chance.choice([0, 7, 8]),
            user_agent=chance.choice(AGENTS),
            referrer=chance.choice([b"", b"https://t.co/x"]),
            language=chance.choice([b"", b"de"]),
            visitor_id=chance.choice([b"", *(b"visitor%d" % n for n in range(6))]),
            items=chance.choice([b"", item(PLACE, b"EU\x1fDE\x1f\x1fBerlin"), item(UTM, b"utm_term=x")]),
        )
        for _ in range(count)
    ]  # fmt: skip


class Counts(NamedTuple):
    """All that the tables say of the profile."""

    sums: Sums
    days: dict[tuple[int, int, str, date], tuple[int, ...]]
    months: dict[tuple[int, int, str, date], tuple[int, ...]]
    quarters: list[Any]


class Place:
    """A profile's counts, and what was counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = PostgresClickLedger(database)
        self.words = ValueDictionary()
        self.committed: list[Click] = []
        self.summarised: list[Click] = []
        self.position: JournalLease | None = None

    async def commit(self, news: list[Click]) -> None:
        if self.position is None:
            await self.ledger.register(uuid4())
            (self.position,) = await self.ledger.lease("one", 1, 600)
        taken = batch(self.position.folded + 1, news)
        self.position = await self.ledger.commit(self.position, [taken])
        self.committed += news

    async def summarise(self) -> None:
        assert self.position is not None
        news = self.committed[len(self.summarised) :]
        if news:
            journal_id, sequence, token, summarised = self.position
            gathering = ClickBuffer(self.words)
            gathering.add(journal_id, batch(summarised + 1, news), 0)
            await self.ledger.commit_dimension_counts(
                [WatermarkAdvance(journal_id, summarised, sequence, token)], gathering
            )
            self.position = self.position._replace(dimension_counted=sequence)
            self.summarised += news

    async def add(self, news: list[Click]) -> None:
        await self.commit(news)
        await self.summarise()

    async def found(self) -> Counts:
        async def work(connection: Connection) -> Counts:
            sums: Counter[tuple[Any, ...]] = Counter()
            plain = await connection.fetch(
                "SELECT link_id, extract(epoch FROM bucket)::bigint, clicks, views, bots FROM rollups"
            )
            for link_id, second, *counts in plain:
                for of in (link_id, ALL_LINKS):
                    _add(sums, (of, 0, "", second), counts)
            live = await connection.fetch(
                "SELECT link_id, dimension, value, extract(epoch FROM bucket)::bigint, clicks, views, bots "
                "FROM dimension_counts"
            )
            for *key, clicked, viewed, bots in live:
                _add(sums, tuple(key), (clicked, viewed, bots))
            quarters = await connection.fetch(
                "SELECT * FROM dimension_quarters ORDER BY 1, 2, 3, 4, 5, 6"
            )
            for _, _, link_id, dimension, day, value, *row in quarters:
                midnight = int(datetime.combine(day, datetime.min.time(), UTC).timestamp())
                for at, quarter in expand_day(CompactedDay(*row)).items():
                    _add(sums, (link_id, dimension, value, midnight + at * 900), quarter[:3])
            days = await connection.fetch("SELECT * FROM dimension_days")
            months = await connection.fetch("SELECT * FROM dimension_months")
            whole: Sums = {}
            _fill(whole, sums)
            return Counts(
                {key: row for key, row in whole.items() if any(row)},
                {(*row[2:4], row["value"], row["day"]): tuple(row)[6:] for row in days},
                {(*row[2:4], row["value"], row["month"]): tuple(row)[6:] for row in months},
                quarters,
            )

        return await self.database.transaction(work, read_only=True)

    async def check(self) -> Counts:
        """Whether all sums are right, wherever they stand."""
        found = await self.found()
        assert found.sums == expected(self.committed, self.summarised)
        days: dict[Any, tuple[int, ...]] = {}
        months: Counter[tuple[Any, ...]] = Counter()
        for (
            _,
            _,
            *key,
            day,
            value,
            at,
            clicked,
            viewed,
            bots,
            _,
            before,
            after,
            _,
        ) in found.quarters:
            days[(*key, value, day)] = (clicked[-1], viewed[-1], bots[-1], before[-1])
            assert before[-1] == after[0]
            assert at == sorted(set(at))
            for column, count in enumerate(days[(*key, value, day)]):
                months[(*key, value, day.replace(day=1), column)] += count
        assert found.days == days
        assert {(*key, n): row[n] for key, row in found.months.items() for n in range(4)} == months
        return found


def _add(sums: Counter[tuple[Any, ...]], key: tuple[Any, ...], counts: Iterable[int]) -> None:
    for column, count in enumerate(counts):
        sums[(*key, column)] += count


def _fill(whole: Sums, sums: Counter[tuple[Any, ...]]) -> None:
    """Add the counts by key and column to the rows of `whole`."""
    for (link_id, dimension, value, second, column), count in sums.items():
        key = (link_id, dimension, value, second)
        row = whole.get(key, (0, 0, 0))
        whole[key] = (*row[:column], count, *row[column + 1 :])


def expected(committed: list[Click], summarised: list[Click]) -> Sums:
    found: Counter[tuple[Any, ...]] = Counter()
    for key, counts in rollups(committed):
        for of in (key.link_id, ALL_LINKS):
            _add(found, (of, 0, "", key.time_bucket_us // 1_000_000), counts)
    for one, sums in count_by_dimension(summarised).items():
        row = (sums.clicks, sums.views, sums.bots)
        _add(found, (one.link_id, one.dimension, one.value, one.bucket_us // 1_000_000), row)
    whole: Sums = {}
    _fill(whole, found)
    return {key: counts for key, counts in whole.items() if any(counts)}


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    await in_asyncio(_profile, database_url)
    database = await Database.open(
        database_url, role="waypost_aggregator", size=4, query_timeout_ms=10_000
    )
    yield Place(database)
    await database.close()


async def _profile(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SET search_path = waypost; SET session_replication_role = replica; "
            "INSERT INTO tenants (id, name) VALUES (1, 'one'); "
            "INSERT INTO profiles (tenant_id, id, handle, title, created_at) "
            "VALUES (1, 2, 'ada', 'Ada', now() - interval '1 year')"
        )
    finally:
        await connection.close()


def days_of(count: int = 4) -> list[ProfileDay]:
    return [ProfileDay(TENANT, PROFILE, TODAY - timedelta(days=n)) for n in range(count)]


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of everything may go on beyond midnight."""
    day = datetime.now(UTC).date()
    midnight = datetime.combine(day, datetime.min.time(), UTC)
    monkeypatch.setattr(sys.modules[__name__], "TODAY", day)
    monkeypatch.setattr(sys.modules[__name__], "MIDNIGHT_US", int(midnight.timestamp()) * 1_000_000)


@pytest.mark.parametrize("seed", range(3))
async def test_no_step_changes_a_sum(
    place: Place, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", chance.choice([20, 5000]))
    monkeypatch.setattr(compaction, "ROLLUPS_AT_ONCE", chance.choice([7, 5000]))
    rebuild = DayRebuild(place.database)
    await place.commit(clicks(chance, 30))
    for _ in range(7):
        match chance.choice(["commit", "summarise", "compact", "compact", "rebuild"]):
            case "commit":
                await place.commit(clicks(chance, 20))
            case "summarise":
                await place.summarise()
            case "compact":
                await compact(place.database, lambda done, of: None)
            case "rebuild":
                await rebuild.rebuild(chance.choice(days_of()))
        await place.check()


async def test_a_compacted_day_is_what_its_clicks_say(place: Place) -> None:
    """Against arrays made by plain loops, for any quarter of an hour to begin or end at."""
    chance = random.Random(5)
    told: list[tuple[int, int]] = []
    await place.add(clicks(chance, 120))
    assert await compact(place.database, lambda done, of: told.append((done, of))) == 3
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    await place.add(clicks(chance, 40))
    await compact(place.database, lambda done, of: None)
    found = await place.check()
    assert not [key for key in found.days if key[3] == TODAY]
    visitors: dict[tuple[Any, ...], set[int]] = {}
    for one, sums in count_by_dimension(place.summarised).items():
        at = one.bucket_us % DAY_US // TIME_BUCKET_US
        day = datetime.fromtimestamp(one.bucket_us / 1e6, UTC).date()
        if day != TODAY and sums.visitors:
            visitors[one.link_id, one.dimension, one.value, day, at] = sums.visitors
    checked = 0
    for (
        _,
        _,
        link_id,
        dimension,
        day,
        value,
        at,
        _,
        _,
        _,
        alone,
        before,
        after,
        _,
    ) in found.quarters:
        of = [visitors.get((link_id, dimension, value, day, one), set()) for one in at]
        assert alone == [len(one) for one in of]
        assert before == [len(set().union(*of[: n + 1])) for n in range(len(of))]
        assert after == [len(set().union(*of[n:])) for n in range(len(of))]
        checked += sum(map(len, of))
    assert checked > 1000


ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Pacific/Kiritimati")


async def test_any_zones_days_are_those_of_the_clicks_before_and_after(
    place: Place, database_url: str
) -> None:
    """As the statistics read them: live, while days are compacted, and with clicks that came late."""
    chance = random.Random(11)
    app = await Database.open(database_url, role="waypost_app", size=1, query_timeout_ms=10_000)
    reader = PostgresStatsReader(app)

    async def check() -> None:
        for tz in ZONES:
            for dimension in (None, Dimension.OS):
                await _compare(reader, place.summarised, tz, dimension)

    await place.add(clicks(chance, 150))
    await check()
    for one in days_of()[:0:-1]:
        await compact_day(place.database, one)
        await check()
    await place.add(clicks(chance, 60))
    await check()
    await compact(place.database, lambda done, of: None)
    await check()
    await app.close()


async def _compare(
    reader: PostgresStatsReader, counted: list[Click], tz: str, dimension: Dimension | None
) -> None:
    start = datetime.combine(TODAY - timedelta(days=5), datetime.min.time(), UTC)
    query = StatsQuery(
        start=start, end=start + timedelta(days=8), interval="day", tz=tz,
        groups=(dimension,) if dimension else (), metrics=("clicks", "views", "bots", "visitors"),
    )  # fmt: skip
    stats = await reader.stats(TENANT, PROFILE, query)
    found = {
        (row.time.date() if row.time else None, *row.values): (row.clicks, row.views, row.bots)
        for row in stats.rows
        if row.clicks or row.views or row.bots
    }
    expected: dict[tuple[Any, ...], list[int]] = {}
    for one in counted:
        judged = one.classification & CLASS_MASK
        if judged not in BOT_CLASSES | COUNTED_CLASSES:
            continue
        day = datetime.fromtimestamp(one.at_us / 1e6, ZoneInfo(tz)).date()
        values = [value for of, value in dimension_values(one) if of == dimension]
        counts = expected.setdefault((day, *values), [0, 0, 0])
        counts[2 if judged in BOT_CLASSES else one.kind != ClickKind.CLICK] += 1
    assert found == {key: tuple(counts) for key, counts in expected.items()}, (tz, dimension)


async def test_a_crash_in_the_midst_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROWS_AT_ONCE", 30)
    await place.add(clicks(random.Random(1), 60))
    original, calls = compaction._put, 0

    async def put(connection: Connection, one: ProfileDay, news: Any) -> None:
        nonlocal calls
        calls += 1
        await original(connection, one, news)
        if calls % 3 == 2:
            raise RuntimeError("killed")

    monkeypatch.setattr(compaction, "_put", put)
    crashes = 0
    while True:
        try:
            await compact(place.database, lambda done, of: None)
            break
        except RuntimeError:
            crashes += 1
            if crashes % 5 == 1:
                await place.check()
    assert crashes > 5
    await place.check()


async def test_what_is_live_may_be_so_much_that_looking_at_it_takes_long(
    place: Place, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.add(clicks(random.Random(1), 20))
    slowly = "WITH slowly AS MATERIALIZED (SELECT pg_sleep(0.7)) SELECT found.* FROM slowly, ({}) AS found"
    looks = {name: slowly.format(compaction._SQL[name]) for name in ("profile_days", "groups")}
    monkeypatch.setattr(compaction, "_SQL", {**compaction._SQL, **looks})
    database = await Database.open(
        database_url, role="waypost_aggregator", size=1, query_timeout_ms=500
    )
    try:
        assert await compact(database, lambda done, of: None, TODAY - timedelta(days=2)) == 1
    finally:
        await database.close()
    await place.check()


async def test_folds_go_on_while_a_day_is_compacted_and_counted_anew(place: Place) -> None:
    """Today, where everything happens at once."""
    chance = random.Random(3)
    rebuild, rounds = DayRebuild(place.database), 12
    await place.add(clicks(chance, 30, 0))
    today = days_of(1)[0]

    done = False

    async def fold_on() -> None:
        nonlocal done
        for number in range(rounds):
            await place.commit(clicks(chance, 10, 0))
            if number % 2:
                await place.summarise()
        done = True

    async def compact_on() -> None:
        while not done:
            await compact_day(place.database, today)

    async def rebuild_on() -> None:
        while not done:
            await rebuild.rebuild(today)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fold_on)
        nursery.start_soon(compact_on)
        nursery.start_soon(rebuild_on)
    await place.check()
    await place.summarise()
    await place.check()


async def test_a_rebuilt_day_mends_what_was_wrong(place: Place) -> None:
    await place.add(clicks(random.Random(7), 60))
    await compact(place.database, lambda done, of: None)
    right = await place.check()
    for table in ("dimension_days", "dimension_months", "dimension_quarters", "rollups"):
        await place.database.transaction(
            lambda connection, table=table: connection.execute(f"DELETE FROM {table}")  # type: ignore[misc]
        )
    rebuild = DayRebuild(place.database)
    assert await rebuild.profiles(days_of()[1].day, "ada") == days_of()[1:2]
    told = await dimension_counted_at(place)
    for one in days_of():
        await rebuild.rebuild(one)
    assert await dimension_counted_at(place) > told  # or polls would hear that nothing is new
    await place.check()
    await compact(place.database, lambda done, of: None)
    assert (await place.check()).days == right.days


async def dimension_counted_at(place: Place) -> datetime:
    query = "SELECT max(dimension_counted_at) FROM journals"
    found: datetime = await place.database.transaction(
        lambda connection: connection.fetchval(query)
    )
    return found


async def test_what_is_judged_anew_is_counted_anew(place: Place) -> None:
    old = [
        Click(
            ClickKind.CLICK, verdict, MIDNIGHT_US - DAY_US // 2, TENANT, PROFILE, 7, agent,
            b"https://www.instagram.com/", b"de-AT", b"visitor1",
        )
        for verdict, agent in [
            (VisitorClass.UNCLASSIFIED, CRAWLER), (VisitorClass.HUMAN, CRAWLER), (VisitorClass.BOT, AGENTS[2]),
            (VisitorClass.PREFETCH, AGENTS[2]), (VisitorClass.HEAD, AGENTS[2]), (VisitorClass.UNCLASSIFIED, b""),
        ]
    ]  # fmt: skip
    new = [
        one._replace(classification=verdict | RULES_VERSION << 3)
        for one, verdict in zip(
            old,
            [
                VisitorClass.BOT,
                VisitorClass.BOT,
                VisitorClass.HUMAN,
                VisitorClass.PREFETCH,
                VisitorClass.HEAD,
                VisitorClass.TOOL,
            ],
            strict=True,
        )
    ]
    await place.add(old)
    await compact(place.database, lambda done, of: None)
    await place.database.transaction(
        lambda connection: connection.execute(
            "UPDATE clicks SET browser = 'Netscape', source = 'AOL'"
        )
    )
    rebuild, yesterday = DayRebuild(place.database), days_of()[1]
    assert await rebuild.reclassify(yesterday) == len(old)
    place.committed, place.summarised = new, list(new)
    await place.check()
    assert await rebuild.reclassify(yesterday) == 0
    assert await rebuild.reclassify(yesterday, everything=True) == len(old)
    await place.check()
    late = [one._replace(user_agent=CRAWLER, classification=VisitorClass.HUMAN) for one in old[:1]]
    await place.commit(late)
    assert await rebuild.reclassify(yesterday) == 0, (
        "what is still to be summarised stays as it was judged"
    )
    await place.summarise()
    await place.check()


async def test_raw_clicks_go_when_their_time_is_over(place: Place, database_url: str) -> None:
    """Of profiles that keep them for 2 and 5 days; a day that nobody keeps goes as a whole."""

    async def rows(of: int) -> list[date]:
        query = (
            "SELECT DISTINCT (at AT TIME ZONE 'UTC')::date AS day FROM clicks WHERE profile_id = $1"
        )
        found = await place.database.transaction(lambda connection: connection.fetch(query, of))
        return sorted(row["day"] for row in found)

    def before(*days: int) -> list[date]:
        return sorted(TODAY - timedelta(days=n) for n in days)

    made = "".join(f"SELECT waypost.make_click_partition(current_date - {n});" for n in range(3, 8))
    setup = f"""SET search_path = waypost; SET session_replication_role = replica; SET timezone = 'UTC';
        SELECT ensure_click_partitions(1); SET ROLE waypost_owner; {made} RESET ROLE;
        UPDATE profiles SET raw_retention_days = 2;
        INSERT INTO profiles (tenant_id, id, handle, title, raw_retention_days, created_at)
        VALUES (1, 3, 'bob', 'Bob', 5, now() - interval '1 year')"""
    await in_asyncio(_execute, database_url, setup)
    one = clicks(random.Random(1), 1)[0]
    old = [
        one._replace(at_us=MIDNIGHT_US - n * DAY_US + 5, profile_id=of)
        for n in range(10)
        for of in (PROFILE, 3)
    ]
    await place.add(old)
    assert await DailyAggregation(place.database).delete_raw() == 2
    assert await rows(PROFILE) == before(0, 1, 2)
    assert await rows(3) == before(0, 1, 2, 3, 4, 5)
    rebuild = DayRebuild(place.database)
    with pytest.raises(RebuildError, match="kept from"):
        await rebuild.rebuild(days_of()[3])
    # Kept for longer again: what is gone stays gone.
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 5")
    with pytest.raises(RebuildError, match="kept from"):
        await rebuild.rebuild(days_of()[3])
    await rebuild.rebuild(days_of()[2])
    # Nobody kept these, which is noted of nobody by name.
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 9")
    for of in (PROFILE, 3):
        with pytest.raises(RebuildError, match="kept from"):
            await rebuild.rebuild(ProfileDay(TENANT, of, TODAY - timedelta(days=6)))
    await rebuild.rebuild(ProfileDay(TENANT, 3, TODAY - timedelta(days=5)))
    await in_asyncio(_execute, database_url, "UPDATE waypost.profiles SET raw_retention_days = 5")
    assert await DailyAggregation(place.database).delete_raw() == 0
    await DailyAggregation(place.database).run()
    assert await rows(3) == before(0, 1, 2, 3, 4, 5)


async def test_user_agents_go_with_the_last_clicks_that_have_them(
    place: Place, database_url: str
) -> None:
    """Here nobody keeps clicks for more than two days."""
    one = clicks(random.Random(1), 1)[0]._replace(at_us=MIDNIGHT_US)
    await place.commit([one._replace(user_agent=b"agent %d" % n) for n in range(6)])
    old = """UPDATE waypost.profiles SET raw_retention_days = 2;
        UPDATE waypost.user_agents SET seen = (now() AT TIME ZONE 'UTC')::date - right(text, 1)::int"""
    await in_asyncio(_execute, database_url, old)

    async def texts() -> list[str]:
        query = "SELECT text FROM user_agents ORDER BY text"
        found = await place.database.transaction(lambda connection: connection.fetch(query))
        return [row["text"] for row in found]

    await DailyAggregation(place.database).delete_raw()
    assert await texts() == ["agent 0", "agent 1", "agent 2", "agent 3"]


async def test_days_that_are_over_are_indexed(place: Place, database_url: str) -> None:
    await in_asyncio(_execute, database_url, "SELECT waypost.ensure_click_partitions(1)")
    assert await DailyAggregation(place.database).index() == 1
    assert await DailyAggregation(place.database).index() == 0


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

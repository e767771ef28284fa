"""Settling of deltas: whatever is merged, packed, counted in tables or compacted, every answer stays exact."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from engine.clicks.click import Click
from engine.clicks.record_items import EXPOSURES, VariantRef, item, pack_variant_refs
from engine.common.errors import UnavailableError
from engine.stats.packed.packed_clicks import decode, encode
from engine.stats.profile_day import ProfileDay
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from engine.stats.result import Stats
from storage.bridge import in_asyncio
from storage.clicks.ledger import PostgresClickLedger
from storage.postgres.database import Connection, Database
from storage.stats import settling
from storage.stats.compaction import compact
from storage.stats.daily import DailyAggregation
from storage.stats.memory_stats import counted, moment
from storage.stats.months import pack_months
from storage.stats.reader import PostgresStatsReader
from storage.stats.rebuild import DayRebuild
from storage.stats.settling import settle
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import batch
from tests.kit.stats_database import add_profile, days_with_deltas, random_clicks

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

TENANT, PROFILE = 1, 2
QUESTIONS = 6
VARIANTS = [[VariantRef(9, 1, 0), VariantRef(8, 2, 1)], [VariantRef(9, 1, 1)], []]
ZONES = ["UTC", "Europe/Rome", "Asia/Kathmandu", "America/Havana", "Australia/Lord_Howe"]
GROUPS = [
    "country",
    "city",
    "browser",
    "referrer",
    "source",
    "utm_source",
    "kind",
    "link",
    "variant",
]
FILTERS = [
    ("filter[country]", "DE"), ("filter[country]!", "DE"), ("filter[city]~", "m"), ("filter[link]", "5"),
    ("filter[link]!", "6"), ("filter[source]", ""), ("filter[kind]", "human"), ("filter[browser]", "Chrome"),
]  # fmt: skip


class Counting(NamedTuple):
    """Both ends of counting over one database, and the clicks that were folded."""

    ledger: PostgresClickLedger
    aggregator: Database
    reader: PostgresStatsReader
    clicks: list[Click]

    async def fold(self, clicks: list[Click]) -> None:
        await self.ledger.register(uuid4())
        (lease,) = await self.ledger.lease(str(uuid4()), 1, 60)
        await self.ledger.commit(lease, [batch(1, clicks)])
        self.clicks.extend(clicks)


@pytest.fixture
async def counting(database_url: str) -> AsyncIterator[Counting]:
    await in_asyncio(add_profile, database_url)
    aggregator = await Database.open(
        database_url, role="waypost_aggregator", size=2, query_timeout_ms=5_000
    )
    app = await Database.open(database_url, role="waypost_app", size=1, query_timeout_ms=5_000)
    yield Counting(PostgresClickLedger(aggregator), aggregator, PostgresStatsReader(app), [])
    await aggregator.close()
    await app.close()


def some_clicks(dice: random.Random, count: int, first: datetime, days: float) -> list[Click]:
    return [
        one._replace(items=one.items + item(EXPOSURES, pack_variant_refs(dice.choice(VARIANTS))))
        for one in random_clicks(dice, count, first, days)
    ]


def random_query(dice: random.Random, first: datetime, now: datetime) -> StatsQuery:
    """Return a query of a random period, with random groups, filters and order."""
    ends = sorted(dice.sample(range(int((now - first) / timedelta(minutes=15))), 2))
    start, end = (first + timedelta(minutes=15 * n) for n in ends)
    groups = dice.sample(GROUPS, dice.choice([0, 1, 1, 1, 2]))
    if "variant" in groups:
        groups = ["variant"]
    by_time = not groups or (len(groups) < 2 and dice.random() < 0.3)
    pairs = [
        ("from", start.isoformat().replace("+00:00", "Z")),
        ("to", end.isoformat().replace("+00:00", "Z")),
        ("tz", dice.choice(ZONES)),
        (
            "interval",
            dice.choice(["day", "week", "month"] if end - start > timedelta(days=8) else ["hour"]),
        ),
        ("group", ",".join((["time"] if by_time else []) + groups)),
        ("metrics", "clicks,views,bots,visitors"),
    ]
    if groups and dice.random() < 0.5:
        pairs.append(("order", dice.choice(["-clicks", "value", "-views", "bots"])))
    if groups:
        pairs.append(("limit", "100"))
    if dice.random() < 0.5 and "variant" not in groups:
        pairs.append(dice.choice(FILTERS))
    return parse_query(pairs, now)


def plain(answer: Stats) -> list[object]:
    return [(row.time, row.values, row.clicks, row.views, row.bots) for row in answer.rows]


async def ask(
    counting: Counting, dice: random.Random, first: datetime, now: datetime, *, exact_visitors: bool
) -> None:
    for _ in range(QUESTIONS):
        query = random_query(dice, first, now)
        answer = await counting.reader.stats(TENANT, PROFILE, query)
        clicks = [c for c in counting.clicks if query.start <= moment(c) < query.end]
        expected = counted(clicks, query, None)
        assert sorted(plain(answer), key=repr) == sorted(plain(expected), key=repr), query
        totals, right = answer.totals, expected.totals
        assert (totals.clicks, totals.views, totals.bots) == (right.clicks, right.views, right.bots)
        # Sketches of several values, and of late clicks beside compacted ones, cannot be told apart.
        if exact_visitors and all(filter_.operator == "=" for filter_ in query.filters):
            assert totals.visitors == right.visitors, query
        assert (totals.visitors or 0) >= (right.visitors or 0)


NOW = datetime(2026, 5, 10, 9, 40, tzinfo=UTC)
FIRST = NOW - timedelta(days=20)
DAYS = [(FIRST + timedelta(days=n)).date() for n in range(21)]


async def steps(counting: Counting, dice: random.Random) -> bool:
    """Take some steps that may change where clicks are counted. Returns whether visitors stay exact."""
    match dice.choice(["settle", "settle", "settle", "compact", "months", "rebuild"]):
        case "settle":
            days = await days_with_deltas(counting.aggregator)
            pack_few = dice.random() < 0.5
            await settle(counting.aggregator, dice.sample(days, len(days) // 2), pack_few=pack_few)
        case "compact":
            await compact(counting.aggregator, lambda done, of: None)
            return False
        case "months":
            await pack_months(counting.aggregator, DAYS[-1], lambda done: None)
        case "rebuild":
            for day in dice.sample(DAYS, 3):
                rebuild = DayRebuild(counting.aggregator)
                await rebuild.rebuild(ProfileDay(TENANT, PROFILE, day))
    return True


async def ask_and_settle(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, seed: int, rounds: int
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(settling, "HOT_CLICKS", 40)
    today = {**settling._SQL, "today": f"SELECT date '{NOW:%Y-%m-%d}'"}
    monkeypatch.setattr(settling, "_SQL", today)
    exact = True
    for _ in range(rounds):
        await counting.fold(some_clicks(dice, dice.choice([1, 5, 60]), FIRST, 20))
        if dice.random() < 0.5:
            # A burst makes its day hot.
            day = FIRST + timedelta(days=dice.randrange(20))
            await counting.fold(some_clicks(dice, 50, day, 0.02))
        await ask(counting, dice, FIRST, NOW, exact_visitors=exact)
        exact = await steps(counting, dice) and exact
        await ask(counting, dice, FIRST, NOW, exact_visitors=exact)


@pytest.mark.parametrize("seed", range(3))
async def test_every_answer_is_exact_while_deltas_are_settled(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    await ask_and_settle(counting, monkeypatch, seed, 5)


@pytest.mark.large
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3, 28))
async def test_three_thousand_answers_are_exact(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """120 questions of each seed."""
    await ask_and_settle(counting, monkeypatch, seed, 10)


async def test_a_month_is_packed_again_beside_a_hot_first_day(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(1)
    first = datetime(2026, 4, 1, tzinfo=UTC)
    after = datetime(2026, 5, 1, tzinfo=UTC)
    await counting.fold(some_clicks(dice, 60, first, 30))
    assert await pack_months(counting.aggregator, after.date(), lambda done: None) == 1
    monkeypatch.setattr(settling, "HOT_CLICKS", 9)
    await counting.fold(some_clicks(dice, 30, first, 0.9))
    await settle(counting.aggregator, await days_with_deltas(counting.aggregator))
    await counting.fold(some_clicks(dice, 8, first + timedelta(days=3), 20))
    assert await pack_months(counting.aggregator, after.date(), lambda done: None) == 1
    assert await pack_months(counting.aggregator, after.date(), lambda done: None) == 0
    for _ in range(5):
        await ask(counting, dice, first, after, exact_visitors=False)


async def test_visitors_of_a_packed_month_are_counted_once_when_many_clicks_come_late(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late clicks' day has so many that it would be hot, were its month not packed."""
    dice = random.Random(1)
    first = datetime(2026, 4, 1, tzinfo=UTC)
    early = some_clicks(dice, 30, first + timedelta(days=3), 0.9)
    await counting.fold(early)
    await counting.fold(some_clicks(dice, 9, first + timedelta(days=9), 9))
    assert await pack_months(counting.aggregator, DAYS[-1], lambda done: None) == 1
    monkeypatch.setattr(settling, "HOT_CLICKS", 9)
    late = [c._replace(at_us=c.at_us + 1, link_id=c.link_id) for c in early]
    await counting.fold(late)
    _, hot = await settle(counting.aggregator, await days_with_deltas(counting.aggregator))
    assert not hot
    for _ in range(5):
        await ask(counting, dice, first, first + timedelta(days=30), exact_visitors=True)


async def damage(connection: Connection) -> None:
    """Damage one delta in each way: its outside, its parts, and a column of them."""
    rows = await connection.fetch(
        "SELECT ctid::text AS place, data FROM waypost.click_deltas ORDER BY clicks"
    )
    packed = decode(rows[2]["data"])
    damaged = [
        b"z" + rows[0]["data"][1:9],
        b"r" + msgspec.msgpack.encode([1, 2]),
        encode(packed._replace(quarters=b"\x01\x00", clicks=packed.clicks + 7)),
    ]
    for row, data in zip(rows, damaged, strict=False):
        await connection.execute(
            "UPDATE waypost.click_deltas SET data = $2 WHERE ctid = $1::text::tid",
            row["place"],
            data,
        )


async def test_damaged_deltas_are_set_aside_until_their_day_is_rebuilt(
    counting: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(1)
    first = datetime(2026, 4, 1, tzinfo=UTC)
    for number in range(1, 5):
        await counting.fold(some_clicks(dice, 5 * number, first, 0.9))
    await counting.fold(some_clicks(dice, 30, first + timedelta(days=1), 0.9))
    await counting.aggregator.transaction(damage)
    store = settling.PostgresDeltaStore(counting.aggregator)
    days = await days_with_deltas(counting.aggregator)
    with pytest.raises(UnavailableError, match="damaged"):
        await ask(counting, dice, first, first + timedelta(days=1), exact_visitors=True)
    clicks, _ = await store.settle(days)
    assert 40 < clicks <= 50
    assert store.samples()[0].value == 3
    assert caplog.text.count("count the day again: waypost rebuild") == 3
    await ask(
        counting, dice, first + timedelta(days=1), first + timedelta(days=2), exact_visitors=True
    )
    await DayRebuild(counting.aggregator).rebuild(days[0])
    await ask(counting, dice, first, first + timedelta(days=2), exact_visitors=True)
    count = "SELECT count(*) FROM damaged_deltas"
    assert await counting.aggregator.transaction(lambda c: c.fetchval(count)) == 0


async def keep_raw_clicks(url: str, days: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"UPDATE waypost.profiles SET raw_retention_days = {days}")
    finally:
        await connection.close()


async def test_pseudonyms_leave_a_month_with_the_first_of_its_raw_clicks(
    counting: Counting, database_url: str
) -> None:
    """And its visitors stay as many as they were."""
    now = datetime.now(UTC)
    end = (now.replace(day=1) - timedelta(days=40)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    first = (end - timedelta(days=1)).replace(day=1)
    await counting.fold(some_clicks(random.Random(1), 60, first, 28))
    assert await pack_months(counting.aggregator, end.date(), lambda done: None) == 1

    async def kept() -> int:
        query = "SELECT count(pseudonyms) FROM click_segments"
        return int(
            await counting.aggregator.transaction(lambda connection: connection.fetchval(query))
        )

    days = (now.date() - first.date()).days
    for retention, pseudonyms in ((days, 1), (days - 1, 0)):
        await in_asyncio(keep_raw_clicks, database_url, retention)
        await DailyAggregation(counting.aggregator).delete_raw()
        assert await kept() == pseudonyms
        await ask(counting, random.Random(2), first, end, exact_visitors=True)


async def test_many_deltas_are_settled_some_at_a_time(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the segments of a hot day double, so that there are few."""
    monkeypatch.setattr(settling, "HOT_CLICKS", 9)
    monkeypatch.setattr(settling, "CLICKS_AT_ONCE", 10)
    dice = random.Random(1)
    first = datetime(2026, 4, 1, tzinfo=UTC)
    for _ in range(24):
        await counting.fold(some_clicks(dice, 12, first, 0.9))
    days = await days_with_deltas(counting.aggregator)
    assert len(days) == 1
    transactions = []
    transaction = counting.aggregator.transaction
    monkeypatch.setattr(
        counting.aggregator,
        "transaction",
        lambda work: transactions.append(work) or transaction(work),  # type: ignore[func-returns-value]
    )
    clicks, hot = await settle(counting.aggregator, days)
    monkeypatch.undo()
    assert hot == set(days)
    assert 20 <= len(transactions) <= 25
    rows = await counting.aggregator.transaction(
        lambda connection: connection.fetch("SELECT clicks, in_tables FROM click_segments")
    )
    assert sum(row["clicks"] for row in rows) == clicks
    assert all(row["in_tables"] for row in rows)
    assert len(rows) <= 6
    for _ in range(5):
        await ask(counting, dice, first, first + timedelta(days=1), exact_visitors=False)

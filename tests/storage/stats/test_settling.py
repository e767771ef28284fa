"""Settling of deltas: whatever is merged, packed, counted in tables or compacted, every answer stays exact."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engine.common.errors import UnavailableError
from engine.stats.packed.packed_clicks import decode, encode
from engine.stats.profile_day import ProfileDay
from storage.bridge import in_asyncio
from storage.postgres.database import Connection
from storage.stats import settling
from storage.stats.compaction import compact
from storage.stats.daily import DailyAggregation
from storage.stats.months import pack_months
from storage.stats.rebuild import DayRebuild
from storage.stats.settling import EVENT_PART, settle
from tests.kit.hosted import hosted_run
from tests.kit.random_questions import (
    PROFILE,
    TENANT,
    Counting,
    ask,
    some_clicks,
)
from tests.kit.stats_database import days_with_deltas, keep_raw_clicks

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


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
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 30)
    today = {**settling._SQL, "today": f"SELECT date '{NOW:%Y-%m-%d}'"}
    monkeypatch.setattr(settling, "_SQL", today)
    exact = True
    for _ in range(rounds):
        # Days of as many clicks are hot, or thin, or one after the other.
        monkeypatch.setattr(settling, "MAX_THIN_CLICKS", dice.choice([0, 150, 10_000]))
        await counting.fold(some_clicks(dice, dice.choice([1, 5, 60]), FIRST, 20))
        if dice.random() < 0.5:
            # A burst makes its day a large one; it may be today.
            day = FIRST + timedelta(days=dice.randrange(1, 21) - 0.1)
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
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
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
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
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
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
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
    segments = await _segments(counting)
    assert sum(clicks for clicks, *_ in segments) == clicks
    events = [part for _, in_tables, part in segments if not in_tables]
    assert len(segments) - len(events) <= 6
    assert len(events) <= 6
    await counting.fold(some_clicks(dice, 20, first, 0.9))
    await settle(counting.aggregator, days)
    events = [part for _, in_tables, part in await _segments(counting) if not in_tables]
    assert events == [EVENT_PART, EVENT_PART + 1]
    # The day is over, so its own events become one segment: its visitors can be told apart for ever.
    monkeypatch.setattr(settling, "MAX_MERGED_EVENTS", 1)
    await settle(counting.aggregator, days)
    assert len([part for _, in_tables, part in await _segments(counting) if not in_tables]) == 2
    monkeypatch.undo()
    await settle(counting.aggregator, days)
    assert [part for _, in_tables, part in await _segments(counting) if not in_tables] == [
        EVENT_PART
    ]
    for _ in range(5):
        await ask(counting, dice, first, first + timedelta(days=1), exact_visitors=False)


async def _segments(counting: Counting) -> list[tuple[int, bool, int]]:
    """Return the clicks of each segment, whether it is in tables, and its part."""
    rows = await counting.aggregator.transaction(
        lambda connection: connection.fetch("SELECT clicks, in_tables, part FROM click_segments")
    )
    return [tuple(row) for row in rows]


async def test_a_hot_day_is_counted_in_tables_once_that_pays(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then its deltas are merged; when the day is over, however few they are, they are counted."""
    monkeypatch.setattr(settling, "HOT_CLICKS", 40)
    monkeypatch.setattr(settling, "MAX_THIN_CLICKS", 0)
    monkeypatch.setattr(settling, "HOT_DELTA_CLICKS", 30)
    first = datetime(2026, 5, 10, tzinfo=UTC)
    dice, day = random.Random(1), [ProfileDay(TENANT, PROFILE, first.date())]

    async def settle_on(today: datetime, *folds: int) -> list[int]:
        """Return the clicks of each delta that is left."""
        pinned = {**settling._SQL, "today": f"SELECT date '{today:%Y-%m-%d}'"}
        monkeypatch.setattr(settling, "_SQL", pinned)
        for clicks in folds:
            await counting.fold(some_clicks(dice, clicks, first, 0.4))
        _, hot = await settle(counting.aggregator, day)
        assert hot == set(day)
        rows = await counting.aggregator.transaction(
            lambda connection: connection.fetch("SELECT clicks FROM click_deltas")
        )
        await ask(counting, dice, first, first + timedelta(days=1), exact_visitors=False)
        return [row["clicks"] for row in rows]

    assert await settle_on(first, 60) == []
    (few,) = await settle_on(first, 9, 9)
    assert 0 < few <= 18
    assert await settle_on(first, 40) == []
    assert len(await settle_on(first, 5)) == 1
    assert await settle_on(first + timedelta(days=1)) == []

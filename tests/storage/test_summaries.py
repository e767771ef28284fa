"""The contract of summarising, in memory and on Postgres: counts by dimension, each click once, and their
sketches, whoever else writes."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import trio

from engine.batch import Batch
from engine.click import Click, Kind, Verdict
from engine.dimension import ALL_LINKS, OTHER, Dimension
from engine.errors import StaleLeaseError
from engine.extra import EXPOSURES, PLACE, UTM, Arm, item, pack_arms
from engine.gathering import Gathering, Vocabulary
from engine.observation import Observed
from engine.ports import ClickLedger, Position
from engine.ports_summaries import Gathered, Move
from engine.sketch import merged
from engine.summary import CAP_OF_A_LINK, CAP_OF_MANY, SummaryKey, fold, observed
from storage import ledger, summaries
from storage.experiment_counts import store_observed
from storage.ledger import PostgresClickLedger
from storage.memory.ledger import MemoryClickLedger, MemoryCounts
from storage.postgres import Connection, Database
from tests.hosted import hosted_run
from tests.storage.shipped import NOW_US, batch, click

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

Found = dict[SummaryKey, tuple[int, int, int, int]]
MIXED = [
    click(link_id=5 + n % 2, verdict=[0, 1, 2, 3, 5, 6][n % 6], user_agent=b"agent %d" % (n % 3))._replace(
        kind=[Kind.CLICK, Kind.VIEW][n % 4 == 0],
        at_us=NOW_US + n * 200_000_000,
        visitor=b"visitor%d" % (n % 5) if n % 3 else b"",
        extra=item(PLACE, b"EU\x1fDE\x1fBY\x1fMunich") if n % 2 else b"",
    )
    for n in range(24)
]  # fmt: skip


class Bench:
    """A ledger and a look into its tables."""

    def __init__(
        self, ledger: ClickLedger, counts: MemoryCounts, database: Database | None
    ) -> None:
        self.ledger = ledger
        self.counts = counts
        self.database = database

    async def leased(self) -> Position:
        await self.ledger.register(uuid4())
        positions = await self.ledger.lease("one", 99, 60)
        return positions[-1]

    async def committed(self, position: Position, clicks: list[Click]) -> tuple[Position, Batch]:
        taken = batch(position.sequence + 1, clicks)
        return await self.ledger.commit(position, [taken]), taken

    async def found(self) -> Found:
        """Counts, and visitors as they are estimated, which is exact here."""
        if self.database is None:
            return {
                key: (one.clicks, one.views, one.bots, len(one.visitors))
                for key, one in self.counts.sums.items()
            }
        rows = await self.database.run(
            lambda connection: connection.fetch(
                "SELECT tenant_id, profile_id, link_id, dimension, "
                "(extract(epoch FROM bucket) * 1000000)::bigint, value, clicks, views, bots, visitors "
                "FROM dimension_rollups"
            )
        )
        return {
            SummaryKey(*row[:6]): (*row[6:9], merged([row["visitors"]] if row["visitors"] else []))
            for row in rows
        }


@pytest.fixture
async def bench(place: str) -> AsyncIterator[Bench]:
    counts = MemoryCounts()
    if not place:
        yield Bench(MemoryClickLedger(counts, trio.current_time), counts, None)
        return
    database = await opened(place)
    yield Bench(PostgresClickLedger(database), counts, database)
    await database.close()


async def opened(url: str) -> Database:
    return await Database.open(url, role="waypost_aggregator", size=4, query_timeout_ms=5_000)


def gathered(position: Position, *batches: Batch) -> Gathering:
    gathering = Gathering(Vocabulary())
    for one in batches:
        gathering.add(position.journal_id, one, 0)
    return gathering


def expected(clicks: list[Click]) -> Found:
    return {
        key: (one.clicks, one.views, one.bots, len(one.visitors))
        for key, one in fold(clicks).items()
    }


def move(position: Position, reached: int) -> Move:
    return Move(position.journal_id, position.summarised, reached, position.token)


async def test_sums_and_move_are_one(bench: Bench) -> None:
    position = await bench.leased()
    position, first = await bench.committed(position, MIXED[:10])
    assert (await bench.ledger.watermark(position.journal_id)).committed == 0
    await bench.ledger.summarise([move(position, 10)], gathered(position, first))
    assert (await bench.ledger.watermark(position.journal_id)).committed == 10
    position, second = await bench.committed(position, MIXED[10:])
    assert (await bench.ledger.watermark(position.journal_id)).committed == 10
    position = position._replace(summarised=10)
    await bench.ledger.summarise([move(position, 24)], gathered(position, second))
    assert await bench.found() == expected(MIXED)
    (leased,) = await bench.ledger.lease("one", 1, 60)
    assert leased == position._replace(summarised=24)


async def test_several_journals_at_once(bench: Bench) -> None:
    moves, gathering = [], Gathering(Vocabulary())
    for part in (MIXED[:7], MIXED[7:9], MIXED[9:]):
        position, taken = await bench.committed(await bench.leased(), part)
        gathering.add(position.journal_id, taken, 0)
        moves.append(move(position, len(part)))
    await bench.ledger.summarise(moves, gathering)
    assert await bench.found() == expected(MIXED)


@pytest.mark.parametrize("wrong", ["position", "token", "ahead"])
async def test_who_is_not_where_it_was_counts_nothing_and_is_named(
    bench: Bench, wrong: str
) -> None:
    good, taken = await bench.committed(await bench.leased(), MIXED)
    bad, _ = await bench.committed(await bench.leased(), MIXED)
    moves = {
        "position": move(bad, 24)._replace(sequence=3),
        "token": move(bad, 24)._replace(token=bad.token + 1),
        "ahead": move(bad, 25),
    }
    with pytest.raises(StaleLeaseError) as stale:
        await bench.ledger.summarise([move(good, 24), moves[wrong]], gathered(good, taken))
    assert stale.value.journals == {bad.journal_id}
    assert await bench.found() == {}
    await bench.ledger.summarise([move(good, 24)], gathered(good, taken))
    with pytest.raises(StaleLeaseError):
        await bench.ledger.summarise([move(good, 24)], gathered(good, taken))
    assert await bench.found() == expected(MIXED)


async def test_a_batch_is_set_aside_only_where_all_before_it_is_summarised(bench: Bench) -> None:
    position, taken = await bench.committed(await bench.leased(), MIXED)
    poison = Batch(25, 30, b"?")
    with pytest.raises(StaleLeaseError):
        await bench.ledger.set_aside(position, poison, "poison")
    await bench.ledger.summarise([move(position, 24)], gathered(position, taken))
    position = await bench.ledger.set_aside(position, poison, "poison")
    assert (position.sequence, position.summarised) == (30, 30)
    assert (await bench.ledger.watermark(position.journal_id)).committed == 30


async def test_values_beyond_the_cap_are_together(bench: Bench) -> None:
    """The first to come stay, in this gathering and in later ones."""
    clicks = [
        click(link_id=5)._replace(
            extra=item(UTM, b"utm_campaign=c%d" % n), visitor=b"%08d" % (n + 1)
        )
        for n in range(CAP_OF_MANY + 20)
    ]
    position, first = await bench.committed(await bench.leased(), clicks[:30])
    await bench.ledger.summarise([move(position, 30)], gathered(position, first))
    named = clicks[0]._replace(
        extra=item(UTM, b"utm_campaign=" + OTHER.encode()), visitor=b"somebody"
    )
    position, second = await bench.committed(position, [*clicks, named, click(link_id=6)])
    position = position._replace(summarised=30)
    await bench.ledger.summarise([move(position, position.sequence)], gathered(position, second))
    for link_id, most in ((5, CAP_OF_A_LINK), (ALL_LINKS, CAP_OF_MANY)):
        of = {
            key.value: row
            for key, row in (await bench.found()).items()
            if key.link_id == link_id and key.dimension == Dimension.UTM_CAMPAIGN
        }
        own = len(clicks) - most
        assert len([value for value in of if value not in ("", OTHER)]) == most
        # A visitor may say so, too.
        assert of[OTHER] == (own + 1, 0, 0, own + 1)
        assert of["c0"] == (2, 0, 0, 1)
        assert sum(row[0] for row in of.values()) == len(clicks) + 31 + (link_id == ALL_LINKS)


async def test_experiments_are_counted_in_the_same_transaction(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Observed] = bench.counts.observed

    async def store(connection: Connection, observed: Observed) -> None:
        if not stored:
            stored.append(observed)
            raise ValueError("the first time it fails")
        await store_observed(connection, observed)

    monkeypatch.setattr(ledger, "store_observed", store)
    shown = item(EXPOSURES, pack_arms([Arm(7, 1, 0)]))
    clicks = [one._replace(extra=shown) for one in MIXED]
    position, taken = await bench.committed(await bench.leased(), clicks)
    if bench.database is not None:
        with pytest.raises(ValueError, match="the first time"):
            await bench.ledger.summarise([move(position, 24)], gathered(position, taken))
        assert await bench.found() == {}
    await bench.ledger.summarise([move(position, 24)], gathered(position, taken))
    assert await bench.found() == expected(clicks)
    assert stored == [observed(clicks)]


async def test_who_writes_at_once_loses_no_visitor(database_url: str) -> None:
    """Each reads a sketch, adds to it and writes it back."""
    database = await opened(database_url)
    writer = PostgresClickLedger(database)
    positions = []
    for number in range(4):
        await writer.register(uuid4())
        leased = await writer.lease(f"owner {number}", 1, 60)
        clicks = [
            click()._replace(visitor=b"%02d%06d" % (number + 1, n), verdict=Verdict.HUMAN)
            for n in range(50)
        ]
        taken = batch(1, clicks)
        positions.append((await writer.commit(leased[0], [taken]), taken))
    async with trio.open_nursery() as nursery:
        for position, taken in positions:
            nursery.start_soon(writer.summarise, [move(position, 50)], gathered(position, taken))
    found = await Bench(writer, MemoryCounts(), database).found()
    assert {row[3] for row in found.values()} == {200}
    await database.close()


async def test_more_rows_than_one_statement_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summaries, "ROWS_AT_ONCE", 7)
    database = await opened(database_url)
    bench = Bench(PostgresClickLedger(database), MemoryCounts(), database)
    position, taken = await bench.committed(await bench.leased(), MIXED)
    await bench.ledger.summarise([move(position, 24)], gathered(position, taken))
    assert await bench.found() == expected(MIXED)
    await database.close()


async def test_a_commit_does_not_wait_for_a_summary(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its last statement, a summary holds nothing that a commit needs."""
    database = await opened(database_url)
    bench = Bench(PostgresClickLedger(database), MemoryCounts(), database)
    position, taken = await bench.committed(await bench.leased(), MIXED)
    done: list[str] = []
    original = summaries.add

    async def slow(connection: Connection, gathered: Gathered) -> None:
        await original(connection, gathered)
        await connection.execute("SELECT pg_sleep(0.3)")

    monkeypatch.setattr(summaries, "add", slow)

    async def summarise() -> None:
        await bench.ledger.summarise([move(position, 24)], gathered(position, taken))
        done.append("summary")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(summarise)
        await trio.sleep(0.1)
        await bench.committed(position, MIXED)
        done.append("commit")
    assert done == ["commit", "summary"]
    await database.close()

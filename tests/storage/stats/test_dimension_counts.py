"""The contract of summarising, in memory and on Postgres: counts by dimension, each click once, and their
sketches, whoever else writes."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import trio

from engine.clicks.batch import Batch
from engine.clicks.click import Click, ClickKind, VisitorClass
from engine.clicks.dimension import ALL_LINKS, MAX_VALUES_OPEN_ENDED, OTHER, Dimension
from engine.clicks.record_items import EXPOSURES, PLACE, UTM, VariantRef, item, pack_variant_refs
from engine.common.errors import StaleLeaseError
from engine.experiments.increments import ExperimentIncrements
from engine.stats.click_buffer import ClickBuffer, ValueDictionary
from engine.stats.dimension_counts import (
    MAX_VALUES_PER_LINK,
    DimensionCountKey,
    count_by_dimension,
    experiment_increments,
)
from engine.stats.ledger_ports import BufferedClicks, ClickLedger, JournalLease, WatermarkAdvance
from engine.stats.sketch import union_size
from storage.clicks import ledger
from storage.clicks.ledger import PostgresClickLedger
from storage.clicks.memory_ledger import MemoryClickLedger, MemoryClickTables
from storage.experiments.counts import add_increments
from storage.postgres.database import Connection, Database
from storage.stats import dimension_counts
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import NOW_US, batch, click

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

Found = dict[DimensionCountKey, tuple[int, int, int, int]]
MIXED = [
    click(link_id=5 + n % 2, verdict=[0, 1, 2, 3, 5, 6][n % 6], user_agent=b"agent %d" % (n % 3))._replace(
        kind=[ClickKind.CLICK, ClickKind.VIEW][n % 4 == 0],
        at_us=NOW_US + n * 200_000_000,
        visitor_id=b"visitor%d" % (n % 5) if n % 3 else b"",
        items=item(PLACE, b"EU\x1fDE\x1fBY\x1fMunich") if n % 2 else b"",
    )
    for n in range(24)
]  # fmt: skip


class Bench:
    """A ledger and a look into its tables."""

    def __init__(
        self, ledger: ClickLedger, counts: MemoryClickTables, database: Database | None
    ) -> None:
        self.ledger = ledger
        self.counts = counts
        self.database = database

    async def leased(self) -> JournalLease:
        await self.ledger.register(uuid4())
        positions = await self.ledger.lease("one", 99, 60)
        return positions[-1]

    async def committed(
        self, position: JournalLease, clicks: list[Click]
    ) -> tuple[JournalLease, Batch]:
        taken = batch(position.folded + 1, clicks)
        return await self.ledger.commit(position, [taken]), taken

    async def found(self) -> Found:
        """Counts, and visitors as they are estimated, which is exact here."""
        if self.database is None:
            return {
                key: (one.clicks, one.views, one.bots, len(one.visitors))
                for key, one in self.counts.sums.items()
            }
        rows = await self.database.transaction(
            lambda connection: connection.fetch(
                "SELECT tenant_id, profile_id, link_id, dimension, "
                "(extract(epoch FROM bucket) * 1000000)::bigint, value, clicks, views, bots, visitors "
                "FROM dimension_counts"
            )
        )
        return {
            DimensionCountKey(*row[:6]): (
                *row[6:9],
                union_size([row["visitors"]] if row["visitors"] else []),
            )
            for row in rows
        }


@pytest.fixture
async def bench(place: str) -> AsyncIterator[Bench]:
    counts = MemoryClickTables()
    if not place:
        yield Bench(MemoryClickLedger(counts, trio.current_time), counts, None)
        return
    database = await opened(place)
    yield Bench(PostgresClickLedger(database), counts, database)
    await database.close()


async def opened(url: str) -> Database:
    return await Database.open(url, role="waypost_aggregator", size=4, query_timeout_ms=5_000)


def gathered(position: JournalLease, *batches: Batch) -> ClickBuffer:
    gathering = ClickBuffer(ValueDictionary())
    for one in batches:
        gathering.add(position.journal_id, one, 0)
    return gathering


def expected(clicks: list[Click]) -> Found:
    return {
        key: (one.clicks, one.views, one.bots, len(one.visitors))
        for key, one in count_by_dimension(clicks).items()
    }


def move(position: JournalLease, reached: int) -> WatermarkAdvance:
    return WatermarkAdvance(
        position.journal_id, position.dimension_counted, reached, position.fencing_token
    )


async def test_sums_and_move_are_one(bench: Bench) -> None:
    position = await bench.leased()
    position, first = await bench.committed(position, MIXED[:10])
    assert (await bench.ledger.watermarks(position.journal_id)).fully_counted == 0
    await bench.ledger.commit_dimension_counts([move(position, 10)], gathered(position, first))
    assert (await bench.ledger.watermarks(position.journal_id)).fully_counted == 10
    position, second = await bench.committed(position, MIXED[10:])
    assert (await bench.ledger.watermarks(position.journal_id)).fully_counted == 10
    position = position._replace(dimension_counted=10)
    await bench.ledger.commit_dimension_counts([move(position, 24)], gathered(position, second))
    assert await bench.found() == expected(MIXED)
    (leased,) = await bench.ledger.lease("one", 1, 60)
    assert leased == position._replace(dimension_counted=24)


async def test_several_journals_at_once(bench: Bench) -> None:
    moves, gathering = [], ClickBuffer(ValueDictionary())
    for part in (MIXED[:7], MIXED[7:9], MIXED[9:]):
        position, taken = await bench.committed(await bench.leased(), part)
        gathering.add(position.journal_id, taken, 0)
        moves.append(move(position, len(part)))
    await bench.ledger.commit_dimension_counts(moves, gathering)
    assert await bench.found() == expected(MIXED)


@pytest.mark.parametrize("wrong", ["position", "token", "ahead"])
async def test_who_is_not_where_it_was_counts_nothing_and_is_named(
    bench: Bench, wrong: str
) -> None:
    good, taken = await bench.committed(await bench.leased(), MIXED)
    bad, _ = await bench.committed(await bench.leased(), MIXED)
    moves = {
        "position": move(bad, 24)._replace(from_sequence=3),
        "token": move(bad, 24)._replace(fencing_token=bad.fencing_token + 1),
        "ahead": move(bad, 25),
    }
    with pytest.raises(StaleLeaseError) as stale:
        await bench.ledger.commit_dimension_counts(
            [move(good, 24), moves[wrong]], gathered(good, taken)
        )
    assert stale.value.journals == {bad.journal_id}
    assert await bench.found() == {}
    await bench.ledger.commit_dimension_counts([move(good, 24)], gathered(good, taken))
    with pytest.raises(StaleLeaseError):
        await bench.ledger.commit_dimension_counts([move(good, 24)], gathered(good, taken))
    assert await bench.found() == expected(MIXED)


async def test_a_batch_is_dead_lettered_only_where_all_before_it_is_counted(bench: Bench) -> None:
    position, taken = await bench.committed(await bench.leased(), MIXED)
    poison = Batch(25, 30, b"?")
    with pytest.raises(StaleLeaseError):
        await bench.ledger.dead_letter(position, poison, "poison")
    await bench.ledger.commit_dimension_counts([move(position, 24)], gathered(position, taken))
    position = await bench.ledger.dead_letter(position, poison, "poison")
    assert (position.folded, position.dimension_counted) == (30, 30)
    assert (await bench.ledger.watermarks(position.journal_id)).fully_counted == 30


async def test_values_beyond_the_cap_are_together(bench: Bench) -> None:
    """The first to come stay, in this gathering and in later ones."""
    clicks = [
        click(link_id=5)._replace(
            items=item(UTM, b"utm_campaign=c%d" % n), visitor_id=b"%08d" % (n + 1)
        )
        for n in range(MAX_VALUES_OPEN_ENDED + 20)
    ]
    position, first = await bench.committed(await bench.leased(), clicks[:30])
    await bench.ledger.commit_dimension_counts([move(position, 30)], gathered(position, first))
    named = clicks[0]._replace(
        items=item(UTM, b"utm_campaign=" + OTHER.encode()), visitor_id=b"somebody"
    )
    position, second = await bench.committed(position, [*clicks, named, click(link_id=6)])
    position = position._replace(dimension_counted=30)
    await bench.ledger.commit_dimension_counts(
        [move(position, position.folded)], gathered(position, second)
    )
    for link_id, most in ((5, MAX_VALUES_PER_LINK), (ALL_LINKS, MAX_VALUES_OPEN_ENDED)):
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
    stored: list[ExperimentIncrements] = bench.counts.experiment_increments

    async def store(connection: Connection, observed: ExperimentIncrements) -> None:
        if not stored:
            stored.append(observed)
            raise ValueError("the first time it fails")
        await add_increments(connection, observed)

    monkeypatch.setattr(ledger, "add_increments", store)
    shown = item(EXPOSURES, pack_variant_refs([VariantRef(7, 1, 0)]))
    clicks = [one._replace(items=shown) for one in MIXED]
    position, taken = await bench.committed(await bench.leased(), clicks)
    if bench.database is not None:
        with pytest.raises(ValueError, match="the first time"):
            await bench.ledger.commit_dimension_counts(
                [move(position, 24)], gathered(position, taken)
            )
        assert await bench.found() == {}
    await bench.ledger.commit_dimension_counts([move(position, 24)], gathered(position, taken))
    assert await bench.found() == expected(clicks)
    assert stored == [experiment_increments(clicks)]


async def test_who_writes_at_once_loses_no_visitor(database_url: str) -> None:
    """Each reads a sketch, adds to it and writes it back."""
    database = await opened(database_url)
    writer = PostgresClickLedger(database)
    positions = []
    for number in range(4):
        await writer.register(uuid4())
        leased = await writer.lease(f"owner {number}", 1, 60)
        clicks = [
            click()._replace(
                visitor_id=b"%02d%06d" % (number + 1, n), classification=VisitorClass.HUMAN
            )
            for n in range(50)
        ]
        taken = batch(1, clicks)
        positions.append((await writer.commit(leased[0], [taken]), taken))
    async with trio.open_nursery() as nursery:
        for position, taken in positions:
            nursery.start_soon(
                writer.commit_dimension_counts, [move(position, 50)], gathered(position, taken)
            )
    found = await Bench(writer, MemoryClickTables(), database).found()
    assert {row[3] for row in found.values()} == {200}
    await database.close()


async def test_more_rows_than_one_statement_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimension_counts, "ROWS_AT_ONCE", 7)
    database = await opened(database_url)
    bench = Bench(PostgresClickLedger(database), MemoryClickTables(), database)
    position, taken = await bench.committed(await bench.leased(), MIXED)
    await bench.ledger.commit_dimension_counts([move(position, 24)], gathered(position, taken))
    assert await bench.found() == expected(MIXED)
    await database.close()


async def test_a_commit_does_not_wait_for_a_summary(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its last statement, a summary holds nothing that a commit needs."""
    database = await opened(database_url)
    bench = Bench(PostgresClickLedger(database), MemoryClickTables(), database)
    position, taken = await bench.committed(await bench.leased(), MIXED)
    done: list[str] = []
    original = dimension_counts.add

    async def slow(connection: Connection, gathered: BufferedClicks) -> None:
        await original(connection, gathered)
        await connection.execute("SELECT pg_sleep(0.3)")

    monkeypatch.setattr(dimension_counts, "add", slow)

    async def summarise() -> None:
        await bench.ledger.commit_dimension_counts([move(position, 24)], gathered(position, taken))
        done.append("summary")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(summarise)
        await trio.sleep(0.1)
        await bench.committed(position, MIXED)
        done.append("commit")
    assert done == ["commit", "summary"]
    await database.close()

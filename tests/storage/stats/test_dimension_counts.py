"""Dimension counts: one contract in memory and on Postgres; each click counts once, with concurrent writers."""

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
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.experiments.counts import add_increments
from storage.postgres.database import Connection, Database
from storage.stats import dimension_counts
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import NOW_US, batch, click, counted

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

Counts = dict[DimensionCountKey, tuple[int, int, int, int]]
MIXED = [
    click(link_id=5 + n % 2, verdict=[0, 1, 2, 3, 5, 6][n % 6], user_agent=b"agent %d" % (n % 3))._replace(
        kind=[ClickKind.CLICK, ClickKind.VIEW][n % 4 == 0],
        at_us=NOW_US + n * 200_000_000,
        visitor_id=b"visitor%d" % (n % 5) if n % 3 else b"",
        items=item(PLACE, b"EU\x1fDE\x1fBY\x1fMunich") if n % 2 else b"",
    )
    for n in range(24)
]  # fmt: skip


class LedgerBench:
    """A ledger and its tables."""

    def __init__(
        self, ledger: ClickLedger, counts: MemoryClickTables, database: Database | None
    ) -> None:
        self.ledger = ledger
        self.counts = counts
        self.database = database

    async def leased(self) -> JournalLease:
        await self.ledger.register(uuid4())
        leases = await self.ledger.lease("one", 99, 60)
        return leases[-1]

    async def committed(
        self, lease: JournalLease, clicks: list[Click]
    ) -> tuple[JournalLease, Batch]:
        folded = batch(lease.folded + 1, clicks)
        return await self.ledger.commit(lease, [folded]), folded

    async def stored(self) -> Counts:
        """Return the stored counts with the estimated numbers of visitors, which are exact here."""
        if self.database is None:
            return {
                key: (counts.clicks, counts.views, counts.bots, len(counts.visitors))
                for key, counts in self.counts.sums.items()
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
async def bench(place: str) -> AsyncIterator[LedgerBench]:
    counts = MemoryClickTables()
    if not place:
        yield LedgerBench(MemoryClickLedger(counts, trio.current_time), counts, None)
        return
    database = await opened(place)
    yield LedgerBench(PostgresClickLedger(database), counts, database)
    await database.close()


async def opened(url: str) -> Database:
    return await Database.open(url, role="waypost_aggregator", size=4, query_timeout_ms=5_000)


def buffered(lease: JournalLease, *batches: Batch) -> ClickBuffer:
    buffer = ClickBuffer(ValueDictionary())
    for part in batches:
        buffer.add(lease.journal_id, part, 0)
    return buffer


def expected(clicks: list[Click]) -> Counts:
    return {
        key: (counts.clicks, counts.views, counts.bots, len(counts.visitors))
        for key, counts in count_by_dimension(clicks).items()
    }


def move(lease: JournalLease, to_sequence: int) -> WatermarkAdvance:
    return WatermarkAdvance(
        lease.journal_id, lease.dimension_counted, to_sequence, lease.fencing_token
    )


async def test_counts_and_watermark_commit_together(bench: LedgerBench) -> None:
    lease = await bench.leased()
    lease, first = await bench.committed(lease, MIXED[:10])
    assert await counted(bench.ledger, lease.journal_id) == 0
    await bench.ledger.commit_dimension_counts([move(lease, 10)], buffered(lease, first))
    assert await counted(bench.ledger, lease.journal_id) == 10
    lease, second = await bench.committed(lease, MIXED[10:])
    assert await counted(bench.ledger, lease.journal_id) == 10
    lease = lease._replace(dimension_counted=10)
    await bench.ledger.commit_dimension_counts([move(lease, 24)], buffered(lease, second))
    assert await bench.stored() == expected(MIXED)
    (leased,) = await bench.ledger.lease("one", 1, 60)
    assert leased == lease._replace(dimension_counted=24)


async def test_journals_are_counted_in_one_commit(bench: LedgerBench) -> None:
    moves, buffer = [], ClickBuffer(ValueDictionary())
    for part in (MIXED[:7], MIXED[7:9], MIXED[9:]):
        lease, folded = await bench.committed(await bench.leased(), part)
        buffer.add(lease.journal_id, folded, 0)
        moves.append(move(lease, len(part)))
    await bench.ledger.commit_dimension_counts(moves, buffer)
    assert await bench.stored() == expected(MIXED)


@pytest.mark.parametrize("wrong", ["watermark", "token", "ahead"])
async def test_a_stale_journal_counts_nothing_and_is_named(bench: LedgerBench, wrong: str) -> None:
    good, folded = await bench.committed(await bench.leased(), MIXED)
    bad, _ = await bench.committed(await bench.leased(), MIXED)
    moves = {
        "watermark": move(bad, 24)._replace(from_sequence=3),
        "token": move(bad, 24)._replace(fencing_token=bad.fencing_token + 1),
        "ahead": move(bad, 25),
    }
    with pytest.raises(StaleLeaseError) as stale:
        await bench.ledger.commit_dimension_counts(
            [move(good, 24), moves[wrong]], buffered(good, folded)
        )
    assert stale.value.journals == {bad.journal_id}
    assert await bench.stored() == {}
    await bench.ledger.commit_dimension_counts([move(good, 24)], buffered(good, folded))
    with pytest.raises(StaleLeaseError):
        await bench.ledger.commit_dimension_counts([move(good, 24)], buffered(good, folded))
    assert await bench.stored() == expected(MIXED)


async def test_a_batch_is_dead_lettered_only_where_all_before_it_is_counted(
    bench: LedgerBench,
) -> None:
    lease, folded = await bench.committed(await bench.leased(), MIXED)
    poison = Batch(25, 30, b"?")
    with pytest.raises(StaleLeaseError):
        await bench.ledger.dead_letter(lease, poison, "poison")
    await bench.ledger.commit_dimension_counts([move(lease, 24)], buffered(lease, folded))
    lease = await bench.ledger.dead_letter(lease, poison, "poison")
    assert (lease.folded, lease.dimension_counted) == (30, 30)
    assert await counted(bench.ledger, lease.journal_id) == 30


async def test_values_beyond_the_cap_are_counted_as_other(bench: LedgerBench) -> None:
    """The first values keep their rows, in this buffer and in later ones."""
    clicks = [
        click(link_id=5)._replace(
            items=item(UTM, b"utm_campaign=c%d" % n), visitor_id=b"%08d" % (n + 1)
        )
        for n in range(MAX_VALUES_OPEN_ENDED + 20)
    ]
    # A click without a value takes no room of one with a value.
    few = [*clicks[:29], click(link_id=5)]
    lease, first = await bench.committed(await bench.leased(), few)
    await bench.ledger.commit_dimension_counts([move(lease, 30)], buffered(lease, first))
    other_click = clicks[0]._replace(
        items=item(UTM, b"utm_campaign=" + OTHER.encode()), visitor_id=b"somebody"
    )
    lease, second = await bench.committed(lease, [*clicks, other_click, click(link_id=6)])
    lease = lease._replace(dimension_counted=30)
    await bench.ledger.commit_dimension_counts([move(lease, lease.folded)], buffered(lease, second))
    for link_id, cap in ((5, MAX_VALUES_PER_LINK), (ALL_LINKS, MAX_VALUES_OPEN_ENDED)):
        rows_by_value = {
            key.value: row
            for key, row in (await bench.stored()).items()
            if key.link_id == link_id and key.dimension == Dimension.UTM_CAMPAIGN
        }
        over_cap = len(clicks) - cap
        assert len([value for value in rows_by_value if value not in ("", OTHER)]) == cap
        # A visitor may send this text, too.
        assert rows_by_value[OTHER] == (over_cap + 1, 0, 0, over_cap + 1)
        assert rows_by_value["c0"] == (2, 0, 0, 1)
        assert sum(row[0] for row in rows_by_value.values()) == len(clicks) + 31 + (
            link_id == ALL_LINKS
        )


async def test_experiments_are_counted_in_the_same_transaction(
    bench: LedgerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[ExperimentIncrements] = bench.counts.experiment_increments

    async def store(connection: Connection, increments: ExperimentIncrements) -> None:
        if not stored:
            stored.append(increments)
            raise ValueError("the first time it fails")
        await add_increments(connection, increments)

    monkeypatch.setattr(ledger, "add_increments", store)
    exposures = item(EXPOSURES, pack_variant_refs([VariantRef(7, 1, 0)]))
    clicks = [one._replace(items=exposures) for one in MIXED]
    lease, folded = await bench.committed(await bench.leased(), clicks)
    if bench.database is not None:
        with pytest.raises(ValueError, match="the first time"):
            await bench.ledger.commit_dimension_counts([move(lease, 24)], buffered(lease, folded))
        assert await bench.stored() == {}
    await bench.ledger.commit_dimension_counts([move(lease, 24)], buffered(lease, folded))
    assert await bench.stored() == expected(clicks)
    assert stored == [experiment_increments(clicks)]


async def test_concurrent_writers_lose_no_visitor(database_url: str) -> None:
    """Each writer reads a sketch, adds visitors to it and writes it back."""
    database = await opened(database_url)
    writer = PostgresClickLedger(database)
    leases = []
    for number in range(4):
        await writer.register(uuid4())
        leased = await writer.lease(f"owner {number}", 1, 60)
        clicks = [
            click()._replace(
                visitor_id=b"%02d%06d" % (number + 1, n), classification=VisitorClass.HUMAN
            )
            for n in range(50)
        ]
        folded = batch(1, clicks)
        leases.append((await writer.commit(leased[0], [folded]), folded))
    async with trio.open_nursery() as nursery:
        for lease, folded in leases:
            nursery.start_soon(
                writer.commit_dimension_counts, [move(lease, 50)], buffered(lease, folded)
            )
    counts = await LedgerBench(writer, MemoryClickTables(), database).stored()
    assert {row[3] for row in counts.values()} == {200}
    await database.close()


async def test_more_rows_than_one_statement_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimension_counts, "ROWS_AT_ONCE", 7)
    database = await opened(database_url)
    bench = LedgerBench(PostgresClickLedger(database), MemoryClickTables(), database)
    lease, folded = await bench.committed(await bench.leased(), MIXED)
    await bench.ledger.commit_dimension_counts([move(lease, 24)], buffered(lease, folded))
    assert await bench.stored() == expected(MIXED)
    await database.close()


async def test_a_fold_does_not_wait_for_dimension_counts(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its last statement, a commit of dimension counts locks nothing that a fold needs."""
    database = await opened(database_url)
    bench = LedgerBench(PostgresClickLedger(database), MemoryClickTables(), database)
    lease, folded = await bench.committed(await bench.leased(), MIXED)
    done: list[str] = []
    original = dimension_counts.add

    async def slow(connection: Connection, buffer: BufferedClicks) -> None:
        await original(connection, buffer)
        await connection.execute("SELECT pg_sleep(0.3)")

    monkeypatch.setattr(dimension_counts, "add", slow)

    async def count() -> None:
        await bench.ledger.commit_dimension_counts([move(lease, 24)], buffered(lease, folded))
        done.append("dimension counts")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.sleep(0.1)
        await bench.committed(lease, MIXED)
        done.append("fold")
    assert done == ["fold", "dimension counts"]
    await database.close()

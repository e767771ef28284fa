"""A leased journal: its watermarks pass over no click, in whatever order its methods are called."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.leased_journal import LeasedJournal, leased_journal
from actors.stats.dimension_counter import DimensionCounter
from engine.clicks.batch import Batch
from engine.common.errors import StaleLeaseError
from engine.stats.ledger_ports import JournalLease
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.stats.memory_click_tables import MemoryClickTables
from tests.kit.click_pipeline import Tape, until
from tests.system.simulation.plain import PlainClickBuffer


class Bench:
    """A journal of four frames of two clicks each, leased, over the twin."""

    def __init__(self) -> None:
        self.tables = MemoryClickTables()
        self.ledger = MemoryClickLedger(self.tables, trio.current_time)
        self.counter = DimensionCounter(self.ledger, PlainClickBuffer)
        self.tape = Tape()
        self.tape.write(2, 2, 2, 2)

    async def lease(self) -> JournalLease:
        await self.ledger.register(self.tape.id)
        (lease,) = await self.ledger.lease("one", 1, 1000)
        return lease

    async def lease_behind(self) -> JournalLease:
        """Fold two frames without dimension counts, as before a crash."""
        await self.ledger.commit(await self.lease(), self.tape.frames[:2])
        return await self.lease()

    @property
    def watermarks(self) -> tuple[int, int]:
        row = self.tables.journals[self.tape.id]
        return row.folded, row.dimension_counted


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_folding_moves_both_watermarks(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    folds: list[tuple[int, int, Sequence[Batch]]] = []
    nursery.start_soon(bench.counter.run)
    with leased_journal(
        await bench.lease(), bench.ledger, bench.counter,
        lambda before, after, batches: folds.append((before.folded, after.folded, batches)),
    ) as journal:  # fmt: skip
        first, second = bench.tape.frames[:1], bench.tape.frames[1:]
        for batches in (first, second):
            await journal.fold(await journal.catch_up(batches))
        await until(lambda: bench.watermarks == (8, 8))
    assert folds == [(0, 2, first), (2, 8, second)]


async def test_after_a_crash_dimension_counts_catch_up_first(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    with leased_journal(await bench.lease_behind(), bench.ledger, bench.counter) as journal:
        assert journal.resume_at == 0
        ahead = await journal.catch_up(bench.tape.frames)
        assert ahead == bench.tape.frames[2:]
        assert journal.resume_at == 4
        await journal.fold(ahead)
        nursery.start_soon(bench.counter.run)
        await until(lambda: bench.watermarks == (8, 8))
    assert len(bench.tables.clicks) == 8


async def test_a_batch_that_is_folded_in_part_catches_up_as_it_is_folded(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    """A stream that is shipped again has batches with other bounds."""
    whole = Batch(1, 8, b"".join(frame.payload for frame in bench.tape.frames))
    with leased_journal(await bench.lease_behind(), bench.ledger, bench.counter) as journal:
        assert await journal.catch_up([whole]) == [whole]
        await journal.fold([whole])
        nursery.start_soon(bench.counter.run)
        await until(lambda: bench.watermarks == (8, 8))
    assert len(bench.tables.clicks) == 8


async def test_nothing_is_folded_or_dead_lettered_before_it_has_caught_up(bench: Bench) -> None:
    """Otherwise the dimension counts would skip clicks."""
    third = bench.tape.frames[2]
    with leased_journal(await bench.lease_behind(), bench.ledger, bench.counter) as journal:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"clicks 1 to 4 .* catch_up"):
                await journal.fold([third])
            with pytest.raises(RuntimeError, match=r"clicks 1 to 4 .* catch_up"):
                await journal.dead_letter(third, "poison")
            await journal.catch_up(bench.tape.frames[:0])
        with pytest.raises(ValueError, match="clicks 1 to 2 are missing"):
            await journal.catch_up(bench.tape.frames[1:2])
    assert bench.watermarks == (4, 0)
    assert bench.tables.dead_letters == []


async def test_a_dead_letter_waits_until_the_watermarks_meet(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    first, poison, *rest = bench.tape.frames
    with leased_journal(await bench.lease(), bench.ledger, bench.counter) as journal:
        await journal.fold([first])
        async with trio.open_nursery() as waiting:
            waiting.start_soon(journal.dead_letter, poison, "poison")
            await trio.sleep(60)
            assert bench.watermarks == (2, 0)
            nursery.start_soon(bench.counter.run)
        assert bench.watermarks == (4, 4)
        await journal.fold(rest)
        await until(lambda: bench.watermarks == (8, 8))
    assert bench.tables.dead_letters == [(bench.tape.id, poison, "poison")]
    assert len(bench.tables.clicks) == 6


async def test_a_journal_is_open_once_at_a_time(bench: Bench) -> None:
    lease = await bench.lease()
    with (
        leased_journal(lease, bench.ledger, bench.counter),
        pytest.raises(RuntimeError, match="followed already"),
        leased_journal(lease, bench.ledger, bench.counter),
    ):
        pytest.fail("opened twice")


async def test_nothing_is_committed_after_the_block(bench: Bench) -> None:
    with leased_journal(await bench.lease(), bench.ledger, bench.counter) as journal:
        await journal.fold(bench.tape.frames[:1])
    for call in (
        lambda: journal.catch_up(bench.tape.frames[:1]),
        lambda: journal.fold(bench.tape.frames[1:]),
        lambda: journal.dead_letter(bench.tape.frames[1], "poison"),
    ):
        with pytest.raises(StaleLeaseError):
            await call()
    with pytest.raises(StaleLeaseError):
        assert journal.resume_at
    assert bench.watermarks == (2, 0)


async def test_a_lost_lease_ends_folding_without_a_commit(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    """The dimension counter's own commit fails first; then nothing more is folded either."""
    nursery.start_soon(bench.counter.run)
    journal: LeasedJournal
    with leased_journal(await bench.lease(), bench.ledger, bench.counter) as journal:
        await journal.fold(bench.tape.frames[:1])
        bench.tables.journals[bench.tape.id].fencing_token += 1
        await trio.sleep(60)
        with pytest.raises(StaleLeaseError, match="another owner"):
            await journal.fold(bench.tape.frames[1:])
    assert bench.watermarks == (2, 0)

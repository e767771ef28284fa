"""The dimension counter: folded clicks count once; few clicks soon, many clicks together."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID, uuid4

import pytest
import trio
from trio.testing import MockClock

from actors.stats import dimension_counter
from actors.stats.dimension_counter import IDLE_S, LONGEST_S, CountedJournal, DimensionCounter
from engine.clicks.batch import Batch
from engine.common.errors import StaleLeaseError
from engine.stats.dimension_counts import count_by_dimension
from engine.stats.ledger_ports import JournalLease
from storage.clicks.memory_ledger import MemoryClickLedger
from storage.stats.memory_click_tables import MemoryClickTables, MemoryJournalRow
from tests.kit.click_pipeline import Plan, until
from tests.kit.shipped_batches import batch, click
from tests.system.simulation.faults import FaultyClickLedger
from tests.system.simulation.plain import PlainClickBuffer


class Bench:
    """A dimension counter over the twin, and journals whose clicks are folded."""

    def __init__(self) -> None:
        self.counts = MemoryClickTables()
        self.plan = Plan()
        ledger = MemoryClickLedger(self.counts, trio.current_time)
        self.counter = DimensionCounter(FaultyClickLedger(ledger, self.plan), PlainClickBuffer)
        self.journals: dict[UUID, CountedJournal] = {}
        self.blocks: dict[UUID, AbstractContextManager[CountedJournal]] = {}
        self.batches: list[Batch] = []

    def journal(self) -> UUID:
        journal_id = uuid4()
        self.counts.journals[journal_id] = MemoryJournalRow(fencing_token=1)
        self.follow(journal_id)
        return journal_id

    def follow(self, journal_id: UUID) -> None:
        row = self.counts.journals[journal_id]
        lease = JournalLease(journal_id, row.folded, row.fencing_token, row.dimension_counted)
        self.blocks[journal_id] = self.counter.follow(lease)
        self.journals[journal_id] = self.blocks[journal_id].__enter__()

    def leave(self, journal_id: UUID) -> None:
        self.blocks.pop(journal_id).__exit__(None, None, None)

    def follow_again(self, journal_id: UUID) -> None:
        self.leave(journal_id)
        self.follow(journal_id)

    async def fold(self, journal_id: UUID, count: int = 5) -> None:
        row = self.counts.journals[journal_id]
        folded = batch(row.folded + 1, [click(link_id=n) for n in range(count)])
        row.folded = folded.last
        self.batches.append(folded)
        await self.journals[journal_id].buffer([folded])

    def done(self, journal_id: UUID) -> bool:
        row = self.counts.journals[journal_id]
        return row.dimension_counted == row.folded

    @property
    def clicks(self) -> int:
        """The clicks in the counts of dimension OS of whole profiles."""
        return sum(counts.clicks for key, counts in self.counts.sums.items() if key[2:4] == (-1, 6))


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_few_clicks_are_counted_at_once(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()
    await bench.fold(journal_id)
    await until(lambda: bench.done(journal_id), IDLE_S + 0.1)
    assert bench.counts.sums == count_by_dimension(click(link_id=n) for n in range(5))
    assert bench.counter.counted == 5


async def test_the_counter_waits_longer_the_longer_commits_take(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    async def slow(name: str, call: Callable[[], object]) -> object:
        await trio.sleep(1.0)
        return await call()  # type: ignore[misc]

    bench.plan.meet = slow  # type: ignore[method-assign, assignment]
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()
    start_s = trio.current_time()
    while trio.current_time() < start_s + 60:
        await bench.fold(journal_id)
        await trio.sleep(0.02)
    # Commits of a second take a fifth of the time; at the shortest interval they would take nearly all.
    assert 10 <= bench.counter.commits <= 13
    assert bench.counter.lag < 5 / 0.02 * 5 * 2
    await until(lambda: bench.done(journal_id), LONGEST_S)
    assert bench.clicks == sum(batch.last - batch.first + 1 for batch in bench.batches)


async def test_a_journals_folds_are_not_counted_twice(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()
    await bench.fold(journal_id)
    await bench.journals[journal_id].buffer(bench.batches)
    await until(lambda: bench.done(journal_id))
    await bench.journals[journal_id].buffer(bench.batches)
    await trio.sleep(LONGEST_S)
    assert bench.clicks == 5


@pytest.mark.parametrize("kind", ["refused", "unanswered"])
async def test_a_commit_that_fails_or_loses_its_reply_counts_once(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery, kind: str
) -> None:
    """After a lost reply the commit has happened, so the lease is stale."""
    nursery.start_soon(bench.counter.run)
    journal_id, other = bench.journal(), bench.journal()
    getattr(bench.plan, kind)["commit_dimension_counts"] = 1
    await bench.fold(journal_id)
    await bench.fold(other)
    await until(lambda: bench.done(journal_id) and bench.done(other))
    await trio.sleep(1)
    if kind == "unanswered":
        with pytest.raises(StaleLeaseError):
            bench.journals[journal_id].require_lease()
        bench.follow_again(journal_id)
        # The commit had the other journal too, unless its clicks were buffered too late.
        if not bench.counter.follows(bench.journals[other]):
            bench.follow_again(other)
    await bench.fold(journal_id)
    await until(lambda: bench.done(journal_id))
    assert bench.clicks == 15


async def test_a_lost_lease_does_not_affect_other_journals(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    lost, kept = bench.journal(), bench.journal()
    await bench.fold(lost)
    await bench.fold(kept)
    bench.counts.journals[lost].fencing_token += 1
    nursery.start_soon(bench.counter.run)
    await until(lambda: bench.done(kept))
    assert not bench.done(lost)
    assert bench.clicks == 5
    with pytest.raises(StaleLeaseError):
        await bench.journals[lost].buffer(bench.batches)


async def test_a_lease_that_ends_during_a_commit_is_counted_whole(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    """The commit counts up to its watermark, whether or not the lease ends meanwhile."""
    started, goes_on = trio.Event(), trio.Event()

    async def held(name: str, call: Callable[[], object]) -> object:
        started.set()
        await goes_on.wait()
        return await call()  # type: ignore[misc]

    bench.plan.meet = held  # type: ignore[method-assign, assignment]
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()
    await bench.fold(journal_id)
    await started.wait()
    bench.follow_again(journal_id)
    await bench.journals[journal_id].buffer(bench.batches)
    goes_on.set()
    await until(lambda: bench.done(journal_id))
    await trio.sleep(LONGEST_S)
    assert bench.clicks == 5


async def test_folding_waits_while_both_buffers_are_full(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimension_counter, "MAX_CLICKS", 20)
    bench.plan.away = True
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()

    async def fold_on() -> None:
        for _ in range(30):
            await bench.fold(journal_id)

    nursery.start_soon(fold_on)
    await trio.sleep(60)
    assert 20 <= bench.counter.lag <= 40
    bench.plan.away = False
    await until(lambda: bench.clicks == 150)


async def test_wait_counted_waits_for_its_journal(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()
    await bench.fold(journal_id)
    await bench.journals[journal_id].wait_counted()
    assert bench.done(journal_id)
    bench.counts.journals[journal_id].folded = bench.counts.journals[
        journal_id
    ].dimension_counted = 9
    bench.journals[journal_id].skip_to(9)
    await bench.fold(journal_id)
    await bench.journals[journal_id].wait_counted()
    assert bench.clicks == 10


async def test_clicks_that_cannot_be_committed_are_left_out_after_retries(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise no journal could be deleted, and the disk would fill."""
    refused = 0

    def error() -> Exception | None:
        nonlocal refused
        refused += 1
        return ValueError("no such value") if refused <= dimension_counter.MAX_TRIES else None

    bench.plan.errors["commit_dimension_counts"] = error
    nursery.start_soon(bench.counter.run)
    journal_id = bench.journal()
    await bench.fold(journal_id)
    await until(lambda: bench.done(journal_id))
    assert bench.clicks == 0
    assert bench.counter.skipped == 5
    assert {"dimension_counts_failed", "dimension_counts_skipped"} <= {
        getattr(record, "event", "") for record in caplog.records
    }
    await bench.fold(journal_id)
    await until(lambda: bench.done(journal_id))
    assert bench.clicks == 5


async def test_a_journal_is_followed_once_at_a_time(bench: Bench) -> None:
    journal_id = bench.journal()
    row = bench.counts.journals[journal_id]
    lease = JournalLease(journal_id, row.folded, row.fencing_token, row.dimension_counted)
    with (
        pytest.raises(RuntimeError, match="followed already"),
        bench.counter.follow(lease),
    ):
        pytest.fail("followed twice")
    bench.journals[journal_id].require_lease()


async def test_a_followed_journal_ends_with_its_block(bench: Bench) -> None:
    """After the block, calls raise StaleLeaseError and buffered clicks are dropped."""
    journal_id = bench.journal()
    await bench.fold(journal_id)
    journal = bench.journals[journal_id]
    bench.leave(journal_id)
    assert bench.counter.lag == 0
    for batches in (bench.batches, []):
        with pytest.raises(StaleLeaseError):
            await journal.buffer(batches)
    with pytest.raises(StaleLeaseError):
        await journal.wait_counted()
    with pytest.raises(StaleLeaseError):
        journal.skip_to(9)
    bench.follow(journal_id)
    with pytest.raises(StaleLeaseError):  # the next lease makes a new CountedJournal
        await journal.buffer(bench.batches)


async def test_batches_after_a_gap_are_refused(bench: Bench) -> None:
    journal_id = bench.journal()
    ahead = batch(3, [click()])
    with pytest.raises(ValueError, match="clicks 1 to 2 are missing"):
        await bench.journals[journal_id].buffer([ahead])
    assert bench.journals[journal_id].buffered == 0
    assert bench.counter.lag == 0


async def test_no_batch_is_skipped_before_buffered_clicks_are_counted(bench: Bench) -> None:
    journal_id = bench.journal()
    await bench.fold(journal_id)
    with pytest.raises(RuntimeError, match="wait_counted"):
        bench.journals[journal_id].skip_to(9)
    assert bench.journals[journal_id].buffered == 5

"""The summariser: what is committed is summed, once; soon where there is little, together in a crowd."""

from collections.abc import Callable
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
import trio
from trio.testing import MockClock

from actors.stats import dimension_counter
from actors.stats.dimension_counter import IDLE_S, LONGEST_S, DimensionCounter
from engine.clicks.batch import Batch
from engine.common.errors import StaleLeaseError
from engine.stats.dimension_counts import count_by_dimension
from engine.stats.ledger_ports import JournalLease
from storage.clicks.memory_ledger import MemoryClickLedger, MemoryClickTables, MemoryJournalRow
from tests.kit.click_pipeline import Plan, until
from tests.kit.shipped_batches import batch, click
from tests.system.simulation.faults import FaultyClickLedger
from tests.system.simulation.plain import PlainClickBuffer


class Bench:
    """A summariser over the twin, and journals that are committed in the plain counts."""

    def __init__(self) -> None:
        self.counts = MemoryClickTables()
        self.plan = Plan()
        ledger = MemoryClickLedger(self.counts, trio.current_time)
        self.summariser = DimensionCounter(FaultyClickLedger(ledger, self.plan), PlainClickBuffer)
        self.taken: list[Batch] = []

    def journal(self) -> UUID:
        journal_id = uuid4()
        self.counts.journals[journal_id] = MemoryJournalRow(fencing_token=1)
        self.begin(journal_id)
        return journal_id

    def begin(self, journal_id: UUID) -> None:
        row = self.counts.journals[journal_id]
        self.summariser.journal_leased(
            JournalLease(journal_id, row.folded, row.fencing_token, row.dimension_counted)
        )

    async def take(self, journal_id: UUID, count: int = 5) -> None:
        row = self.counts.journals[journal_id]
        news = batch(row.folded + 1, [click(link_id=n) for n in range(count)])
        row.folded = news.last
        self.taken.append(news)
        await self.summariser.buffer(journal_id, [news])

    def done(self, journal_id: UUID) -> bool:
        row = self.counts.journals[journal_id]
        return row.dimension_counted == row.folded

    @property
    def clicks(self) -> int:
        """In the counts, by the systems of all links."""
        return sum(one.clicks for key, one in self.counts.sums.items() if key[2:4] == (-1, 6))


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_little_is_summed_at_once(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()
    await bench.take(journal_id)
    await until(lambda: bench.done(journal_id), IDLE_S + 0.1)
    assert bench.counts.sums == count_by_dimension(click(link_id=n) for n in range(5))
    assert bench.summariser.counted == 5


async def test_the_more_it_costs_the_longer_it_waits(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    async def slow(name: str, call: Callable[[], object]) -> object:
        await trio.sleep(1.0)
        return await call()  # type: ignore[misc]

    bench.plan.meet = slow  # type: ignore[method-assign, assignment]
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()
    begun = trio.current_time()
    while trio.current_time() < begun + 60:
        await bench.take(journal_id)
        await trio.sleep(0.02)
    # A second's cost at most every five, where the shortest interval would have had it nearly all the time.
    assert 10 <= bench.summariser.commits <= 13
    assert bench.summariser.lag < 5 / 0.02 * 5 * 2
    await until(lambda: bench.done(journal_id), LONGEST_S)
    assert bench.clicks == sum(one.last - one.first + 1 for one in bench.taken)


async def test_a_journals_commits_are_not_summed_twice(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()
    await bench.take(journal_id)
    await bench.summariser.buffer(journal_id, bench.taken)
    await until(lambda: bench.done(journal_id))
    await bench.summariser.buffer(journal_id, bench.taken)
    await trio.sleep(LONGEST_S)
    assert bench.clicks == 5


@pytest.mark.parametrize("kind", ["refused", "unanswered"])
async def test_a_commit_that_fails_or_loses_its_answer(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery, kind: str
) -> None:
    """Of the second kind it has happened, and the position is somebody else's to tell."""
    nursery.start_soon(bench.summariser.run)
    journal_id, other = bench.journal(), bench.journal()
    getattr(bench.plan, kind)["commit_dimension_counts"] = 1
    await bench.take(journal_id)
    await bench.take(other)
    await until(lambda: bench.done(journal_id) and bench.done(other))
    await trio.sleep(1)
    if kind == "unanswered":
        with pytest.raises(StaleLeaseError):
            bench.summariser.buffered_until(journal_id)
        bench.begin(journal_id)
        # The other one was in that commit too, unless it was taken too late for it.
        with suppress(StaleLeaseError):
            bench.summariser.buffered_until(other)
            bench.begin(other)
    await bench.take(journal_id)
    await until(lambda: bench.done(journal_id))
    assert bench.clicks == 15


async def test_who_loses_a_lease_takes_nobody_along(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    lost, kept = bench.journal(), bench.journal()
    await bench.take(lost)
    await bench.take(kept)
    bench.counts.journals[lost].fencing_token += 1
    nursery.start_soon(bench.summariser.run)
    await until(lambda: bench.done(kept))
    assert not bench.done(lost)
    assert bench.clicks == 5
    with pytest.raises(StaleLeaseError):
        await bench.summariser.buffer(lost, bench.taken)


async def test_what_is_given_up_in_the_midst_of_a_commit_stays_whole(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    """The commit counts what it moves to, whether or not the lease was given back meanwhile."""
    started, goes_on = trio.Event(), trio.Event()

    async def held(name: str, call: Callable[[], object]) -> object:
        started.set()
        await goes_on.wait()
        return await call()  # type: ignore[misc]

    bench.plan.meet = held  # type: ignore[method-assign, assignment]
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()
    await bench.take(journal_id)
    await started.wait()
    bench.summariser.journal_lost(journal_id)
    bench.begin(journal_id)
    await bench.summariser.buffer(journal_id, bench.taken)
    goes_on.set()
    await until(lambda: bench.done(journal_id))
    await trio.sleep(LONGEST_S)
    assert bench.clicks == 5


async def test_when_both_are_full_folding_waits(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimension_counter, "MAX_CLICKS", 20)
    bench.plan.away = True
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()

    async def take_on() -> None:
        for _ in range(30):
            await bench.take(journal_id)

    nursery.start_soon(take_on)
    await trio.sleep(60)
    assert 20 <= bench.summariser.lag <= 40
    bench.plan.away = False
    await until(lambda: bench.clicks == 150)


async def test_settling_waits_for_this_journal(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery
) -> None:
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()
    await bench.take(journal_id)
    await bench.summariser.wait_committed(journal_id)
    assert bench.done(journal_id)
    bench.counts.journals[journal_id].folded = bench.counts.journals[
        journal_id
    ].dimension_counted = 9
    bench.summariser.skip_to(journal_id, 9)
    await bench.take(journal_id)
    await bench.summariser.wait_committed(journal_id)
    assert bench.clicks == 10


async def test_what_cannot_be_committed_is_left_out_in_the_end(
    autojump_clock: MockClock, bench: Bench, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """Else no journal could be deleted any more, and the disk would fill."""
    refused = 0

    def error() -> Exception | None:
        nonlocal refused
        refused += 1
        return ValueError("no such value") if refused <= dimension_counter.MAX_TRIES else None

    bench.plan.errors["commit_dimension_counts"] = error
    nursery.start_soon(bench.summariser.run)
    journal_id = bench.journal()
    await bench.take(journal_id)
    await until(lambda: bench.done(journal_id))
    assert bench.clicks == 0
    assert bench.summariser.skipped == 5
    assert {"summary_failed", "summary_skipped"} <= {
        getattr(record, "event", "") for record in caplog.records
    }
    await bench.take(journal_id)
    await until(lambda: bench.done(journal_id))
    assert bench.clicks == 5

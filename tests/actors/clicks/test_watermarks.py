"""Reading watermarks together: one transaction for many journals, and none of them reads too early."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID, uuid4

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import OrphanedJournal, OrphanShipper
from actors.clicks.watermarks import Watermarks, until_next
from engine.common.errors import UnavailableError
from engine.stats.ledger_ports import ClickLedger
from tests.kit.click_pipeline import Pipeline, Tape

READ_S = 1.0


class SlowLedger:
    """Watermarks that grow by 1 each second; a read takes READ_S and shows its beginning."""

    def __init__(self) -> None:
        self.reads: list[list[UUID]] = []
        self.error = ""

    async def watermarks_of(self, journal_ids: Sequence[UUID]) -> dict[UUID, int]:
        self.reads.append(list(journal_ids))
        current = int(trio.current_time())
        await trio.sleep(READ_S)
        if self.error:
            raise UnavailableError(self.error)
        return dict.fromkeys(journal_ids, current)


@pytest.fixture
def ledger() -> SlowLedger:
    return SlowLedger()


@pytest.fixture
def watermarks(ledger: SlowLedger) -> Watermarks:
    return Watermarks(cast("ClickLedger", ledger))


async def test_journals_at_a_time_are_read_in_one_transaction(
    autojump_clock: MockClock, ledger: SlowLedger, watermarks: Watermarks
) -> None:
    journals = sorted(uuid4() for _ in range(20))
    async with trio.open_nursery() as nursery:
        for journal in journals:
            nursery.start_soon(watermarks.read, journal)
    assert ledger.reads == [journals]
    assert watermarks.reads == 1


async def test_who_comes_while_a_read_is_under_way_gets_a_later_one(
    autojump_clock: MockClock, ledger: SlowLedger, watermarks: Watermarks
) -> None:
    """The one under way may not see what was committed before the call."""
    seen: list[tuple[float, int]] = []

    async def read(after_s: float) -> None:
        await trio.sleep(after_s)
        called = trio.current_time()
        seen.append((called, await watermarks.read(uuid4()) or 0))

    await trio.sleep(until_next(10))
    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(read, number * 0.31)
    assert all(watermark >= int(called) for called, watermark in seen)
    assert len(ledger.reads) == 30


async def test_all_who_joined_learn_that_the_read_failed(
    autojump_clock: MockClock, ledger: SlowLedger, watermarks: Watermarks
) -> None:
    ledger.error = "away"
    failures = 0

    async def read() -> None:
        nonlocal failures
        with pytest.raises(UnavailableError, match="away"):
            await watermarks.read(uuid4())
        failures += 1

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(read)
    assert (failures, len(ledger.reads)) == (5, 1)


@pytest.mark.parametrize("after_s", [0.001, 0.5])
async def test_the_others_read_again_when_the_one_who_began_is_cancelled(
    autojump_clock: MockClock, ledger: SlowLedger, watermarks: Watermarks, after_s: float
) -> None:
    """Before the transaction, and in it."""
    scope = trio.CancelScope()
    answers: list[int | None] = []

    async def begin() -> None:
        with scope:
            await watermarks.read(uuid4())

    async def join() -> None:
        await trio.lowlevel.checkpoint()
        answers.append(await watermarks.read(uuid4()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(begin)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(join)
        await trio.sleep(after_s)
        scope.cancel()
    assert len(answers) == 1
    assert answers[0] is not None


async def test_a_pause_ends_at_a_multiple_of_its_interval(autojump_clock: MockClock) -> None:
    for _ in range(200):
        before = trio.current_time()
        await trio.sleep(until_next(0.1))
        now = trio.current_time()
        assert 0.01 < now - before < 0.1101
        assert abs(now / 0.1 - round(now / 0.1)) < 1e-6
        await trio.sleep(0.037)


async def reads_a_second(kept: int, clicks_a_second: int) -> float:
    """Return how often an edge reads that writes a journal and keeps `kept` others, which are counted."""
    pipeline, tape = Pipeline(), Tape(kept=1_000)
    watermarks = Watermarks(pipeline.ledger)
    living = ActiveJournalShipper(
        tape, pipeline.stream, pipeline.ledger,
        window_bytes=10**6, linger_s=0.05, watermarks=watermarks,
    )  # fmt: skip
    others: list[OrphanedJournal] = []
    for _ in range(kept):
        other = Tape(kept=1_000)
        other.write(1)
        others.append(other)
    orphans = OrphanShipper(
        lambda: [others.pop() for _ in others[:]],
        pipeline.stream, pipeline.ledger,
        window_bytes=10**6, kept_s=10**6, kept_bytes=lambda: 10**9, watermarks=watermarks,
    )  # fmt: skip
    aggregator = Aggregator("one", pipeline.stream, pipeline.ledger, lease_ttl_s=10)
    async with trio.open_nursery() as nursery:
        for actor in (living, orphans, aggregator):
            nursery.start_soon(actor.run)
        await trio.sleep(10)
        assert orphans.pending_clicks() == 0
        before, began = watermarks.reads, trio.current_time()
        for _ in range(20):
            tape.write(*[1] * clicks_a_second)
            await trio.sleep(1)
        reads_s = (watermarks.reads - before) / (trio.current_time() - began)
        nursery.cancel_scope.cancel()
    return reads_s


async def test_sixteen_kept_journals_cost_no_more_reads_than_none(
    autojump_clock: MockClock,
) -> None:
    assert await reads_a_second(kept=0, clicks_a_second=0) <= 0.6
    assert await reads_a_second(kept=16, clicks_a_second=0) <= 0.6


async def test_a_busy_journal_takes_two_reads_a_second(autojump_clock: MockClock) -> None:
    assert await reads_a_second(kept=16, clicks_a_second=3) <= 2.1

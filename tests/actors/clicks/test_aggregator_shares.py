"""Journals are shared evenly, in virtual time: aggregators join, leave and die, journals come and go."""

from collections.abc import Sequence
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from actors.clicks.journal_leases import STREAMS_A_ROUND
from engine.clicks.batch import Batch
from engine.clicks.journal_shares import share_of
from engine.stats.ledger_ports import JournalLease
from tests.kit.click_pipeline import MINUTE, Pipeline, Tape, until
from tests.system.simulation.faults import FaultyClickLedger

TTL_S = 10.0
JOURNALS = 5 * STREAMS_A_ROUND + 3


class Fleet:
    """Aggregators by name, and the journals that they share."""

    def __init__(self, pipeline: Pipeline, nursery: trio.Nursery) -> None:
        self.pipeline = pipeline
        self.tapes: list[Tape] = []
        self.aggregators: dict[str, Aggregator] = {}
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}

    async def begin(self, journals: int) -> None:
        for _ in range(journals):
            self.tapes.append(Tape())
            await self.pipeline.ledger.register(self.tapes[-1].id)

    def join(self, *names: str) -> None:
        for name in names:
            pipeline = self.pipeline
            self.aggregators[name] = Aggregator(
                name, pipeline.stream, pipeline.ledger, lease_ttl_s=TTL_S
            )
            self._scopes[name] = trio.CancelScope()
            self._nursery.start_soon(self._run, name)

    async def _run(self, name: str) -> None:
        with self._scopes[name]:
            await self.aggregators[name].run()

    def leave(self, name: str) -> None:
        self._scopes.pop(name).cancel()
        del self.aggregators[name]

    def leased(self) -> list[int]:
        """Return how many journals each aggregator folds, the fewest first."""
        return sorted(aggregator.streams for aggregator in self.aggregators.values())

    def tokens(self) -> int:
        """Return a number that grows with each lease that changes hands."""
        return sum(row.fencing_token for row in self.pipeline.counts.journals.values())

    def is_even(self) -> bool:
        journals = sum(row.is_leasable for row in self.pipeline.counts.journals.values())
        counts = self.leased()
        return sum(counts) == journals and counts[-1] - counts[0] <= 1

    async def write(self, *, every_s: float, times: int) -> None:
        """Write one click to each journal, again and again, and ship it."""
        for _ in range(times):
            for tape in self.tapes:
                tape.write(1)
                await self.pipeline.stream.add(tape.id, tape.appended - 1, tape.frames[-1])
            await trio.sleep(every_s)

    def all_counted(self) -> bool:
        rows = self.pipeline.counts.journals
        return all(rows[tape.id].folded == tape.appended for tape in self.tapes)


@pytest.fixture
async def fleet(nursery: trio.Nursery) -> Fleet:
    return Fleet(Pipeline(), nursery)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 30))
def test_shares_are_even_add_up_and_are_left_alone(leased: Sequence[int], free: int) -> None:
    by_owner = {f"owner {number}": count for number, count in enumerate(leased)}
    journals = sum(leased) + free
    shares = {owner: share_of(owner, by_owner, journals, free) for owner in by_owner}
    fair = {owner: share.fair for owner, share in shares.items()}
    assert sum(fair.values()) == journals
    assert max(fair.values()) - min(fair.values()) <= 1
    assert {owner: share.leased for owner, share in shares.items()} == by_owner
    # Whoever has the share that it was told is told the same again.
    assert {owner: share_of(owner, fair, journals, 0).fair for owner in fair} == fair


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_workers_that_join_have_their_shares_within_a_minute(
    autojump_clock: MockClock, fleet: Fleet, workers: int
) -> None:
    await fleet.begin(JOURNALS)
    fleet.join("worker 0")
    await until(lambda: fleet.leased() == [JOURNALS], limit_s=MINUTE)
    fleet.join(*(f"worker {number}" for number in range(1, workers)))
    await until(fleet.is_even, limit_s=MINUTE)
    settled = fleet.tokens()
    await trio.sleep(MINUTE)
    assert fleet.is_even()
    assert fleet.tokens() == settled, "leases change hands though they are shared evenly"


async def test_an_aggregator_that_leaves_is_replaced_at_once(
    autojump_clock: MockClock, fleet: Fleet
) -> None:
    await fleet.begin(JOURNALS)
    fleet.join("one", "two", "three")
    await until(fleet.is_even, limit_s=MINUTE)
    fleet.leave("two")
    await until(fleet.is_even, limit_s=TTL_S / 2)


async def test_an_aggregator_that_died_is_replaced_when_its_leases_expire(
    autojump_clock: MockClock, fleet: Fleet
) -> None:
    await fleet.begin(JOURNALS)
    fleet.join("one", "two")
    await fleet.pipeline.ledger.share("dead", TTL_S)
    await fleet.pipeline.ledger.lease("dead", STREAMS_A_ROUND, TTL_S)
    await trio.sleep(TTL_S / 2)
    assert fleet.leased() != [JOURNALS // 2, JOURNALS - JOURNALS // 2]
    await until(fleet.is_even, limit_s=2 * TTL_S)


async def test_journals_that_come_and_go_are_shared_evenly(
    autojump_clock: MockClock, fleet: Fleet
) -> None:
    fleet.join("one", "two", "three", "four")
    for journals in (1, 2, 3, 10, 11):
        await fleet.begin(journals)
        await until(fleet.is_even, limit_s=MINUTE)
    gone = [tape.id for tape in fleet.tapes[::3]]
    for journal_id in gone:
        await fleet.pipeline.ledger.delete_journal(journal_id)
    await until(fleet.is_even, limit_s=MINUTE)
    assert sum(fleet.leased()) == len(fleet.tapes) - len(gone)


async def test_a_new_journal_waits_for_no_share(autojump_clock: MockClock, fleet: Fleet) -> None:
    fleet.join("one", "two")
    await trio.sleep(MINUTE)
    await fleet.begin(1)
    await until(fleet.is_even, limit_s=1.1)


async def test_each_click_counts_once_and_soon_while_workers_join_and_leave(
    autojump_clock: MockClock, fleet: Fleet
) -> None:
    await fleet.begin(7)
    fleet.join("one")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(fleet.write, every_s=0.2, times=200))
        await trio.sleep(8)
        fleet.join("two")
        await trio.sleep(8)
        fleet.join("three", "four")
        await trio.sleep(8)
        fleet.leave("one")
        await trio.sleep(8)
        fleet.leave("three")
    await until(fleet.all_counted, limit_s=1.0)
    for tape in fleet.tapes:
        assert fleet.pipeline.counted(tape.id) == tape.clicks
    assert [aggregator.stale for aggregator in fleet.aggregators.values()] == [0, 0]


async def test_a_commit_under_way_ends_before_its_journal_is_handed_over(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pipeline = Pipeline()
    holders: list[str | None] = []

    class Slow(FaultyClickLedger):
        async def commit(self, lease: JournalLease, batches: Sequence[Batch]) -> JournalLease:
            await trio.sleep(3)
            holders.append(pipeline.counts.journals[lease.journal_id].owner)
            return await super().commit(lease, batches)

    fleet = Fleet(pipeline, nursery)
    await fleet.begin(4)
    slow = Aggregator(
        "slow", pipeline.stream, Slow(pipeline.ledger, pipeline.postgres), lease_ttl_s=TTL_S
    )
    fleet.aggregators["slow"] = slow
    nursery.start_soon(slow.run)
    await until(lambda: slow.streams == 4)
    await fleet.write(every_s=0.1, times=1)
    fleet.join("other")
    await until(fleet.is_even, limit_s=MINUTE)
    assert holders == ["slow"] * 4
    assert slow.stale == 0
    assert fleet.all_counted()


async def test_busy_journals_are_shared_evenly_too(autojump_clock: MockClock, fleet: Fleet) -> None:
    await fleet.begin(8)
    busy, fleet.tapes = fleet.tapes, fleet.tapes[:4]
    fleet.join("one")
    await fleet.write(every_s=0.1, times=20)
    fleet.join("two")
    await until(fleet.is_even, limit_s=MINUTE)
    owners = [fleet.pipeline.counts.journals[tape.id].owner for tape in busy[:4]]
    assert sorted(map(str, owners)) == ["one", "one", "two", "two"]

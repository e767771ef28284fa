"""Postgres loses commits, in virtual time: the truth goes back, and each click is counted once all the same."""

import logging

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from actors.clicks.journal_watch import JournalWatch
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import MAX_KEPT, ORPHAN_INTERVAL_S, OrphanedJournal, OrphanShipper
from actors.clicks.shipper import IDLE_CHECK_S
from engine.operations.progress import STALL_S
from tests.kit.click_pipeline import MINUTE, Pipeline, Tape, until

WINDOW = 1_000
KEPT_S = 180.0


@pytest.fixture
async def pipeline(nursery: trio.Nursery) -> Pipeline:
    """With an aggregator at work."""
    pipeline = Pipeline()
    aggregator = Aggregator("one", pipeline.stream, pipeline.ledger, lease_ttl_s=10)
    nursery.start_soon(aggregator.run)
    return pipeline


def active(pipeline: Pipeline, tape: Tape) -> ActiveJournalShipper:
    return ActiveJournalShipper(
        tape, pipeline.stream, pipeline.ledger, window_bytes=WINDOW, linger_s=0.05
    )


def orphans_of(pipeline: Pipeline, *tapes: Tape, kept_bytes: int = 10**9) -> OrphanShipper:
    unlisted: list[OrphanedJournal] = list(tapes)

    def find() -> list[OrphanedJournal]:
        found = unlisted[:]
        unlisted.clear()
        return found

    return OrphanShipper(
        find,
        pipeline.stream,
        pipeline.ledger,
        window_bytes=WINDOW,
        kept_s=KEPT_S,
        kept_bytes=lambda: kept_bytes,
    )


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "event", "") for record in caplog.records]


@pytest.mark.parametrize("busy", [False, True])
async def test_a_watermark_that_went_back_is_said_and_shipped_again(
    autojump_clock: MockClock,
    pipeline: Pipeline,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
    busy: bool,
) -> None:
    """Also while no visitor comes, and nothing was pending."""
    tape = Tape(kept=1_000)
    living = active(pipeline, tape)
    watch = JournalWatch(living.states)
    nursery.start_soon(living.run)
    tape.write(4, 4)
    await until(lambda: living.pending == 0)
    standby = pipeline.counts.copy()
    tape.write(7, 5)
    await until(lambda: living.pending == 0)
    if busy:
        tape.write(3)
    pipeline.counts.go_back(standby)
    await until(lambda: living.shipper.is_recovering, limit_s=2 * IDLE_CHECK_S)
    component = watch.component("edge-0/counting")
    assert not component.ready
    assert component.reason.startswith(
        f"journal {tape.id.hex}: Postgres lost commits: it went back from click 20"
    )
    await until(lambda: living.pending == 0)
    assert watch.component("edge-0/counting").ready
    assert pipeline.counted(tape.id) == tape.clicks
    rollbacks = living.shipper.rollbacks
    assert (rollbacks.times, rollbacks.clicks, rollbacks.lost) == (1, 12, 0)
    said = [event for event in events(caplog) if event != "lease_went_back"]
    assert said == ["watermark_went_back", "stream_reset", "watermark_recovered"]
    assert {record.levelno for record in caplog.records} <= {logging.ERROR, logging.WARNING}


async def test_a_journal_that_postgres_has_never_heard_of_is_registered_again(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tape = Tape(kept=1_000)
    standby = pipeline.counts.copy()
    living = active(pipeline, tape)
    nursery.start_soon(living.run)
    tape.write(2, 2)
    await until(lambda: living.pending == 0)
    pipeline.counts.go_back(standby)
    assert tape.id not in pipeline.counts.journals
    await until(lambda: living.shipper.rollbacks.times == 1)
    await until(lambda: living.pending == 0)
    assert pipeline.counted(tape.id) == tape.clicks


async def test_a_journal_that_is_gone_before_its_first_commit_is_registered_again(
    autojump_clock: MockClock,
) -> None:
    """Its watermark does not go back: it is 0 before and after."""
    pipeline, tape = Pipeline(), Tape()
    living = active(pipeline, tape)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        tape.write(2)
        await until(lambda: living.shipper.shipped == 2)
        del pipeline.counts.journals[tape.id]
        await until(lambda: tape.id in pipeline.counts.journals)
        nursery.cancel_scope.cancel()


async def test_what_is_not_kept_any_more_is_counted_as_lost_once_and_the_journal_goes_on(
    autojump_clock: MockClock,
    pipeline: Pipeline,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tape = Tape(kept=5)
    living = active(pipeline, tape)
    nursery.start_soon(living.run)
    tape.write(4)
    await until(lambda: living.pending == 0)
    standby = pipeline.counts.copy()
    tape.write(*[1] * 20)
    await until(lambda: living.pending == 0)
    for _ in range(2):
        pipeline.counts.go_back(standby.copy())
        await until(lambda: living.shipper.is_recovering)
        await until(lambda: living.pending == 0)
    tape.write(1)
    await until(lambda: living.pending == 0)
    assert living.shipper.rollbacks.lost == 15
    assert "15 are lost" in next(r for r in caplog.messages if "lost commits" in r)
    assert pipeline.counted(tape.id) == [*tape.clicks[:4], *tape.clicks[19:]]
    assert [(b.first, b.last, b.payload) for _, b, _ in pipeline.counts.dead_letters] == [
        (5, 19, b"")
    ]


async def test_an_aggregator_does_not_wait_above_a_watermark_that_went_back(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    """It holds the lease under the same token, and no entry ever comes above the sequence that it knows."""
    tape = Tape()
    tape.write(3, 3)
    await pipeline.ledger.register(tape.id)
    await pipeline.stream.add(tape.id, 0, tape.frames[0])
    await until(lambda: pipeline.counts.journals[tape.id].folded == 3)
    standby = pipeline.counts.copy()
    await pipeline.stream.add(tape.id, 3, tape.frames[1])
    await until(lambda: pipeline.counts.journals[tape.id].folded == 6)
    pipeline.counts.go_back(standby)
    await until(lambda: pipeline.counts.journals[tape.id].folded == 6, limit_s=5)
    assert pipeline.counted(tape.id) == tape.clicks


async def test_two_holders_on_two_timelines_never_share_a_token(autojump_clock: MockClock) -> None:
    pipeline = Pipeline()
    tape = Tape()
    await pipeline.ledger.register(tape.id)
    standby = pipeline.counts.copy()
    await trio.sleep(1)
    (old,) = await pipeline.ledger.lease("old", 1, 10)
    pipeline.counts.go_back(standby)
    await trio.sleep(1)
    (new,) = await pipeline.ledger.lease("new", 1, 10)
    assert old.fencing_token != new.fencing_token


# ---- orphans -------------------------------------------------------------------------------------


async def test_a_counted_orphan_is_kept_unleased_and_then_deleted(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tape = Tape()
    tape.write(5)
    orphans = orphans_of(pipeline, tape)
    nursery.start_soon(orphans.run)
    await until(lambda: orphans.pending_clicks() == 0)
    await trio.sleep(KEPT_S - MINUTE)
    row = pipeline.counts.journals[tape.id]
    assert not tape.discarded
    assert not row.is_leasable
    assert not row.retired
    await until(lambda: tape.removed, limit_s=2 * MINUTE)
    assert row.retired


@pytest.mark.parametrize("known", [False, True])
async def test_a_kept_orphan_is_shipped_again_when_postgres_goes_back(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery, known: bool
) -> None:
    """From its watermark, or from its start if the standby has never heard of it."""
    tape = Tape(kept=100)
    tape.write(2)
    if known:
        await pipeline.ledger.register(tape.id)
    standby = pipeline.counts.copy()
    tape.write(3)
    orphans = orphans_of(pipeline, tape)
    nursery.start_soon(orphans.run)
    await until(lambda: orphans.pending_clicks() == 0)
    await trio.sleep(MINUTE)
    pipeline.counts.go_back(standby)
    assert pipeline.counted(tape.id) != tape.clicks
    await until(lambda: pipeline.counted(tape.id) == tape.clicks)
    await until(lambda: orphans.pending_clicks() == 0)
    assert not tape.removed


@pytest.mark.timeout(10)  # virtual time stands still in a loop without a sleep
async def test_the_end_of_a_kept_orphan_that_cannot_be_read_again_is_lost_once(
    autojump_clock: MockClock,
    pipeline: Pipeline,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The disk lost it after it was counted; the journal is counted as far as it goes, and then deleted."""
    tape = Tape(kept=100)
    tape.write(2)
    await pipeline.ledger.register(tape.id)
    standby = pipeline.counts.copy()
    tape.write(3, 4)
    clicks = tape.clicks
    orphans = orphans_of(pipeline, tape)
    nursery.start_soon(orphans.run)
    await until(lambda: orphans.pending_clicks() == 0)
    tape.frames.pop()
    for _ in range(2):
        reads = tape.reads
        pipeline.counts.go_back(standby.copy())
        await until(lambda: pipeline.counted(tape.id) == clicks[:5])
        await until(lambda: orphans.pending_clicks() == 0)
        assert tape.reads < reads + 20
    (shipper,) = orphans._shippers.values()
    assert shipper.rollbacks.lost == 4
    assert not shipper.is_recovering
    assert events(caplog).count("rolled_back_clicks_lost") == 1
    await until(lambda: tape.removed, limit_s=2 * KEPT_S)


async def test_time_while_postgres_is_away_keeps_nothing_shorter(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    """Nobody knows meanwhile what it still has; it may come back without the counts."""
    tape = Tape(kept=100)
    tape.write(3)
    await pipeline.ledger.register(tape.id)
    standby = pipeline.counts.copy()
    orphans = orphans_of(pipeline, tape)
    nursery.start_soon(orphans.run)
    await until(lambda: orphans.pending_clicks() == 0)
    pipeline.postgres.away = True
    await trio.sleep(3 * KEPT_S)
    pipeline.counts.go_back(standby)
    pipeline.postgres.away = False
    await until(lambda: len(pipeline.counted(tape.id)) == 3)
    await until(lambda: orphans.pending_clicks() == 0)
    assert pipeline.counted(tape.id) == tape.clicks


async def test_of_kept_orphans_the_oldest_goes_first(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tapes = [Tape() for _ in range(4)]
    unlisted: list[OrphanedJournal] = []
    orphans = OrphanShipper(
        lambda: [unlisted.pop() for _ in unlisted[:]],
        pipeline.stream,
        pipeline.ledger,
        window_bytes=WINDOW,
        kept_s=KEPT_S,
        kept_bytes=lambda: 2,
    )
    nursery.start_soon(orphans.run)
    for tape in tapes:
        tape.write(1)
        unlisted.append(tape)
        await trio.sleep(5 * ORPHAN_INTERVAL_S)
    assert [tape.removed for tape in tapes] == [True, True, False, False]


@pytest.mark.parametrize(("kept_bytes", "kept"), [(10**9, MAX_KEPT), (3, 3)])
async def test_kept_orphans_are_bounded(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery, kept_bytes: int, kept: int
) -> None:
    tapes = [Tape() for _ in range(MAX_KEPT + 2)]
    for tape in tapes:
        tape.write(1)
    orphans = orphans_of(pipeline, *tapes, kept_bytes=kept_bytes)
    nursery.start_soon(orphans.run)
    await until(lambda: sum(not tape.removed for tape in tapes) == kept)
    await trio.sleep(MINUTE)
    assert sum(not tape.removed for tape in tapes) == kept
    assert orphans.not_kept == len(tapes) - kept


# ---- stand-still ---------------------------------------------------------------------------------


async def test_a_journal_that_stands_still_is_named_after_ten_seconds(
    autojump_clock: MockClock,
) -> None:
    """No aggregator runs: nothing fails, and nothing is counted."""
    pipeline, tape = Pipeline(), Tape()
    living = active(pipeline, tape)
    watch = JournalWatch(living.states)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        await trio.sleep(10 * STALL_S)
        assert watch.component("counting").ready  # nobody came
        tape.write(3)
        await trio.sleep(STALL_S - 1)
        assert watch.component("counting").ready
        await trio.sleep(3)
        component = watch.component("counting")
        assert not component.ready
        assert component.reason == (
            f"journal {tape.id.hex}: 3 clicks wait, and the watermark has stood at 0 for 12 s"
        )
        assert [sample.value for sample in watch.samples()] == [1, 0]
        await pipeline.commit(tape, up_to=3)
        await trio.sleep(2)
        assert watch.component("counting").ready
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_a_journal_that_cannot_be_registered_stands_still_too(
    autojump_clock: MockClock, server: str
) -> None:
    pipeline, tape = Pipeline(), Tape()
    getattr(pipeline, server).away = True
    living = active(pipeline, tape)
    watch = JournalWatch(living.states)
    with trio.move_on_after(STALL_S + 2):
        tape.write(1)
        await living.run()
    assert "did not arrive" in watch.component("counting").reason


async def test_an_orphan_that_stands_still_is_named(autojump_clock: MockClock) -> None:
    pipeline, tape = Pipeline(), Tape()
    tape.write(2)
    orphans = orphans_of(pipeline, tape)
    watch = JournalWatch(orphans.states)
    with trio.move_on_after(STALL_S + 2):
        await orphans.run()
    assert tape.id.hex in watch.component("counting").reason

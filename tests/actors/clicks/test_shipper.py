"""The shippers, in virtual time: every click is counted once, though Redis loses entries."""

import logging

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from actors.clicks.journals import ActiveJournalShipper
from actors.clicks.orphans import OrphanedJournal, OrphanShipper
from actors.clicks.shipper import LOOK_FOR_LOSS_S, Shipper
from tests.kit.click_pipeline import MINUTE, Pipeline, Tape, until

WINDOW = 1_000


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def shipper_of(pipeline: Pipeline, tape: Tape, window: int = 10**6) -> Shipper:
    return Shipper(tape, pipeline.stream, pipeline.ledger, window_bytes=window)


def living_of(pipeline: Pipeline, tape: Tape, window: int = 10**6) -> ActiveJournalShipper:
    return ActiveJournalShipper(
        tape, pipeline.stream, pipeline.ledger, window_bytes=window, linger_s=0.05
    )


@pytest.fixture
async def aggregated(pipeline: Pipeline, nursery: trio.Nursery) -> Pipeline:
    """With an aggregator at work."""
    aggregator = Aggregator("one", pipeline.stream, pipeline.ledger, lease_ttl_s=10)
    nursery.start_soon(aggregator.run)
    return pipeline


async def test_batches_are_shipped_in_order_and_nothing_is_left_out(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(3, 1, 5)
    shipper = shipper_of(pipeline, tape)
    await shipper.start()
    assert await shipper.ship_ready()
    assert not await shipper.ship_ready()
    assert pipeline.streams.entries[tape.id] == tape.frames
    assert shipper.shipped == 9
    tape.write(2)
    assert await shipper.ship_ready()
    assert pipeline.entries(tape.id) == [3, 4, 9, 11]


async def test_a_start_goes_on_from_the_watermark(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(3, 1, 5)
    before = shipper_of(pipeline, tape)
    await before.start()
    await before.ship_ready()
    await pipeline.commit(tape, up_to=4)
    after = shipper_of(pipeline, tape)
    await after.start()
    assert (after.watermark, after.shipped) == (4, 4)
    await after.ship_ready()
    assert pipeline.entries(tape.id) == [9]


async def test_trim_and_forget_stay_at_the_watermark(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(2, 2, 2, 2)
    living = living_of(pipeline, tape)
    with trio.move_on_after(1):
        await living.run()
    assert pipeline.entries(tape.id) == [2, 4, 6, 8]
    await pipeline.commit(tape, up_to=4)
    with trio.move_on_after(1):
        await living.shipper.follow_watermark()
        living._journal.forget(living.shipper.watermark, 0.0)
    assert tape.forgotten == 4
    assert pipeline.entries(tape.id) == [4, 6, 8]
    assert living.pending == 4


async def test_a_trim_that_fails_does_not_keep_segments(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(2, 2)
    living = living_of(pipeline, tape)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        await until(lambda: living.shipper.shipped == 4)
        pipeline.redis.refused["trim"] = 100
        await pipeline.commit(tape, up_to=4)
        await until(lambda: tape.forgotten == 4)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("frames_a_batch", [1, 3])
async def test_the_window_holds(
    autojump_clock: MockClock, pipeline: Pipeline, frames_a_batch: int
) -> None:
    """Bytes in the stream that are not committed: never more than the window and one batch."""
    tape = Tape(frames_a_batch)
    tape.write(*[4] * 60)
    largest = frames_a_batch * max(len(frame.payload) for frame in tape.frames)
    living = living_of(pipeline, tape, WINDOW)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        rounds = 0
        while living.shipper.shipped < 240:
            rounds += 1
            await trio.sleep(1)
            uncommitted = [
                batch for batch in pipeline.streams.entries[tape.id]
                if batch.last > living.shipper.watermark
            ]  # fmt: skip
            size = sum(len(batch.payload) for batch in uncommitted)
            assert size <= WINDOW + largest
            assert size >= WINDOW or living.shipper.shipped == 240
            await pipeline.commit(tape, up_to=uncommitted[len(uncommitted) // 2].last)
        assert rounds > 3
        nursery.cancel_scope.cancel()


async def test_a_restart_with_a_full_window_ships_on(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(*[4] * 40)
    shipper = shipper_of(pipeline, tape, WINDOW)
    await shipper.start()
    await shipper.ship_ready()
    await pipeline.commit(tape, up_to=shipper.shipped)
    await shipper.start()
    assert await shipper.ship_ready()


async def test_a_watermark_ahead_of_the_stream_does_not_block_the_window(
    autojump_clock: MockClock,
    pipeline: Pipeline,
) -> None:
    """An aggregator had read the stream before it was reset, and commits after it."""
    tape = Tape()
    tape.write(*[4] * 60)
    shipper = shipper_of(pipeline, tape, WINDOW)
    await shipper.start()
    await shipper.ship_ready()
    reached = shipper.shipped
    await shipper._start_over("test")
    shipper._window_bytes = 1
    await shipper.ship_ready()
    shipper._window_bytes = WINDOW
    await pipeline.commit(tape, up_to=reached)
    assert await shipper.follow_watermark()
    assert shipper.shipped == reached
    await shipper.ship_ready()
    assert shipper.shipped > reached
    for _ in range(100):
        await pipeline.commit(tape, up_to=shipper.shipped)
        await shipper.follow_watermark()
        await shipper.ship_ready()
    assert shipper.watermark == tape.appended


async def test_a_batch_without_a_response_is_added_again_unchanged(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape(frames_a_batch=100)
    tape.write(3)
    shipper = shipper_of(pipeline, tape)
    await shipper.start()
    pipeline.redis.unanswered["add"] = 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.ship_ready)
        await trio.sleep(0.02)
        tape.write(2)  # a new read would give a longer batch
    assert pipeline.entries(tape.id) == [3, 5]
    assert shipper.resets == 0


async def test_redis_away_does_not_search_the_journal_again_and_again(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(3, 3)
    shipper = shipper_of(pipeline, tape)
    await shipper.start()
    pipeline.redis.away = True
    with trio.move_on_after(MINUTE):
        await shipper.ship_ready()
    assert tape.reads == 1
    assert pipeline.redis.calls["add"] > 50
    pipeline.redis.away = False
    await shipper.ship_ready()
    assert shipper.shipped == 6


async def test_a_flush_is_noticed_by_the_next_batch(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    tape.write(1, 1, 1)
    shipper = shipper_of(pipeline, tape)
    await shipper.start()
    await shipper.ship_ready()
    await pipeline.commit(tape, up_to=1)
    pipeline.streams.flush()
    tape.write(1)
    await shipper.ship_ready()
    assert pipeline.entries(tape.id) == [2, 3, 4]
    assert shipper.resets == 1


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_a_loss_is_noticed_without_new_clicks(
    autojump_clock: MockClock, pipeline: Pipeline, lost: int
) -> None:
    tape = Tape()
    tape.write(1, 1, 1)
    living = living_of(pipeline, tape)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        await until(lambda: living.shipper.shipped == 3)
        pipeline.streams.lose_last(tape.id, lost)
        lost_at = trio.current_time()
        await until(lambda: living.shipper.resets > 0)
        assert trio.current_time() - lost_at < LOOK_FOR_LOSS_S + 1
        await until(lambda: pipeline.entries(tape.id) == [1, 2, 3])
        nursery.cancel_scope.cancel()


async def test_a_watermark_that_stands_still_is_no_loss(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    living = living_of(pipeline, tape)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        for _ in range(200):
            tape.write(1)
            await trio.sleep(0.13)
        nursery.cancel_scope.cancel()
    assert living.shipper.resets == 0


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.06, 0.11, 0.4, 0.75, 2.5])
@pytest.mark.parametrize("loss", ["flush", "one", "rollback"])
async def test_every_click_is_counted_once_though_redis_loses_entries(
    autojump_clock: MockClock, aggregated: Pipeline, delay_s: float, loss: str
) -> None:
    tape, streams = Tape(), aggregated.streams
    living = living_of(aggregated, tape, WINDOW)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        for _ in range(8):
            tape.write(2, 1)
            copy = {key: list(entries) for key, entries in streams.entries.items()}
            await trio.sleep(delay_s)
            if loss == "flush":
                streams.flush()
            elif loss == "one":
                streams.lose_last(tape.id, 1)
            else:
                streams.entries = copy
            tape.write(3)
        await until(lambda: living.pending == 0)
        nursery.cancel_scope.cancel()
    assert aggregated.counted(tape.id) == tape.clicks


async def test_a_journal_that_cannot_be_read_does_not_crash(
    autojump_clock: MockClock, aggregated: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """A crash would escalate and end the visitors' server."""
    tape = Tape()
    living = living_of(aggregated, tape)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        tape.unreadable = OSError(5, "input/output error")
        tape.write(2)
        await trio.sleep(MINUTE)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        tape.unreadable = None
        await until(lambda: living.pending == 0)
        nursery.cancel_scope.cancel()
    assert aggregated.counted(tape.id) == tape.clicks


async def test_draining_meets_shipping(autojump_clock: MockClock, aggregated: Pipeline) -> None:
    tape = Tape()
    living = living_of(aggregated, tape, WINDOW)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        for _ in range(20):
            tape.write(4, 4)
            with trio.fail_after(MINUTE):
                await living.drain()
            assert living.shipper.shipped == tape.synced
        await until(lambda: living.pending == 0)
        nursery.cancel_scope.cancel()
    assert living.shipper.resets == 0
    assert await living.delete_journal()
    assert tape.discarded
    assert aggregated.counts.journals[tape.id].retired


async def test_a_journal_that_is_not_retired_keeps_its_folder(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    """Otherwise its row would be leased for ever."""
    tape = Tape()
    living = living_of(pipeline, tape)
    await living.shipper.start()
    pipeline.postgres.away = True
    assert not await living.delete_journal()


# ---- orphans -------------------------------------------------------------------------------------


class Yard:
    """A folder of journals that lists each orphan once."""

    def __init__(self, *tapes: Tape) -> None:
        self.unlisted: list[OrphanedJournal] = list(tapes)

    def __call__(self) -> list[OrphanedJournal]:
        orphans, self.unlisted = self.unlisted, []
        return orphans


async def test_orphans_are_shipped_retired_and_removed(
    autojump_clock: MockClock, aggregated: Pipeline
) -> None:
    tapes = [Tape() for _ in range(9)]
    for n, tape in enumerate(tapes):
        tape.write(*[3] * n)
    orphans = OrphanShipper(Yard(*tapes), aggregated.stream, aggregated.ledger, window_bytes=WINDOW)
    assert orphans.pending_clicks() >= 9
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run)
        await until(lambda: all(tape.removed for tape in tapes))
        nursery.cancel_scope.cancel()
    assert orphans.pending_clicks() == 0
    assert orphans.finished == 9
    for tape in tapes:
        assert aggregated.counted(tape.id) == tape.clicks
        assert tape.discarded
        assert tape.id not in aggregated.streams.entries
        assert not tape.frames or aggregated.counts.journals[tape.id].retired


async def test_clicks_are_deleted_before_the_row_is_retired_and_the_folder_after(
    autojump_clock: MockClock,
    aggregated: Pipeline,
) -> None:
    """A retired row is deleted later; clicks that are recovered after that would count twice."""
    tape = Tape()
    tape.write(2)
    orphans = OrphanShipper(Yard(tape), aggregated.stream, aggregated.ledger, window_bytes=WINDOW)
    aggregated.postgres.refused["delete_journal"] = 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run)
        await until(lambda: aggregated.postgres.calls["delete_journal"] == 3)
        assert tape.discarded
        assert not tape.removed
        assert not aggregated.counts.journals[tape.id].retired
        await until(lambda: tape.removed)
        assert aggregated.counts.journals[tape.id].retired
        nursery.cancel_scope.cancel()


async def test_orphans_survive_a_crash_of_their_shipper(
    autojump_clock: MockClock, aggregated: Pipeline
) -> None:
    tapes = [Tape(), Tape(), Tape()]
    for tape in tapes:
        tape.write(2, 2)
    orphans = OrphanShipper(Yard(*tapes), aggregated.stream, aggregated.ledger, window_bytes=WINDOW)
    with trio.move_on_after(0.02):
        await orphans.run()
    assert orphans.adopted == 3
    assert orphans.finished == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run)
        await until(lambda: all(tape.removed for tape in tapes))
        nursery.cancel_scope.cancel()
    assert [aggregated.counted(tape.id) for tape in tapes] == [tape.clicks for tape in tapes]


async def test_an_unreadable_orphan_stops_no_other(
    autojump_clock: MockClock, aggregated: Pipeline
) -> None:
    bad, good = Tape(), Tape()
    bad.write(1)
    good.write(1)
    bad.unreadable = OSError(5, "input/output error")
    orphans = OrphanShipper(
        Yard(bad, good), aggregated.stream, aggregated.ledger, window_bytes=WINDOW
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run)
        await until(lambda: good.removed)
        nursery.cancel_scope.cancel()
    assert not bad.removed
    assert orphans.unreadable == 1
    assert orphans.pending_clicks() == 1


async def test_damage_is_logged_and_counted(
    autojump_clock: MockClock, aggregated: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    tape = Tape()
    tape.write(1)
    tape.dropped_clicks, tape.dropped_bytes = 7, 300
    orphans = OrphanShipper(Yard(tape), aggregated.stream, aggregated.ledger, window_bytes=WINDOW)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orphans.run)
        await until(lambda: tape.removed)
        nursery.cancel_scope.cancel()
    assert orphans.dropped_clicks == 7
    assert "journal_damaged" in [getattr(record, "event", "") for record in caplog.records]

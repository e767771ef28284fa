"""The aggregator, in virtual time: each click counts once, despite other aggregators and failures."""

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.aggregator import FOLD_GAPS, GAP_WAIT_S, Aggregator, contiguous_batches
from actors.clicks.journal_leases import STREAMS_A_ROUND
from engine.clicks.batch import Batch
from engine.common.errors import UnavailableError
from engine.stats.ledger_ports import JournalLease
from tests.kit.click_pipeline import MINUTE, Pipeline, Tape, until
from tests.system.simulation.faults import FaultyClickLedger

TTL_S = 10.0


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def aggregator_of(pipeline: Pipeline, owner: str = "one") -> Aggregator:
    return Aggregator(owner, pipeline.stream, pipeline.ledger, lease_ttl_s=TTL_S)


async def shipped(pipeline: Pipeline, tape: Tape, *batches: Batch) -> None:
    """Batches as a shipper adds them to the stream."""
    await pipeline.ledger.register(tape.id)
    previous = 0
    for batch in batches or tape.frames:
        assert await pipeline.stream.add(tape.id, previous, batch)
        previous = batch.last


def watermark(pipeline: Pipeline, tape: Tape) -> int:
    return pipeline.counts.journals[tape.id].folded


def batches(*bounds: tuple[int, int]) -> list[Batch]:
    return [Batch(first, last, b"") for first, last in bounds]


@pytest.mark.parametrize(
    ("sequence", "ranges", "ready"),
    [
        (0, [], []),
        (0, [(1, 3), (4, 4)], [(1, 3), (4, 4)]),
        (3, [(1, 3), (4, 4)], [(4, 4)]),
        (2, [(1, 3), (4, 4)], [(1, 3), (4, 4)]),
        (9, [(1, 3), (4, 4)], []),
        (0, [(2, 3)], []),
        (0, [(1, 3), (5, 6), (7, 8)], [(1, 3)]),
        (0, [(1, 3), (2, 5), (6, 6)], [(1, 3), (2, 5), (6, 6)]),
        (4, [(1, 3), (2, 5), (7, 7)], [(2, 5)]),
    ],
)
def test_contiguous_batches_continue_a_sequence(
    sequence: int, ranges: list[tuple[int, int]], ready: list[tuple[int, int]]
) -> None:
    assert contiguous_batches(batches(*ranges), sequence) == batches(*ready)


async def test_all_clicks_of_the_stream_are_counted(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tape = Tape()
    tape.write(3, 1, 200, 5)
    await shipped(pipeline, tape)
    aggregator = aggregator_of(pipeline)
    nursery.start_soon(aggregator.run)
    await until(lambda: watermark(pipeline, tape) == 209)
    assert pipeline.counted(tape.id) == tape.clicks
    assert (aggregator.folded, aggregator.streams, aggregator.gaps) == (209, 1, 0)


async def test_a_gap_is_waited_out(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tape = Tape()
    tape.write(2, 2, 2)
    first, _, third = tape.frames
    await shipped(pipeline, tape, first, third)
    aggregator = aggregator_of(pipeline)
    nursery.start_soon(aggregator.run)
    await trio.sleep(MINUTE)
    assert watermark(pipeline, tape) == 2
    assert aggregator.gaps == pytest.approx(MINUTE / GAP_WAIT_S, abs=2)
    assert FOLD_GAPS.sample(aggregator.gaps) in aggregator.samples()
    await pipeline.stream.reset(tape.id)
    await shipped(pipeline, tape)
    await until(lambda: watermark(pipeline, tape) == 6)
    assert pipeline.counted(tape.id) == tape.clicks
    # Neither a stream with nothing new is a gap, nor one whose batches continue the watermark.
    gaps = aggregator.gaps
    await trio.sleep(MINUTE)
    tape.write(1)
    await pipeline.stream.add(tape.id, 6, tape.frames[-1])
    await until(lambda: watermark(pipeline, tape) == 7)
    assert aggregator.gaps == gaps


@pytest.mark.parametrize(
    "damage",
    [
        lambda payload: payload[:-1],
        lambda payload: payload + b"\0",
        lambda payload: payload[:30] + b"?" + payload[31:],
        lambda payload: b"",
    ],
    ids=["short", "long", "changed", "empty"],
)
async def test_a_poison_batch_is_dead_lettered_whole_and_the_stream_goes_on(
    autojump_clock: MockClock,
    pipeline: Pipeline,
    nursery: trio.Nursery,
    damage: Callable[[bytes], bytes],
) -> None:
    tape = Tape()
    tape.write(2, 2, 2, 2)
    bad = tape.frames[1]._replace(payload=damage(tape.frames[1].payload))
    await shipped(pipeline, tape, tape.frames[0], bad, *tape.frames[2:])
    aggregator = aggregator_of(pipeline)
    nursery.start_soon(aggregator.run)
    await until(lambda: watermark(pipeline, tape) == 8)
    ((journal_id, batch, reason),) = pipeline.counts.dead_letters
    assert (journal_id, batch) == (tape.id, bad)
    assert reason.startswith("FormatError: ")
    assert pipeline.counted(tape.id) == [
        click for n, click in enumerate(tape.clicks) if n // 2 != 1
    ]
    assert aggregator.dead_lettered == 1


async def test_a_transient_error_dead_letters_nothing(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tape = Tape()
    tape.write(2, 2)
    await shipped(pipeline, tape)
    errors: list[Exception] = [RuntimeError("once"), RuntimeError("twice")]
    pipeline.postgres.errors["commit"] = lambda: errors.pop() if errors else None
    nursery.start_soon(aggregator_of(pipeline).run)
    await until(lambda: watermark(pipeline, tape) == 4)
    assert pipeline.counts.dead_letters == []
    assert pipeline.counted(tape.id) == tape.clicks


async def test_a_stream_with_a_failing_dead_letter_stops_no_other(
    autojump_clock: MockClock, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Tape(), Tape()
    bad.write(1)
    good.write(1)
    await shipped(pipeline, bad, bad.frames[0]._replace(payload=b""))
    await shipped(pipeline, good)
    pipeline.postgres.errors["dead_letter"] = lambda: RuntimeError("no such table")
    aggregator = aggregator_of(pipeline)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aggregator.run)
        for _ in range(20):
            good.write(1)
            await pipeline.stream.add(good.id, good.appended - 1, good.frames[-1])
            await until(lambda: watermark(pipeline, good) == good.appended)
        assert watermark(pipeline, bad) == 0
        del pipeline.postgres.errors["dead_letter"]
        await until(lambda: watermark(pipeline, bad) == 1)
        nursery.cancel_scope.cancel()
    assert "fold_failed" in {getattr(record, "event", "") for record in caplog.records}


@pytest.mark.parametrize("name", ["commit", "dead_letter", "read", "lease", "share"])
@pytest.mark.parametrize("kind", ["refused", "unanswered"])
async def test_calls_that_fail_or_lose_their_response(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery, name: str, kind: str
) -> None:
    """A commit without a response may have happened; the lease has the next sequence."""
    tape = Tape()
    tape.write(2, 2, 2)
    poison = tape.frames[1]._replace(payload=b"")
    await shipped(pipeline, tape, tape.frames[0], poison, tape.frames[2])
    for plan in (pipeline.redis, pipeline.postgres):
        getattr(plan, kind)[name] = 3
    nursery.start_soon(aggregator_of(pipeline).run)
    await until(lambda: watermark(pipeline, tape) == 6)
    assert pipeline.counted(tape.id) == tape.clicks[:2] + tape.clicks[4:]
    assert len(pipeline.counts.dead_letters) == 1


async def test_a_commit_without_a_response_followed_by_a_trim(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    """The batch that the aggregator would read next is committed already, and trimmed."""
    tape = Tape()
    tape.write(2)
    await shipped(pipeline, tape)
    pipeline.postgres.unanswered["commit"] = 1
    nursery.start_soon(aggregator_of(pipeline).run)
    await until(lambda: pipeline.postgres.unanswered["commit"] == 0)
    tape.write(2)
    await pipeline.stream.add(tape.id, 2, tape.frames[-1])
    await pipeline.stream.trim(tape.id, 4)
    await until(lambda: watermark(pipeline, tape) == 4)
    assert pipeline.counted(tape.id) == tape.clicks


async def test_a_stopped_aggregator_commits_nothing_when_it_continues(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    """It had read the stream and was stopped for longer than its lease; another aggregator went on."""
    goes_on = trio.Event()

    class Stopped(FaultyClickLedger):
        async def commit(self, position: JournalLease, batches: Sequence[Batch]) -> JournalLease:
            await goes_on.wait()
            return await super().commit(position, batches)

        async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
            if self.leased:
                await goes_on.wait()
            self.leased = True
            return await super().lease(owner, limit, ttl_s)

        leased = False

    tape = Tape()
    tape.write(2, 2)
    await shipped(pipeline, tape)
    ledger = Stopped(pipeline.ledger, pipeline.postgres)
    stopped = Aggregator("stopped", pipeline.stream, ledger, lease_ttl_s=TTL_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stopped.run)
        await trio.sleep(1)
        nursery.start_soon(aggregator_of(pipeline, "other").run)
        await trio.sleep(TTL_S / 2)
        assert watermark(pipeline, tape) == 0
        await until(lambda: watermark(pipeline, tape) == 4)
        goes_on.set()
        await trio.sleep(2 * TTL_S)
        nursery.cancel_scope.cancel()
    assert stopped.folded == 0
    assert pipeline.counted(tape.id) == tape.clicks


async def test_two_aggregators_on_one_stream_by_mistake(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    """They share a name, so both believe to hold the lease; only one of them makes each commit."""
    tape = Tape()
    twins = [aggregator_of(pipeline), aggregator_of(pipeline)]
    await pipeline.ledger.register(tape.id)
    async with trio.open_nursery() as nursery:
        for twin in twins:
            nursery.start_soon(twin.run)
        previous = 0
        for _ in range(50):
            tape.write(3)
            await pipeline.stream.add(tape.id, previous, tape.frames[-1])
            previous = tape.appended
            await trio.sleep(0.3)
        await until(lambda: watermark(pipeline, tape) == tape.appended)
        nursery.cancel_scope.cancel()
    assert pipeline.counted(tape.id) == tape.clicks
    assert sum(twin.folded for twin in twins) == tape.appended


async def test_every_stream_is_leased(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tapes = [Tape() for _ in range(5 * STREAMS_A_ROUND)]
    for tape in tapes:
        tape.write(1)
        await shipped(pipeline, tape)
    nursery.start_soon(aggregator_of(pipeline).run)
    await until(lambda: all(watermark(pipeline, tape) == 1 for tape in tapes))


async def test_aggregators_share_the_streams(
    autojump_clock: MockClock, pipeline: Pipeline, nursery: trio.Nursery
) -> None:
    tapes = [Tape() for _ in range(4 * STREAMS_A_ROUND)]
    for tape in tapes:
        await pipeline.ledger.register(tape.id)
    both = [aggregator_of(pipeline, name) for name in ("one", "two")]
    for aggregator in both:
        nursery.start_soon(aggregator.run)
    await trio.sleep(3 * TTL_S)
    assert [aggregator.streams for aggregator in both] == [2 * STREAMS_A_ROUND] * 2


async def test_leases_of_a_stopped_aggregator_are_free_at_once(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    tape = Tape()
    await pipeline.ledger.register(tape.id)
    with trio.move_on_after(1):
        await aggregator_of(pipeline).run()
    tape.write(1)
    await shipped(pipeline, tape)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(aggregator_of(pipeline, "two").run)
        await until(lambda: watermark(pipeline, tape) == 1, limit_s=1)
        nursery.cancel_scope.cancel()


async def test_stopping_while_postgres_is_away(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    pipeline.postgres.away = True
    aggregator = aggregator_of(pipeline)
    with trio.fail_after(MINUTE), trio.move_on_after(1):
        await aggregator.run()
    assert aggregator.last_error == str(UnavailableError("share did not arrive"))

"""An aggregator whose work stands still says so after ten seconds, in virtual time."""

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from tests.kit.click_pipeline import MINUTE, Pipeline, Tape, until


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
async def aggregator(pipeline: Pipeline, nursery: trio.Nursery) -> Aggregator:
    aggregator = Aggregator("one", pipeline.stream, pipeline.ledger, lease_ttl_s=10.0)
    nursery.start_soon(aggregator.run)
    return aggregator


async def leased(pipeline: Pipeline, aggregator: Aggregator, count: int) -> list[Tape]:
    tapes = [Tape() for _ in range(count)]
    for tape in tapes:
        await pipeline.ledger.register(tape.id)
    await until(lambda: aggregator.streams == count)
    return tapes


def reasons(aggregator: Aggregator) -> list[str]:
    return [stall for stall in aggregator.stalls() if stall]


async def test_journals_without_clicks_do_not_stall(
    autojump_clock: MockClock, pipeline: Pipeline, aggregator: Aggregator
) -> None:
    await leased(pipeline, aggregator, 3)
    await trio.sleep(MINUTE)
    assert reasons(aggregator) == []


async def test_a_gap_that_is_not_filled_stalls_its_journal(
    autojump_clock: MockClock, pipeline: Pipeline, aggregator: Aggregator
) -> None:
    tape, _ = await leased(pipeline, aggregator, 2)
    tape.write(2, 2)
    assert await pipeline.stream.add(tape.id, 0, tape.frames[1])
    await trio.sleep(9)
    assert reasons(aggregator) == []
    await trio.sleep(3)
    (reason,) = reasons(aggregator)
    assert reason.startswith("1 of 2 journals: no progress for 1")
    await pipeline.stream.reset(tape.id)
    assert await pipeline.stream.add(tape.id, 0, tape.frames[0])
    await until(lambda: pipeline.counts.journals[tape.id].folded == 2)
    await until(lambda: reasons(aggregator) == [])


@pytest.mark.parametrize("server", ["redis", "postgres"])
async def test_a_server_that_is_away_stalls_what_needs_it(
    autojump_clock: MockClock, server: str, pipeline: Pipeline, aggregator: Aggregator
) -> None:
    (tape,) = await leased(pipeline, aggregator, 1)
    plan = pipeline.redis if server == "redis" else pipeline.postgres
    plan.away = True
    if server == "postgres":
        tape.write(3)
        assert await pipeline.stream.add(tape.id, 0, tape.frames[0])
    await trio.sleep(12)
    assert reasons(aggregator)
    assert all("did not arrive" in reason for reason in reasons(aggregator))
    works = "leases of journals" if server == "postgres" else "1 of 1 journals"
    assert any(reason.startswith(works) for reason in reasons(aggregator))
    plan.away = False
    await until(lambda: reasons(aggregator) == [])

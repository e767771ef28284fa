"""Journal leases: held only inside of their block, under a new fencing token each time."""

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.journal_leases import RELEASE_LIMIT_S, STREAMS_A_ROUND, JournalLeases
from tests.kit.click_pipeline import Pipeline, Tape

TTL_S = 10.0


@pytest.fixture
async def pipeline() -> Pipeline:
    pipeline = Pipeline()
    for _ in range(3 * STREAMS_A_ROUND):
        await pipeline.ledger.register(Tape().id)
    return pipeline


def owners(pipeline: Pipeline) -> list[str]:
    return [row.owner for row in pipeline.counts.journals.values() if row.owner]


async def test_each_round_acquires_a_few_more(pipeline: Pipeline) -> None:
    async with JournalLeases("one", pipeline.ledger, TTL_S) as leases:
        held = [len(await leases.renew()) for _ in range(4)]
    assert held == [STREAMS_A_ROUND * n for n in (1, 2, 3, 3)]
    assert owners(pipeline) == []


async def test_leases_of_an_earlier_life_are_acquired_under_a_new_token(pipeline: Pipeline) -> None:
    before = await pipeline.ledger.lease("one", 1, TTL_S)
    async with JournalLeases("one", pipeline.ledger, TTL_S) as leases:
        after = await leases.renew()
    (lease,) = before
    assert after.get(lease.journal_id) is None or (
        after[lease.journal_id].fencing_token > lease.fencing_token
    )


async def test_outside_of_the_block_nothing_is_acquired(pipeline: Pipeline) -> None:
    leases = JournalLeases("one", pipeline.ledger, TTL_S)
    with pytest.raises(RuntimeError):
        await leases.renew()
    async with leases:
        assert await leases.renew()
    with pytest.raises(RuntimeError):
        await leases.renew()
    assert owners(pipeline) == []


async def test_they_are_released_when_the_block_is_cancelled(pipeline: Pipeline) -> None:
    with trio.CancelScope() as scope:
        async with JournalLeases("one", pipeline.ledger, TTL_S) as leases:
            assert await leases.renew()
            scope.cancel()
            await trio.sleep_forever()
    assert owners(pipeline) == []


async def test_a_release_without_an_answer_is_given_up(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    with trio.fail_after(2 * RELEASE_LIMIT_S + 1):
        pipeline.postgres.away = True
        async with JournalLeases("one", pipeline.ledger, TTL_S):
            pass

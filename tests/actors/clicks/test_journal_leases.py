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
        lease_counts = [len(await leases.renew()) for _ in range(4)]
    assert lease_counts == [STREAMS_A_ROUND * n for n in (1, 2, 3, 3)]
    assert owners(pipeline) == []


async def test_leases_from_before_a_restart_get_a_new_fencing_token(pipeline: Pipeline) -> None:
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


async def test_leases_are_released_when_the_block_is_cancelled(pipeline: Pipeline) -> None:
    with trio.CancelScope() as scope:
        async with JournalLeases("one", pipeline.ledger, TTL_S) as leases:
            assert await leases.renew()
            scope.cancel()
            await trio.sleep_forever()
    assert owners(pipeline) == []


async def test_a_release_without_a_response_is_abandoned(
    autojump_clock: MockClock, pipeline: Pipeline
) -> None:
    with trio.fail_after(2 * RELEASE_LIMIT_S + 1):
        pipeline.postgres.away = True
        async with JournalLeases("one", pipeline.ledger, TTL_S):
            pass

"""Deleted journals whose counts Postgres loses: said, counted, and never leased for ever."""

import pytest
import trio
from trio.testing import MockClock

from actors.clicks import ended_journals
from actors.clicks.ended_journals import CHECK_INTERVAL_S, REMEMBERED_S, EndedJournals
from actors.clicks.shipper import Rollbacks
from tests.kit.click_pipeline import Pipeline, Tape, until


class Ended:
    """A journal that was counted up to 6 and deleted, and a standby with `folded` clicks of it."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()
        self.tape = Tape()
        self.rollbacks = Rollbacks()
        self.ended = EndedJournals(self.pipeline.ledger, self.rollbacks)

    async def count_and_delete(self) -> None:
        self.tape.write(4)
        await self.pipeline.ledger.register(self.tape.id)
        await self.pipeline.commit(self.tape, up_to=4)
        self.standby = self.pipeline.counts.copy()
        self.tape.write(2)
        await self.pipeline.commit(self.tape, up_to=6)
        await self.pipeline.ledger.delete_journal(self.tape.id)
        self.ended.add(self.tape.id, 6)


@pytest.fixture
async def ended() -> Ended:
    ended = Ended()
    await ended.count_and_delete()
    return ended


async def test_what_postgres_lost_of_a_deleted_journal_is_counted_once(
    autojump_clock: MockClock,
    ended: Ended,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nursery.start_soon(ended.ended.run)
    await trio.sleep(3 * CHECK_INTERVAL_S)
    assert ended.rollbacks.times == 0
    ended.pipeline.counts.go_back(ended.standby)
    await until(lambda: ended.rollbacks.times == 1)
    await trio.sleep(3 * CHECK_INTERVAL_S)
    assert (ended.rollbacks.times, ended.rollbacks.clicks, ended.rollbacks.lost) == (1, 2, 2)
    assert "went back from click 6 to 4" in caplog.text
    assert ended.pipeline.counts.journals[ended.tape.id].retired


async def test_a_journal_without_a_row_is_lost_as_a_whole(
    autojump_clock: MockClock, ended: Ended
) -> None:
    ended.pipeline.counts.journals.clear()
    await ended.ended.check()
    assert ended.rollbacks.lost == 6


async def test_a_purged_row_is_no_loss(autojump_clock: MockClock, ended: Ended) -> None:
    await trio.sleep(REMEMBERED_S)
    ended.pipeline.counts.journals.clear()
    await ended.ended.check()
    assert (ended.rollbacks.times, len(ended.ended)) == (0, 0)


async def test_an_outage_is_no_loss(
    autojump_clock: MockClock, ended: Ended, nursery: trio.Nursery
) -> None:
    nursery.start_soon(ended.ended.run)
    ended.pipeline.postgres.away = True
    await trio.sleep(3 * CHECK_INTERVAL_S)
    ended.pipeline.counts.go_back(ended.standby)
    ended.pipeline.postgres.away = False
    await until(lambda: ended.rollbacks.lost == 2)


async def test_the_list_is_bounded(
    autojump_clock: MockClock, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended_journals, "MAX_REMEMBERED", 3)
    for _ in range(9):
        ended.ended.add(Tape().id, 1)
    assert len(ended.ended) == 3

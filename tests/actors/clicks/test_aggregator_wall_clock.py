"""Jumps of an edge's wall clock by an hour and back: each click counts once, in its clock's time bucket."""

from collections import Counter
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from actors.clicks.aggregator import Aggregator
from actors.clicks.journals import ActiveJournalShipper
from engine.clicks.click import Click
from engine.clicks.journal_format import clicks, encode_record
from engine.clicks.rollup import TIME_BUCKET_US
from storage.clicks.journal import Journal
from storage.clicks.recovery import OrphanReader
from tests.kit.click_pipeline import Pipeline, until
from tests.kit.recorded_journal import batches
from tests.kit.shipped_batches import NOW_US, click

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
JUMPS_US = (0, HOUR_US, 0, -HOUR_US)


@pytest.fixture
async def journal(tmp_path: Path) -> Journal:
    """240 clicks, one a minute, in several segments; every 60th minute the clock jumps."""
    now_us = NOW_US
    journal = Journal(
        tmp_path, segment_bytes=8192, max_bytes=2**20, sync_ms=100, wall_us=lambda: now_us
    )
    journal.open()
    for minute in range(240):
        now_us = NOW_US + minute * MINUTE_US + JUMPS_US[minute // 60]
        assert journal.append([encode_record(click_at(now_us, minute))])
        assert await journal.sync()
    assert len(list(journal.folder.glob("*.segment"))) > 2
    return journal


def click_at(at_us: int, minute: int) -> Click:
    return click(link_id=minute + 1, at_us=at_us, user_agent=b"x" * 100)


EXPECTED = [
    click_at(NOW_US + minute * MINUTE_US + JUMPS_US[minute // 60], minute) for minute in range(240)
]


async def test_every_click_is_in_the_time_bucket_of_its_clock(
    journal: Journal, autojump_clock: MockClock
) -> None:
    pipeline = Pipeline()
    living = ActiveJournalShipper(
        journal, pipeline.stream, pipeline.ledger, window_bytes=4096, linger_s=0.05
    )
    aggregator = Aggregator("one", pipeline.stream, pipeline.ledger, lease_ttl_s=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(living.run)
        nursery.start_soon(aggregator.run)
        await until(lambda: living.pending == 0)
        nursery.cancel_scope.cancel()
    assert pipeline.counted(journal.id) == EXPECTED
    buckets = Counter(c.at_us - c.at_us % TIME_BUCKET_US for c in EXPECTED)
    counted = Counter(c.at_us - c.at_us % TIME_BUCKET_US for c in pipeline.counts.deltas)
    assert counted == buckets
    assert max(buckets.values()) == 45  # one hour happened three times
    journal.close(remove=True)


async def test_a_dead_edges_journal_is_read_in_order_despite_clock_jumps(
    journal: Journal,
) -> None:
    journal.close(remove=False)
    recovery = OrphanReader(journal.folder)
    assert recovery.adopt()
    read = [click for batch in batches(recovery) for click in clicks(batch.payload)]
    assert read == EXPECTED
    assert recovery.dropped_clicks == 0
    recovery.close(remove=True)

"""Counted segments: kept for their time, within their bytes, readable, and never in the way of new clicks."""

import errno
from pathlib import Path
from random import Random

import pytest

from engine.clicks.batch import Batch
from engine.clicks.journal_format import encode_record
from storage.clicks.journal import Journal
from tests.kit.faulty_files import Fault, FaultyFiles
from tests.kit.recorded_journal import SEGMENT_BYTES, Clock
from tests.kit.shipped_batches import click

KEPT_S = 600


class Kept:
    """A journal with some full segments, of which `firsts` are the first sequences."""

    def __init__(self, folder: Path, *, kept_segments: int = 100, max_segments: int = 100) -> None:
        self.clock = Clock()
        self.failing = False
        self.files = FaultyFiles(self._decide)
        self.journal = Journal(
            folder,
            segment_bytes=SEGMENT_BYTES,
            max_bytes=max_segments * SEGMENT_BYTES,
            sync_ms=100,
            kept_ms=KEPT_S * 1000,
            kept_bytes=kept_segments * SEGMENT_BYTES,
            files=self.files,
            clock=self.clock,
            wall_us=lambda: 0,
        )
        self.journal.open()

    def _decide(self, operation: str, number: int) -> Fault | None:
        if self.failing and operation == "create":
            self.failing = False  # what is deleted makes room
            return Fault(errno.ENOSPC)
        return None

    async def fill(self, segments: int) -> None:
        begun = len(self.firsts)
        while len(self.firsts) < begun + segments and self.append():
            pass
        assert await self.journal.sync()

    def append(self) -> bool:
        return self.journal.append([encode_record(click(user_agent=b"x" * 200))] * 3)

    @property
    def firsts(self) -> list[int]:
        names = self.journal.folder.glob("*.segment")
        return sorted(int(path.stem) for path in names)

    def read_all(self, after: int) -> list[Batch]:
        batches = []
        while (batch := self.journal.read(after, 1)) is not None:
            assert batch.first <= after + 1 <= batch.last  # frames are whole
            batches.append(batch)
            after = batch.last
        assert after == self.journal.synced
        return batches


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


async def test_a_counted_segment_is_readable_until_its_time_is_over(kept: Kept) -> None:
    await kept.fill(3)
    firsts = kept.firsts
    before = kept.read_all(0)
    kept.journal.forget(kept.journal.synced)
    assert kept.firsts == firsts
    assert kept.read_all(0) == before
    kept.clock.now += KEPT_S - 1
    kept.journal.forget(kept.journal.synced)
    assert kept.firsts == firsts
    kept.clock.now += 1
    kept.journal.forget(kept.journal.synced)
    assert kept.firsts == firsts[-1:]
    assert kept.journal.oldest == firsts[-1]
    assert kept.journal.kept.dropped == 0


async def test_the_time_counts_up_to_the_last_sight_of_postgres(kept: Kept) -> None:
    await kept.fill(2)
    kept.journal.forget(kept.journal.synced)
    kept.clock.now += 10 * KEPT_S
    kept.journal.forget(kept.journal.synced, seen_s_ago=9.5 * KEPT_S)
    assert len(kept.journal.kept) == 2
    kept.journal.forget(kept.journal.synced, seen_s_ago=9 * KEPT_S)
    assert len(kept.journal.kept) == 0


async def test_beyond_their_bytes_the_oldest_go_first_and_are_counted(tmp_path: Path) -> None:
    kept = Kept(tmp_path, kept_segments=2)
    await kept.fill(4)
    firsts = kept.firsts
    kept.journal.forget(kept.journal.synced)
    assert kept.firsts == firsts[-3:]  # two are kept, one is being written
    assert (kept.journal.kept.dropped, kept.journal.oldest) == (2, firsts[-3])


async def test_visitors_wait_for_freed_space_on_a_full_disk_only(tmp_path: Path) -> None:
    kept = Kept(tmp_path, kept_segments=3)
    files, later = kept.files, list[Path]()

    def remove_later(path: Path) -> None:
        later.append(path)
        files.remove(path)

    files.remove_later = remove_later  # type: ignore[method-assign]
    await kept.fill(5)
    firsts = kept.firsts
    kept.journal.forget(kept.journal.synced)
    assert [int(path.stem) for path in later] == firsts[:2]  # over the bound
    kept.failing = True
    await kept.fill(1)
    assert (len(later), kept.firsts[0]) == (2, firsts[3])  # one has made room
    kept.clock.now += KEPT_S
    kept.journal.forget(kept.journal.synced)
    assert [int(path.stem) for path in later] == firsts[:2] + firsts[3:-1]  # their time is over


async def test_what_is_deleted_is_read_as_a_gap(tmp_path: Path) -> None:
    kept = Kept(tmp_path, kept_segments=1)
    await kept.fill(4)
    kept.journal.forget(kept.journal.synced)
    gap, *others = kept.read_all(5)
    assert gap == Batch(6, kept.journal.oldest - 1, b"")
    assert all(batch.payload for batch in others)


async def test_a_watermark_that_went_back_protects_what_is_above_it(kept: Kept) -> None:
    """Whatever its time and bytes: it must be shipped again."""
    await kept.fill(4)
    firsts = kept.firsts
    kept.journal.forget(kept.journal.synced)
    back = firsts[1] + 1
    kept.journal.forget(back)
    kept.clock.now += 2 * KEPT_S
    kept.journal.forget(back)
    assert kept.firsts == firsts[1:]
    assert kept.read_all(back)
    kept.journal.forget(kept.journal.synced)
    assert kept.firsts == firsts[1:]  # for as long again
    kept.clock.now += KEPT_S
    kept.journal.forget(kept.journal.synced)
    assert kept.firsts == firsts[-1:]


async def test_kept_segments_do_not_count_towards_the_journals_limit(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_segments=3)
    for _ in range(4):
        await kept.fill(2)
        kept.journal.forget(kept.journal.synced)
    assert kept.journal.failed is None
    assert len(kept.journal.kept) == 8


async def test_on_a_full_disk_a_kept_segment_makes_room(kept: Kept) -> None:
    await kept.fill(3)
    kept.journal.forget(kept.journal.synced)
    firsts = kept.firsts
    kept.failing = True
    while len(kept.firsts) == len(firsts) and kept.failing:
        assert kept.append()
    assert kept.journal.failed is None
    assert kept.firsts[0] == firsts[1]
    assert kept.journal.kept.dropped == 1


async def test_any_moves_of_the_watermark_leave_every_click_above_it_readable(
    tmp_path: Path,
) -> None:
    random = Random(7)
    kept = Kept(tmp_path, kept_segments=3)
    for _ in range(150):
        for _ in range(random.randrange(6)):
            assert kept.append()
        assert await kept.journal.sync()
        kept.clock.now += random.choice([0, 100, 700])
        oldest = kept.journal.oldest
        watermark = random.randrange(oldest - 1, kept.journal.synced + 1)
        kept.journal.forget(watermark, seen_s_ago=random.choice([0.0, 300.0]))
        assert kept.journal.oldest >= oldest
        assert kept.journal.oldest <= watermark + 1
        assert all(batch.payload for batch in kept.read_all(watermark))
        assert kept.journal.kept.bytes_on_disk <= 3 * SEGMENT_BYTES
    kept.journal.close(remove=True)
    assert kept.firsts == []

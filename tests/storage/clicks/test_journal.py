"""The journal on a real disk: recorded clicks are read back once and in order, however the writer ended."""

from pathlib import Path

import pytest

from engine.clicks import journal_format
from engine.clicks.click import Click
from storage.clicks.journal import Journal
from storage.clicks.recovery import OrphanReader, orphans
from storage.file_system import DiskFileSystem

SEGMENT = 2 * 1024 * 1024


def record(n: int) -> bytes:
    return journal_format.encode_record(Click(1, 0, n, 1, 2, n, b"ua" * 40, b"ref", b"en"))


def journal_in(folder: Path, files: DiskFileSystem | None = None, *, segments: int = 64) -> Journal:
    journal = Journal(
        folder, segment_bytes=SEGMENT, max_bytes=segments * SEGMENT, sync_ms=10, files=files
    )
    journal.open()
    return journal


def recovered(folder: Path) -> tuple[list[int], OrphanReader]:
    """Return the link ids of the recovered clicks, and the orphan's reader."""
    recovery = OrphanReader(orphans(folder)[0])
    assert recovery.adopt()
    link_ids: list[int] = []
    after = 0
    while (batch := recovery.read(after, 1)) is not None:
        assert batch.first == after + 1
        link_ids += [click.link_id for click in journal_format.clicks(batch.payload)]
        after = batch.last
    return link_ids, recovery


def test_a_dead_writer_loses_nothing(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for n in range(0, 30_000, 300):  # over several segments, and frames of more than 256
        assert journal.append([record(n + i) for i in range(300)])
    journal.close(remove=False)  # never synced: the page cache outlives its process
    link_ids, recovery = recovered(tmp_path)
    assert link_ids == list(range(30_000))
    assert (recovery.dropped_clicks, recovery.dropped_bytes) == (0, 0)
    recovery.close(remove=True)
    assert orphans(tmp_path) == []


def test_frames_are_appended_as_records_are(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for n in range(0, 30_000, 150):  # over several segments
        group = [record(n + i) for i in range(150)]
        if n % 300:
            assert journal.append(group)
        else:
            frame = journal_format.encode_frame(journal.appended + 1, group)
            assert journal.append_frame(len(group), frame)
    assert journal.appended == 30_000
    journal.close(remove=False)
    link_ids, recovery = recovered(tmp_path)
    assert link_ids == list(range(30_000))
    assert recovery.dropped_bytes == 0
    recovery.close(remove=True)


def test_the_journal_of_a_live_writer_is_no_orphan(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert not OrphanReader(orphans(tmp_path)[0]).adopt()
    journal.close(remove=True)


@pytest.mark.parametrize("cut", [1, 7, 8, 19, 20, 40, 100])
def test_a_torn_tail_is_dropped_and_counted(tmp_path: Path, cut: int) -> None:
    journal = journal_in(tmp_path)
    assert journal.append([record(1)])
    end = journal._segments[0].end
    assert journal.append([record(2)])
    journal.close(remove=False)
    segment = next(journal.folder.glob("*.segment"))
    with segment.open("r+b") as file:
        file.truncate(end + cut)
    link_ids, recovery = recovered(tmp_path)
    assert link_ids == [1]
    assert recovery.dropped_bytes > 0
    recovery.close(remove=True)


async def test_a_journal_at_its_limit_refuses_and_resumes(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, segments=2)
    recorded = 0
    while journal.append([record(i) for i in range(200)]):
        recorded += 200
    assert (journal.failed, journal.unrecorded["limit"]) == ("limit", 200)
    assert await journal.sync()
    assert journal.synced == recorded
    journal.forget(recorded)  # all of it committed: the full segment goes
    assert journal.append([record(1)])
    assert journal.failed is None
    journal.close(remove=True)


async def test_committed_clicks_leave_the_disk_without_new_visitors(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    now = journal._clock()
    journal._clock = lambda: now
    assert journal.append([record(1)])
    journal.seal(60)
    journal.forget(1)
    assert len(list(journal.folder.glob("*.segment"))) == 1  # too young
    now += 61
    journal.seal(60)
    assert len(list(journal.folder.glob("*.segment"))) == 2
    journal.forget(0)  # not committed yet
    assert len(list(journal.folder.glob("*.segment"))) == 2
    journal.forget(1)
    (left,) = journal.folder.glob("*.segment")
    assert b"ua" not in left.read_bytes()
    now += 61
    journal.seal(60)  # nothing in it
    assert [left] == list(journal.folder.glob("*.segment"))
    assert journal.append([record(2)])
    assert await journal.sync()
    journal.close(remove=False)
    assert recovered(tmp_path)[0] == [2]


class FailingFiles(DiskFileSystem):
    """A file system in which every sync, or every write, fails while `syncs` or `writes` is False."""

    writes = syncs = True

    def write(self, fd: int, data: bytes, offset: int) -> None:
        if not self.writes:
            raise OSError(5, "input/output error")
        super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        if not self.syncs:
            raise OSError(5, "input/output error")
        super().sync(fd)


async def test_frames_of_a_failed_sync_are_written_again(tmp_path: Path) -> None:
    files = FailingFiles()
    journal = journal_in(tmp_path, files)
    assert journal.append([record(1)])
    files.syncs = False
    assert not await journal.sync()
    assert journal.synced == 0
    assert not journal.append([record(2)])  # until the next try
    files.syncs = True
    journal._retry_at = 0
    assert journal.append([record(3)])
    assert await journal.sync()
    journal.close(remove=False)
    link_ids, recovery = recovered(tmp_path)
    assert link_ids == [1, 3]
    assert journal.unrecorded["disk"] == 1
    recovery.close(remove=True)


async def test_a_failed_write_is_counted_as_unrecorded(tmp_path: Path) -> None:
    files = FailingFiles()
    journal = journal_in(tmp_path, files)
    assert journal.append([record(1)])
    files.writes = False
    assert not journal.append([record(2)])
    files.writes = True
    journal._retry_at = 0
    assert journal.append([record(3)])
    journal.close(remove=False)
    assert journal.unrecorded["disk"] == 1
    link_ids, recovery = recovered(tmp_path)
    assert link_ids == [1, 3]
    recovery.close(remove=True)
